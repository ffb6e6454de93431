"""The caller's offer: judged, and rewritten to what aiortc is to see of it.

An offer is written by a stranger.  It is therefore not passed on but read, checked and
written anew: one audio section with Opus alone, one data-channel section, a few attributes
each, the candidates that may be used.  aiortc's parser never meets what the caller wrote.

aiortc does not see video either: it is not received by aiortc (see
:mod:`~rtc_server.peer.aiortc_video`), and answered by :mod:`~rtc_server.peer.answer_sdp`.

What is left out rather than refused: video that cannot be taken and sections of unknown kinds
(answered inactive or rejected), other codecs, candidates that cannot or
must not be used (TCP, mDNS names, multicast, broadcast, unspecified, link-local), and
``end-of-candidates``: aiortc would give up at once if all candidates were left out, while the
caller can still be reached as a peer-reflexive candidate; the call has a deadline of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from ..errors import CandidateError, OfferError
from ..media.picture import VideoCodec
from .candidates import parse_candidate
from .message_size import message_bytes
from .sdp import Description, SdpError, Section, parse_description

__all__ = ["COLOUR_SPACE", "Direction", "Offer", "OfferedVideo", "parse_offer"]

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

MAX_FINGERPRINTS = 8

_LOWEST_BITRATE, _HIGHEST_BITRATE = 6_000, 510_000  # of Opus (RFC 7587 section 6.1)

_HASHES = ("sha-256", "sha-384", "sha-512")
_EXTENSIONS = (
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
)
COLOUR_SPACE = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
"""VP8 itself does not say it, and Chromium has another one for what it draws than for cameras."""

_ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FINGERPRINT = re.compile(r"([A-Za-z0-9-]{1,16}) +([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63})")
_MID = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")
_VP8 = re.compile(r"(\d{1,3}) VP8/90000", re.IGNORECASE)
_H264 = re.compile(r"(\d{1,3}) H264/90000", re.IGNORECASE)
_OPUS = re.compile(r"(\d{1,3}) opus/48000/2", re.IGNORECASE)
_EXTMAP = re.compile(r"(\d{1,3})(?:/\w+)? (\S+)")


@dataclass(frozen=True, slots=True)
class OfferedVideo:
    """What can be taken of the video that the caller may send."""

    mid: str
    codec: VideoCodec
    payload_type: int

    colour_space_id: int | None = None
    """Of the header extension that says by which matrix the colours are to be read."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that a call can be made of."""

    sdp: str = field(repr=False)
    """What aiortc is given."""

    has_audio: bool
    """There is an Opus section that is not inactive."""

    has_data_channel: bool

    message_bytes: int
    """The largest message that the caller takes over it; 0: there is none."""

    fec: bool
    """The caller takes in-band FEC (``useinbandfec=1`` in its Opus fmtp, RFC 7587)."""

    candidates: int
    """How many remote candidates it brought that are used."""

    max_bitrate: int | None = None
    """The most bit/s of Opus that the caller wants to be sent (``maxaveragebitrate``, RFC 7587
    section 6.1), 6,000 to 510,000; None: it names none."""

    direction: Direction = "inactive"
    """Direction of the audio as the caller wrote it."""

    offered: Description = field(default_factory=Description, repr=False)
    """What the caller wrote."""

    accepted: tuple[str, ...] = ()
    """Mids of the sections given to aiortc, in the order of the offer."""

    video: OfferedVideo | None = None
    """The caller may send video that shares a transport with an accepted section."""

    is_one_bundle: bool = False
    """The accepted sections all share the transport of the first one, which is the audio."""

    @property
    def caller_sends(self) -> bool:
        """Whether the caller may send audio."""
        return self.has_audio and self.direction in ("sendrecv", "sendonly")

    @property
    def caller_hears(self) -> bool:
        """Whether the caller wants to receive audio."""
        return self.has_audio and self.direction in ("sendrecv", "recvonly")

    def transport_mid(self, sdp_mid: str | None, sdp_m_line_index: int | None) -> str | None:
        """The mid under which aiortc takes a candidate that the caller sent for a section.

        None: the candidate belongs to a section that has no transport of its own.

        Raises:
            CandidateError: the offer has no such section.
        """
        mids = [_mid(index, one) for index, one in enumerate(self.offered.sections)]
        if sdp_mid is None and sdp_m_line_index is None:
            return self.accepted[0]
        if sdp_mid is None:
            assert sdp_m_line_index is not None
            if not 0 <= sdp_m_line_index < len(mids):
                raise CandidateError("The candidate is for a media section that was not offered.")
            sdp_mid = mids[sdp_m_line_index]
        if sdp_mid not in mids:
            raise CandidateError("The candidate is for a media section that was not offered.")
        bundle = self.offered.bundle
        if sdp_mid not in bundle:
            return sdp_mid if sdp_mid in self.accepted else None
        # The whole bundle uses the transport of its first section (RFC 9143 section 7.2).
        if sdp_mid != bundle[0]:
            return None
        return next((one for one in self.accepted if one in bundle), None)


