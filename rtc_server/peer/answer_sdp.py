"""The answer as the caller gets it: aiortc's, with what aiortc leaves out.

aiortc answers the rewritten offer (see :mod:`~rtc_server.peer.offer`).  The caller is
answered for every section it offered, in its order: video within the bundle, so that it needs
no transport of its own, received where it is taken and else inactive; what was rejected or unknown
rejected (RFC 9429 section 5.3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..messages import MAX_MESSAGE_BYTES
from .offer import COLOUR_SPACE, Offer, OfferedVideo
from .sdp import Description, Section, parse_description

__all__ = ["compose_answer"]

OPUS_FMTP = "minptime=10;useinbandfec=1"
"""What *we* receive (RFC 7587 section 6.1): FEC is welcome.  Never ``usedtx``: the model's
voice detection needs to hear the silence."""

_TRANSPORT = ("ice-ufrag", "ice-pwd", "fingerprint", "setup", "candidate", "end-of-candidates")


def compose_answer(
    offer: Offer,
    answer_sdp: str,
    *,
    public_ips: Sequence[str] = (),
    video_bitrate: int | None = None,
) -> str:
    """The answer to what the caller offered.

    Args:
        offer: the offer.
        answer_sdp: aiortc's answer to ``offer.sdp``.
        public_ips: addresses that lead to this machine on the same ports (1:1 NAT).
        video_bitrate: the caller's video, if any is offered, is received, and has this many
            bit/s at most; None: it is not.
    """
    answer = parse_description(answer_sdp)
    answered = {one.mid: one for one in answer.sections}
    offered = offer.offered
    bundle = [mid for mid in offered.bundle if _is_bundled(offered, answered, mid)]
    transport = next((answered[mid] for mid in bundle if mid in answered), None)
    if transport is None:
        bundle = []
    sections = []
    for index, section in enumerate(offered.sections):
        mid = section.mid or f"no-mid-{index}"
        if mid in answered:
            sections.append(_accepted(answered[mid], section, public_ips))
        elif transport is not None and mid in bundle:
            shared = _transport_lines(section, transport, public_ips)
            video = offer.video
            if video is not None and video.mid == mid and video_bitrate is not None:
                sections.append(_received(section, video, video_bitrate, shared))
            else:
                sections.append(_inactive(section, shared))
        else:
            sections.append(_rejected(section))

    lines = [one for one in answer.lines if not one.startswith("a=group:")]
    if bundle:
        lines.append(f"a=group:BUNDLE {' '.join(bundle)}")
    return str(Description(lines, sections))


def _is_bundled(offered: Description, answered: dict[str | None, Section], mid: str) -> bool:
    if mid in answered:
        return True
    for section in offered.sections:
        if section.mid == mid:
            return section.kind == "video" and not section.is_rejected
    return False


def _accepted(answer: Section, offered: Section, public_ips: Sequence[str]) -> Section:
    lines = []
    for line in answer.lines:
        if line.startswith("a=mid:") and offered.mid is None:
            continue
        if line.startswith("a=max-message-size:"):
            line = f"a=max-message-size:{MAX_MESSAGE_BYTES}"
        lines.append(line)
        if line.startswith("a=rtpmap:"):
            lines.append(f"a=fmtp:{answer.formats[0]} {OPUS_FMTP}")
        if line.startswith("a=candidate:"):
            lines.extend(_public_candidates(line, public_ips))
    return Section(lines, answer.kind, answer.port, answer.profile, answer.formats)


def _public_candidates(line: str, public_ips: Sequence[str]) -> Iterator[str]:
    """The candidate once more under each public address of its IP version."""
    _, component, protocol, _, address, port, *_ = line.split()
    for number, public_ip in enumerate(public_ips):
        if (":" in public_ip) == (":" in address) and public_ip != address:
            yield (
                f"a=candidate:public{number} {component} {protocol} {_SRFLX_PRIORITY - number} "
                f"{public_ip} {port} typ srflx raddr {address} rport {port}"
            )


_SRFLX_PRIORITY = (100 << 24) + (65535 << 8) + 255  # RFC 8445 section 5.1.2.1


def _inactive(offered: Section, transport_lines: list[str]) -> Section:
    payload_type = offered.formats[0]
    lines = ["c=IN IP4 0.0.0.0", f"a=mid:{offered.mid}", "a=inactive", "a=rtcp-mux"]
    lines += _codec_lines(offered, payload_type, ("rtpmap", "fmtp"))
    return Section([*lines, *transport_lines], offered.kind, 9, offered.profile, [payload_type])


def _received(
    offered: Section, video: OfferedVideo, bitrate: int, transport_lines: list[str]
) -> Section:
    """One codec, one layer, no stream of retransmissions; feedback as far as it was offered."""
    payload_type = str(video.payload_type)
    lines = [
        "c=IN IP4 0.0.0.0",
        f"b=AS:{bitrate // 1000}",
        f"a=mid:{offered.mid}",
        "a=recvonly",
        "a=rtcp-mux",
        *(
            []
            if video.colour_space_id is None
            else [f"a=extmap:{video.colour_space_id} {COLOUR_SPACE}"]
        ),
        *_codec_lines(offered, payload_type, ("rtpmap", "fmtp")),
        *(
            line
            for line in _codec_lines(offered, payload_type, ("rtcp-fb",))
            if line.partition(" ")[2].strip() in _FEEDBACK
        ),
    ]
    return Section([*lines, *transport_lines], offered.kind, 9, offered.profile, [payload_type])


_FEEDBACK = ("nack", "nack pli", "goog-remb")


def _codec_lines(offered: Section, payload_type: str, names: Sequence[str]) -> list[str]:
    return [
        f"a={name}:{value}"
        for name in names
        for value in offered.values(name)
        if value.split(" ")[0] == payload_type
    ]


def _transport_lines(offered: Section, transport: Section, public_ips: Sequence[str]) -> list[str]:
    return [
        line
        for line in _accepted(transport, offered, public_ips).lines
        if line.removeprefix("a=").partition(":")[0] in _TRANSPORT
    ]


def _rejected(offered: Section) -> Section:
    lines = ["c=IN IP4 0.0.0.0", "a=inactive"]
    if offered.mid is not None:
        lines.append(f"a=mid:{offered.mid}")
    return Section(lines, offered.kind, 0, offered.profile, offered.formats)
