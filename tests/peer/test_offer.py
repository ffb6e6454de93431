"""Offers: what is taken, what is left out, what is refused."""

from __future__ import annotations

import random

import pytest
from aiortc.sdp import SessionDescription

from rtc_server.errors import CandidateError, OfferError
from rtc_server.peer.answer_sdp import compose_answer
from rtc_server.peer.offer import Offer, parse_offer

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
TRANSPORT = f"""a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=fingerprint:{FINGERPRINT}
a=setup:actpass
"""
SESSION = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
"""
AUDIO = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0 8
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
{TRANSPORT}a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=sendrecv
a=msid:- one
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=ssrc:1 cname:x
"""
VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 45 96
c=IN IP4 0.0.0.0
{TRANSPORT}a=mid:1
a=sendrecv
a=rtcp-mux
a=rtpmap:45 AV1/90000
a=fmtp:45 level-idx=5
a=rtpmap:96 VP8/90000
"""
DATA = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{TRANSPORT}a=mid:2
a=sctp-port:5000
a=max-message-size:262144
"""
BUNDLE = "a=group:BUNDLE 0 2\n"


def sdp(*parts: str) -> str:
    return "".join(parts).replace("\n", "\r\n")


OFFER = sdp(SESSION, BUNDLE, AUDIO, DATA)


def parse(text: str) -> Offer:
    return parse_offer(text, max_candidates=32)


def test_a_browsers_offer_is_taken() -> None:
    """Audio with Opus and a data channel, as Chromium writes them."""
    offer = parse(OFFER)
    assert offer.has_audio
    assert offer.has_data_channel
    assert offer.fec
    assert offer.caller_sends
    assert offer.caller_hears
    assert offer.candidates == 0


def test_aiortc_sees_opus_alone() -> None:
    """What is passed on is written anew: one codec, known extensions, no SSRCs."""
    seen = SessionDescription.parse(parse(OFFER).sdp)
    audio, data = seen.media
    assert [(one.payloadType, one.mimeType) for one in audio.rtp.codecs] == [(111, "audio/opus")]
    assert {one.id for one in audio.rtp.headerExtensions} == {1, 4}
    assert audio.ssrc == []
    assert data.sctp_port == 5000
    assert [one.items for one in seen.group] == [["0", "2"]]


def test_bare_newlines_are_taken() -> None:
    """Not everybody ends lines with CR LF."""
    assert parse(OFFER.replace("\r\n", "\n")).has_audio


@pytest.mark.parametrize(
    ("old", "new", "sends", "hears"),
    [
        ("a=sendrecv", "a=recvonly", False, True),
        ("a=sendrecv", "a=sendonly", True, False),
        ("a=sendrecv", "a=inactive", False, False),
        ("a=sendrecv\r\n", "", True, True),
    ],
)
def test_the_direction_is_the_callers(old: str, new: str, sends: bool, hears: bool) -> None:
    """A section without a direction is sendrecv."""
    offer = parse(OFFER.replace(old, new, 1))
    assert (offer.caller_sends, offer.caller_hears) == (sends, hears)
    assert offer.has_audio == (sends or hears)


@pytest.mark.parametrize(
    ("parameters", "fec"),
    [("minptime=10;useinbandfec=1", True), ("useinbandfec=0", False), ("minptime=10", False)],
)
def test_fec_is_sent_only_where_it_is_asked_for(parameters: str, fec: bool) -> None:
    assert parse(OFFER.replace("minptime=10;useinbandfec=1", parameters)).fec is fec


@pytest.mark.parametrize(
    ("parameters", "bitrate"),
    [
        ("minptime=10", None),
        ("maxaveragebitrate=20000; useinbandfec=1", 20_000),
        ("MaxAverageBitrate = 32000", 32_000),
        ("maxaveragebitrate=1", 6_000),
        ("maxaveragebitrate=999999999", 510_000),
        ("maxaveragebitrate=-5", None),
        ("maxaveragebitrate=9999999999999999999999", None),
        ("maxaveragebitrate", None),
    ],
)
def test_the_bit_rate_that_the_caller_wants_at_most_is_read(
    parameters: str, bitrate: int | None
) -> None:
    """Out of Opus' range it is brought into it; what is no number is none."""
    assert parse(OFFER.replace("minptime=10;useinbandfec=1", parameters)).max_bitrate == bitrate