def parse_offer(sdp: str, *, max_candidates: int) -> Offer:
    """Check an offer and write down what a call can use of it.

    Args:
        sdp: the offer as it came.
        max_candidates: how many usable candidates it may hold.

    Raises:
        OfferError: no call can be made of it; the message says why in one sentence.
    """
    try:
        offered = parse_description(sdp)
    except SdpError as problem:
        raise OfferError(str(problem)) from None
    audio = _only(offered, "audio")
    application = _only(offered, "application")
    video = _only(offered, "video")
    if audio is None and application is None:
        raise OfferError(
            "The offer has no usable codec: it has neither Opus audio nor a data channel."
        )
    _check_mids(offered)

    opus = None if audio is None else _opus(audio)
    direction = _direction(offered, audio)
    if direction == "inactive" and application is None:
        raise OfferError("The offer has neither active audio nor a data channel.")
    accepted: list[tuple[str, Section]] = []
    candidates = 0
    counted: list[Section] = []
    for index, section in enumerate(offered.sections):
        if section is not audio and section is not application:
            continue
        mid = _mid(index, section)
        owner = _transport_owner(offered, mid, section)
        # In each section of a bundle: of which one aiortc takes them depends on its transport.
        usable = _candidate_lines(owner)
        if not any(owner is one for one in counted):
            counted.append(owner)
            candidates += len(usable)
        if section is audio:
            assert opus is not None
            rewritten = _audio_section(section, opus, direction)
        else:
            rewritten = _application_section(section)
        rewritten.lines = [
            f"a=mid:{mid}",
            *rewritten.lines,
            *_transport_lines(offered, owner, section),
            *usable,
        ]
        accepted.append((mid, rewritten))
    if candidates > max_candidates:
        raise OfferError(f"The offer has more than {max_candidates} candidates.")

    mids = tuple(mid for mid, _ in accepted)
    parameters = {} if audio is None or opus is None else _format_parameters(audio, opus)
    bundled = [mid for mid in offered.bundle if mid in mids]
    is_one_bundle = (
        accepted[0][1].kind == "audio" and bundled[:1] == [mids[0]] and set(bundled) == set(mids)
    )
    return Offer(
        sdp=str(_rewritten(offered, accepted)),
        has_audio=audio is not None and direction != "inactive",
        has_data_channel=application is not None,
        message_bytes=message_bytes(application),
        fec=parameters.get("useinbandfec") == "1",
        candidates=candidates,
        max_bitrate=_max_bitrate(parameters),
        direction=direction,
        offered=offered,
        accepted=mids,
        video=None if video is None else _video(offered, video, mids, opus),
        is_one_bundle=is_one_bundle,
    )


def _only(offered: Description, kind: str) -> Section | None:
    found = [one for one in offered.sections if one.kind == kind and not one.is_rejected]
    if len(found) > 1:
        raise OfferError(f"The offer has more than one {kind} section.")
    return found[0] if found else None


def _mid(index: int, section: Section) -> str:
    """The section's mid, or one of ours for a caller that does without."""
    return section.mid or f"no-mid-{index}"


def _check_mids(offered: Description) -> None:
    mids = [_mid(index, one) for index, one in enumerate(offered.sections)]
    if not all(_MID.fullmatch(one) for one in mids):
        raise OfferError("The offer has a malformed mid.")
    if len(set(mids)) < len(mids):
        raise OfferError("The offer has two sections with the same mid.")


