"""Video in offers: what is taken of it, and how it is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription

from rtc_server.errors import OfferError
from rtc_server.peer.answer_sdp import compose_answer
from rtc_server.peer.offer import Offer, OfferedVideo, parse_offer
from rtc_server.peer.sdp import Section, parse_description

OFFERS = Path(__file__).parent / "offers"
"""As Chromium 156 and Firefox 153 write them: audio, video ``sendonly``, a data channel.

Only credentials and ids are others.
"""


def offer_of(browser: str, *edits: tuple[str, str]) -> str:
    sdp = (OFFERS / f"{browser}.sdp").read_text()
    for old, new in edits:
        assert old in sdp
        sdp = sdp.replace(old, new)
    return sdp.replace("\n", "\r\n")


def parse(sdp: str) -> Offer:
    return parse_offer(sdp, max_candidates=32)


def answer_to(offer: Offer, bitrate: int | None = 1_500_000) -> list[Section]:
    answer = offer.sdp.replace("actpass", "active")
    return parse_description(compose_answer(offer, answer, video_bitrate=bitrate)).sections


@pytest.mark.parametrize(("browser", "payload_type"), [("chromium", 96), ("firefox", 120)])
def test_a_browsers_video_is_taken_as_vp8(browser: str, payload_type: int) -> None:
    """Of all its codecs the one; aiortc sees nothing of it."""
    offer = parse(offer_of(browser))
    colour_space_id = 8 if browser == "chromium" else None
    assert offer.video == OfferedVideo("1", "VP8", payload_type, colour_space_id)
    assert offer.is_one_bundle
    assert [one.kind for one in SessionDescription.parse(offer.sdp).media] == [
        "audio",
        "application",
    ]


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_the_answer_receives_one_codec_and_asks_for_feedback(browser: str) -> None:
    """No retransmission stream, no FEC, no layers; NACK, PLI and REMB; a bound on bit/s."""
    offer = parse(offer_of(browser))
    audio, video, data = answer_to(offer)
    assert offer.video is not None
    payload_type = str(offer.video.payload_type)
    assert [one.kind for one in (audio, video, data)] == ["audio", "video", "application"]
    assert video.port == 9
    assert video.formats == [payload_type]
    assert video.direction == "recvonly"
    assert "b=AS:1500" in video.lines
    assert video.has("rtcp-mux")
    assert len(list(video.values("extmap"))) == (browser == "chromium")
    assert list(video.values("rtpmap")) == [f"{payload_type} VP8/90000"]
    assert sorted(video.values("rtcp-fb")) == [
        f"{payload_type} goog-remb",
        f"{payload_type} nack",
        f"{payload_type} nack pli",
    ]
    assert video.first("ice-ufrag") == audio.first("ice-ufrag")
    assert video.first("setup") == "active"


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_where_video_is_not_taken_it_is_inactive(browser: str) -> None:
    _, video, _ = answer_to(parse(offer_of(browser)), bitrate=None)
    assert video.direction == "inactive"


def test_h264_is_taken_where_there_is_no_vp8() -> None:
    """The first one offered."""
    offer = parse(offer_of("chromium", ("VP8", "VP8X")))
    assert offer.video == OfferedVideo("1", "H264", 102, 8)
    _, video, _ = answer_to(offer)
    assert "packetization-mode=1" in (video.first("fmtp") or "")


@pytest.mark.parametrize(
    "edits",
    [
        [("a=sendonly", "a=recvonly")],
        [("a=sendonly", "a=inactive")],
        [("VP8/", "VP7/"), ("H264/", "H265/")],
        [("BUNDLE 0 1 2", "BUNDLE 0 2")],
        [("a=sendonly\n", "a=sendonly\na=x\n"), ("96 VP8/90000", "111 VP8/90000"), ("H264/", "X/")],
    ],
    ids=["recvonly", "inactive", "codecs", "unbundled", "payload type of the audio"],
)
def test_video_that_cannot_be_taken_is_none(edits: list[tuple[str, str]]) -> None:
    """The call goes on without it, whatever the server would take."""
    offer = parse(offer_of("chromium", *edits))
    assert offer.video is None
    _, video, _ = answer_to(offer)
    assert video.direction == "inactive"


def test_layers_are_not_answered() -> None:
    """A browser that offers simulcast sends one layer then."""
    layers = "a=rid:h send\na=rid:l send\na=simulcast:send h;l\n"
    offer = parse(offer_of("chromium", ("a=sendonly\n", f"a=sendonly\n{layers}")))
    assert offer.video is not None
    _, video, _ = answer_to(offer)
    assert video.first("simulcast") is None
    assert video.first("rid") is None


def test_video_in_front_of_all_is_taken() -> None:
    """The transport of the bundle is described in its section then."""
    head, _, video, data = offer_of("chromium").split("\r\nm=")
    head = head.replace("BUNDLE 0 1 2", "BUNDLE 1 2")
    offer = parse("\r\nm=".join([head, video, data]))
    assert offer.video == OfferedVideo("1", "VP8", 96, 8)
    assert not offer.has_audio
    assert [one.kind for one in answer_to(offer)] == ["video", "application"]


def test_video_alone_is_no_call() -> None:
    """There would be nothing to say what was seen."""
    parts = offer_of("chromium").split("\r\nm=")
    head = parts[0].replace("BUNDLE 0 1 2", "BUNDLE 1")
    with pytest.raises(OfferError):
        parse("\r\nm=".join([head, parts[2]]) + "\r\n")