def test_a_data_channel_alone_is_a_text_call() -> None:
    offer = parse(sdp(SESSION, DATA))
    assert not offer.has_audio
    assert offer.has_data_channel


def test_the_older_form_of_data_channels_is_taken() -> None:
    """DTLS/SCTP with the port in the media line (before RFC 8841)."""
    old = (
        "m=application 9 DTLS/SCTP 5001\n" + TRANSPORT + "a=sctpmap:5001 webrtc-datachannel 1024\n"
    )
    [data] = SessionDescription.parse(parse(sdp(SESSION, old)).sdp).media
    assert data.fmt == ["5001"]


def test_transport_attributes_of_the_session_count_for_all() -> None:
    """Firefox writes the fingerprint once, above the media sections."""
    line = f"a=fingerprint:{FINGERPRINT}\n"
    text = sdp(SESSION, line, BUNDLE, AUDIO.replace(line, ""), DATA.replace(line, ""))
    assert parse(text).sdp.count("a=fingerprint:sha-256") == 2


def test_a_bundle_only_section_uses_the_transport_of_the_first() -> None:
    """Port 0 with bundle-only is offered (RFC 9143 section 6), without its own transport."""
    data = DATA.replace(TRANSPORT, "a=bundle-only\n").replace("application 9", "application 0")
    offer = parse(sdp(SESSION, BUNDLE, AUDIO, data))
    assert offer.has_data_channel
    assert offer.sdp.count("a=ice-ufrag:abcd") == 2


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((BUNDLE, AUDIO, DATA), True),
        (("a=group:BUNDLE 1 0 2\n", VIDEO, AUDIO, DATA), True),
        ((BUNDLE, AUDIO), True),
        ((AUDIO, DATA), False),
        (("a=group:BUNDLE 0\n", AUDIO, DATA), False),
        (("a=group:BUNDLE 2 0\n", AUDIO, DATA), False),
        (("a=group:BUNDLE 0 2\n", DATA, AUDIO), False),
        (("a=group:BUNDLE 2\n", DATA), False),
    ],
)
def test_one_bundle_is_all_sections_behind_the_audio(
    parts: tuple[str, ...], expected: bool
) -> None:
    """Of those that aiortc is given: video in front of them does not count."""
    assert parse(sdp(SESSION, *parts)).is_one_bundle is expected


def test_a_rejected_section_is_not_offered() -> None:
    """Port 0 alone: no audio then."""
    audio = AUDIO.replace("audio 9", "audio 0")
    assert not parse(sdp(SESSION, audio, DATA)).has_audio
    with pytest.raises(OfferError, match="neither"):
        parse(sdp(SESSION, audio))