def _direction(offered: Description, section: Section | None) -> Direction:
    if section is None:
        return "inactive"
    session = Section(lines=offered.lines).direction
    return cast(Direction, section.direction or session or "sendrecv")


# --------------------------------------------------------------------------
# Audio and data
# --------------------------------------------------------------------------


def _opus(audio: Section) -> str:
    """The payload type of Opus; the first one, if there are several."""
    for value in audio.values("rtpmap"):
        match = _OPUS.fullmatch(value)
        if match is not None and match[1] in audio.formats and _is_payload_type(match[1]):
            return match[1]
    raise OfferError("The offer has no usable codec: the audio section has no Opus.")


def _is_payload_type(text: str) -> bool:
    # 64 to 95 collide with RTCP where both share a port (RFC 5761 section 4).
    return int(text) < 64 or 96 <= int(text) < 128


def _format_parameters(section: Section, wanted: str) -> dict[str, str]:
    """What the caller says of a payload type, by its name in the codec's RFC."""
    for value in section.values("fmtp"):
        payload_type, _, parameters = value.partition(" ")
        if payload_type == wanted:
            pairs = (one.partition("=") for one in parameters.split(";"))
            return {name.strip().lower(): value.strip() for name, _, value in pairs}
    return {}


def _max_bitrate(parameters: Mapping[str, str]) -> int | None:
    value = parameters.get("maxaveragebitrate", "")
    if not re.fullmatch(r"[0-9]{1,9}", value):
        return None
    return min(max(int(value), _LOWEST_BITRATE), _HIGHEST_BITRATE)


def _audio_section(audio: Section, opus: str, direction: Direction) -> Section:
    if not audio.has("rtcp-mux"):
        raise OfferError("The offer's audio section does not multiplex RTCP (rtcp-mux).")
    lines = [
        "c=IN IP4 0.0.0.0",
        f"a={direction}",
        "a=rtcp-mux",
        f"a=rtpmap:{opus} opus/48000/2",
        *_extension_lines(audio),
    ]
    return Section(lines, "audio", 9, "UDP/TLS/RTP/SAVPF", [opus])


def _video(
    offered: Description, video: Section, accepted: tuple[str, ...], opus: str | None
) -> OfferedVideo | None:
    """VP8 or else H.264, where the packets come on a transport that is there anyway."""
    bundle = offered.bundle
    shares = video.mid in bundle and any(mid in bundle for mid in accepted)
    if not shares or _direction(offered, video) not in ("sendrecv", "sendonly"):
        return None
    if video.mid is None or not video.has("rtcp-mux"):
        return None
    codecs: tuple[tuple[VideoCodec, re.Pattern[str]], ...] = (("VP8", _VP8), ("H264", _H264))
    for codec, pattern in codecs:
        for value in video.values("rtpmap"):
            match = pattern.fullmatch(value)
            if match is None or match[1] not in video.formats or not _is_payload_type(match[1]):
                continue
            # One transport knows a packet's section by its payload type (RFC 9143 section 9.2).
            if match[1] != opus and (codec == "VP8" or not _is_interleaved(video, match[1])):
                return OfferedVideo(video.mid, codec, int(match[1]), _colour_space_id(video))
    return None


def _colour_space_id(video: Section) -> int | None:
    for value in video.values("extmap"):
        match = _EXTMAP.fullmatch(value)
        if match is not None and match[2] == COLOUR_SPACE and 1 <= int(match[1]) <= 14:
            return int(match[1])
    return None


def _is_interleaved(video: Section, payload_type: str) -> bool:
    """H.264 whose units may come out of order (RFC 6184 section 5.4): nobody's default."""
    return _format_parameters(video, payload_type).get("packetization-mode") == "2"


def _extension_lines(audio: Section) -> list[str]:
    lines: dict[str, str] = {}
    for value in audio.values("extmap"):
        match = _EXTMAP.fullmatch(value)
        # Identifiers above 14 need the two-byte form (RFC 8285 section 4.2).
        if match is not None and match[2] in _EXTENSIONS and 1 <= int(match[1]) <= 14:
            lines.setdefault(match[1], f"a=extmap:{match[1]} {match[2]}")
    return list(lines.values())