REFUSED = {
    "empty": ("", "not SDP"),
    "prose": ("hello", "not SDP"),
    "JSON": ('{"sdp":""}', "not SDP"),
    "a line of nonsense": (OFFER + "nonsense\r\n", "not of the form"),
    "a control character": (OFFER.replace("a=mid:0", "a=mid:0\x00"), "not of the form"),
    "no media": (sdp(SESSION), "no usable codec"),
    "video only": (sdp(SESSION, VIDEO), "no usable codec"),
    "G.711 only": (OFFER.replace("a=rtpmap:111 opus/48000/2\r\n", ""), "no Opus"),
    "an answer": (OFFER.replace("setup:actpass", "setup:active"), "an answer"),
    "an unknown setup": (OFFER.replace("setup:actpass", "setup:x"), "setup"),
    "no ufrag": (OFFER.replace("a=ice-ufrag:abcd\r\n", ""), "ICE credentials"),
    "no pwd": (OFFER.replace("a=ice-pwd:abcdefghijklmnopqrstuv\r\n", ""), "ICE credentials"),
    "a short pwd": (OFFER.replace("ice-pwd:abcdef", "ice-pwd:"), "malformed"),
    "no fingerprint": (OFFER.replace(f"a=fingerprint:{FINGERPRINT}\r\n", ""), "no certificate"),
    "a weak fingerprint": (OFFER.replace("sha-256", "sha-1"), "SHA-256"),
    "a broken fingerprint": (OFFER.replace("AB:AB", "XY:AB"), "malformed"),
    "no rtcp-mux": (OFFER.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
    "two audio": (sdp(SESSION, AUDIO, AUDIO.replace("mid:0", "mid:5"), DATA), "one audio"),
    "two video": (sdp(SESSION, AUDIO, VIDEO, VIDEO.replace("mid:1", "mid:5")), "one video"),
    "two data": (sdp(SESSION, DATA, DATA.replace("mid:2", "mid:5")), "one application"),
    "equal mids": (sdp(SESSION, AUDIO, DATA.replace("mid:2", "mid:0")), "same mid"),
    "a broken mid": (OFFER.replace("a=mid:0", "a=mid:0 1"), "malformed mid"),
    "silent audio alone": (sdp(SESSION, AUDIO.replace("sendrecv", "inactive")), "neither"),
    "no data channel": (OFFER.replace(" webrtc-datachannel", " other"), "not a data channel"),
    "a broken SCTP port": (OFFER.replace("sctp-port:5000", "sctp-port:70000"), "port"),
    "a broken size": (OFFER.replace("size:262144", "size:-1"), "max-message-size"),
    "a broken media line": (OFFER.replace("m=audio 9", "m=audio x"), "malformed media line"),
    "a port too high": (OFFER.replace("m=audio 9", "m=audio 99999"), "malformed media line"),
    "a long line": (OFFER + "a=" + "x" * 3000 + "\r\n", "characters"),
    "many lines": (OFFER + "a=x\r\n" * 2000, "lines"),
    "a large text": (OFFER + "a=xxxxxxxxxxxxxxxxxx\r\n" * 4000, "longer"),
    "many sections": (OFFER + "m=x 0 X y\r\n" * 20, "media sections"),
    "a broken candidate": (OFFER + "a=candidate:1 1 udp\r\n", "neither"),
}


@pytest.mark.parametrize("case", [one for one in REFUSED if one != "a broken candidate"])
def test_an_unusable_offer_is_refused_in_one_sentence(case: str) -> None:
    """Each with its own reason."""
    text, reason = REFUSED[case]
    with pytest.raises(OfferError, match=reason) as refused:
        parse(text)
    assert str(refused.value).endswith(".")


def candidate(number: int = 1, address: str = "192.0.2.1") -> str:
    return f"a=candidate:{number} 1 udp 2113937151 {address} {40000 + number} typ host\n"


def with_candidates(lines: str) -> str:
    return sdp(SESSION, BUNDLE, AUDIO, lines, DATA)


def test_more_than_32_candidates_are_refused() -> None:
    assert parse(with_candidates("".join(map(candidate, range(32))))).candidates == 32
    with pytest.raises(OfferError, match="more than 32"):
        parse(with_candidates("".join(map(candidate, range(33)))))


def test_a_malformed_candidate_refuses_the_offer() -> None:
    with pytest.raises(OfferError, match="candidate"):
        parse(with_candidates("a=candidate:1 1 udp\n"))


UNUSABLE = [
    "224.0.0.1",
    "255.255.255.255",
    "0.0.0.0",
    "169.254.1.1",
    "240.0.0.1",
    "ff02::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:224.0.0.1",
    "0c2b.local",
    "example.com",
]


@pytest.mark.parametrize("address", UNUSABLE)
def test_candidates_that_must_not_be_used_are_left_out(address: str) -> None:
    """Neither multicast, broadcast or unspecified addresses are sent to nor names resolved."""
    offer = parse(with_candidates(candidate(1, address) + candidate(2)))
    assert offer.candidates == 1
    assert offer.sdp.count("a=candidate:1 ") == 0
    assert offer.sdp.count("a=candidate:2 ") == 2  # once in each section of the bundle
    assert f" {address} 40001 typ" not in offer.sdp


def test_candidates_belong_to_the_first_section_of_the_bundle() -> None:
    offer = parse(OFFER)
    assert offer.transport_mid("0", None) == "0"
    assert offer.transport_mid(None, 0) == "0"
    assert offer.transport_mid(None, None) == "0"
    assert offer.transport_mid("2", 1) is None
    with pytest.raises(CandidateError):
        offer.transport_mid("9", 0)


def test_candidates_of_unbundled_sections_are_their_own() -> None:
    offer = parse(sdp(SESSION, AUDIO, DATA))
    assert offer.transport_mid("0", None) == "0"
    assert offer.transport_mid("2", None) == "2"


def test_garbage_raises_nothing_but_offer_errors() -> None:
    """Whatever a stranger does to an offer: it is taken, or refused in a sentence."""
    dice = random.Random(5)
    lines = sdp(SESSION, "a=group:BUNDLE 0 1 2\n", AUDIO, candidate(), VIDEO, DATA).split("\r\n")
    alphabet = "0159 :=/;-+amvx\u2028é\t\x00"
    taken = 0
    for _ in range(1500):
        mutated = list(lines)
        for _ in range(dice.randint(1, 3)):
            index = dice.randrange(len(mutated))
            line = mutated[index]
            match dice.randrange(4):
                case 0:
                    del mutated[index]
                case 1:
                    mutated.insert(index, mutated[dice.randrange(len(mutated))])
                case 2:
                    at = dice.randint(0, len(line))
                    mutated[index] = line[:at] + dice.choice(alphabet) + line[at + 1 :]
                case 3:
                    mutated[index] = line[: dice.randint(0, len(line))]
        try:
            offer = parse("\r\n".join(mutated))
        except OfferError:
            continue
        taken += 1
        SessionDescription.parse(offer.sdp)
    assert taken > 100


ANSWER = parse_offer(OFFER, max_candidates=0).sdp.replace("actpass", "active")


def test_video_of_an_unknown_codec_is_answered_inactive_in_the_bundle() -> None:
    """It shares the transport and costs nothing."""
    video = VIDEO.replace("VP8", "VP9")
    offer = parse(sdp(SESSION, "a=group:BUNDLE 1 0 2\n", video, AUDIO, DATA))
    assert offer.video is None
    assert "video" not in offer.sdp
    answer = SessionDescription.parse(compose_answer(offer, ANSWER))
    assert [one.kind for one in answer.media] == ["video", "audio", "application"]
    assert answer.media[0].direction == "inactive"
    assert answer.media[0].port == 9
    assert answer.media[0].ice == answer.media[1].ice
    assert answer.group[0].items == ["1", "0", "2"]


def test_unbundled_video_and_unknown_sections_are_rejected() -> None:
    unknown = "m=message 9 TCP/MSRP *\na=mid:7\n"
    offer = parse(sdp(SESSION, BUNDLE, AUDIO, VIDEO, unknown, DATA))
    answer = compose_answer(offer, ANSWER)
    assert "m=video 0 UDP/TLS/RTP/SAVPF 45 96\r\n" in answer
    assert "m=message 0 TCP/MSRP *\r\n" in answer
    assert "a=group:BUNDLE 0 2\r\n" in answer


def test_an_offer_without_mids_or_bundle_gets_none() -> None:
    offer = parse(sdp(SESSION, AUDIO.replace("a=mid:0\n", "")))
    answer = compose_answer(offer, offer.sdp.replace("actpass", "active"))
    assert "a=mid" not in answer
    assert "a=group" not in answer


def test_candidates_are_counted_of_each_section_that_gives_some() -> None:
    """A bundle whose first section is rejected has none in common: all of them are bounded."""
    section = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:" + "p" * 22 + "\r\n"
    section += "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\n"
    candidates = "".join(
        f"a=candidate:1 1 udp 1 10.0.{n // 250}.{n % 250 + 1} 5000 typ host\r\n" for n in range(60)
    )
    sdp = (
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE v a d\r\n"
        f"m=video 0 UDP/TLS/RTP/SAVPF 96\r\n{section}a=mid:v\r\n"
        f"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{section}"
        "a=mid:a\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
        f"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{section}a=mid:d\r\n{candidates}"
    )
    with pytest.raises(OfferError, match="more than 32 candidates"):
        parse_offer(sdp, max_candidates=32)