def _application_section(application: Section) -> Section:
    lines = ["c=IN IP4 0.0.0.0"]
    if application.profile == "DTLS/SCTP":
        # The form before RFC 8841: the SCTP port stands in the media line.
        port = _sctp_port(application.formats[0])
        section = Section(lines, "application", 9, "DTLS/SCTP", [port])
        lines.append(f"a=sctpmap:{port} webrtc-datachannel 65535")
        return section
    if "webrtc-datachannel" not in application.formats:
        raise OfferError("The offer's application section is not a data channel.")
    lines.append(f"a=sctp-port:{_sctp_port(application.first('sctp-port') or '5000')}")
    size = application.first("max-message-size")
    if size is not None:
        if not size.isascii() or not size.isdigit():
            raise OfferError("The offer's max-message-size is not a number.")
        lines.append(f"a=max-message-size:{size[:12]}")
    return Section(lines, "application", 9, "UDP/DTLS/SCTP", ["webrtc-datachannel"])


def _sctp_port(text: str) -> str:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise OfferError("The offer's SCTP port is not a port.")
    return str(int(text[:6]))


# --------------------------------------------------------------------------
# Transport
# --------------------------------------------------------------------------


def _transport_owner(offered: Description, mid: str, section: Section) -> Section:
    """The section whose ICE and DTLS parameters count: the first of the bundle, or its own."""
    bundle = offered.bundle
    if mid in bundle:
        for index, one in enumerate(offered.sections):
            if _mid(index, one) == bundle[0] and not one.is_rejected:
                return one
    return section


def _transport_lines(offered: Description, owner: Section, section: Section) -> list[str]:
    places = (owner, section, offered)

    def first(name: str) -> str | None:
        return next((value for one in places if (value := one.first(name)) is not None), None)

    ufrag, password = first("ice-ufrag"), first("ice-pwd")
    if ufrag is None or password is None:
        raise OfferError("The offer has no ICE credentials (ice-ufrag and ice-pwd).")
    if _ICE_UFRAG.fullmatch(ufrag) is None or _ICE_PWD.fullmatch(password) is None:
        raise OfferError("The offer's ICE credentials are malformed.")
    setup = first("setup")
    if setup in ("active", "passive"):
        raise OfferError("The SDP is an answer, not an offer: its DTLS role is already chosen.")
    if setup not in ("actpass", None):
        raise OfferError("The offer's DTLS setup attribute is not actpass.")
    fingerprints = next((found for one in places if (found := [*one.values("fingerprint")])), [])
    return [
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{password}",
        *_fingerprint_lines(fingerprints),
        "a=setup:actpass",
    ]


def _fingerprint_lines(fingerprints: list[str]) -> list[str]:
    if not fingerprints:
        raise OfferError("The offer has no certificate fingerprint.")
    lines = []
    for value in fingerprints[:MAX_FINGERPRINTS]:
        match = _FINGERPRINT.fullmatch(value)
        if match is None:
            raise OfferError("The offer's certificate fingerprint is malformed.")
        if match[1].lower() in _HASHES:
            lines.append(f"a=fingerprint:{match[1].lower()} {match[2].upper()}")
    if not lines:
        raise OfferError("The offer has no certificate fingerprint of SHA-256 or better.")
    return lines


def _rewritten(offered: Description, accepted: Iterable[tuple[str, Section]]) -> Description:
    sections = list(accepted)
    known = {mid for mid, _ in sections}
    bundled = [mid for mid in dict.fromkeys(offered.bundle) if mid in known]
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    if bundled:
        lines.append(f"a=group:BUNDLE {' '.join(bundled)}")
    if offered.has("ice-lite"):
        lines.append("a=ice-lite")
    return Description(lines, [one for _, one in sections])


# --------------------------------------------------------------------------
# Candidates
# --------------------------------------------------------------------------


def _candidate_lines(section: Section) -> list[str]:
    lines = []
    for value in section.values("candidate"):
        try:
            candidate = parse_candidate(f"candidate:{value}")
        except CandidateError as problem:
            raise OfferError(str(problem)) from None
        if candidate is not None:
            lines.append(
                f"a=candidate:{candidate.foundation} 1 udp {candidate.priority} "
                f"{candidate.ip} {candidate.port} typ {candidate.type}"
            )
    return lines
