"""The statistics of a call, from reports of a browser to the figures that are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.blank_page import open_blank_page
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

Stat = dict[str, Any]
Report = dict[str, Stat]

TAKE_ALL = """
async (samples) => {
  const { CallStatistics } = await import("/client/statistics.js");
  const statistics = new CallStatistics();
  return samples.map(([report, atMs]) =>
    statistics.take(new Map(Object.entries(report)), atMs));
}
"""


async def take_all(
    browser: Browser, server: StandInServer, *reports: Report, period_ms: float = 1000
) -> list[dict[str, Any]]:
    """What one call's statistics make of these reports, a period apart."""
    samples = [[report, 5000 + n * period_ms] for n, report in enumerate(reports)]
    async with open_blank_page(browser, server) as page:
        taken: list[dict[str, Any]] = await page.evaluate(TAKE_ALL, samples)
        return taken


def chromium_report(
    *,
    received: int = 100,
    lost: int = 0,
    sent: int = 150,
    without: Mapping[str, set[str]] = {},
    **changes: Stat,
) -> Report:
    """A report in Chromium's shape of an audio call, after so many packets of 20 ms.

    Args:
        without: names of fields to leave out, by the type of the dictionary.
        changes: fields that differ, by the type of the dictionary with ``_`` for ``-``.
    """
    emitted = received * 960
    stats: Report = {
        "T01": {"type": "transport", "selectedCandidatePairId": "CP1", "tlsVersion": "FEFC"},
        "CP0": {
            "type": "candidate-pair",
            "state": "succeeded",
            "nominated": True,
            "currentRoundTripTime": 0.9,
            "localCandidateId": "L0",
            "remoteCandidateId": "R1",
        },
        "CP1": {
            "type": "candidate-pair",
            "state": "succeeded",
            "nominated": True,
            "currentRoundTripTime": 0.042,
            "localCandidateId": "L1",
            "remoteCandidateId": "R1",
        },
        "L0": {"type": "local-candidate", "candidateType": "host", "protocol": "udp"},
        "L1": {
            "type": "local-candidate",
            "candidateType": "relay",
            "protocol": "udp",
            "relayProtocol": "tls",
            "networkType": "wifi",
            "address": "203.0.113.7",
            "ip": "203.0.113.7",
            "relatedAddress": "198.51.100.9",
            "port": 50263,
            "url": "turns:turn.example.org",
            "usernameFragment": "r70K",
        },
        "R1": {
            "type": "remote-candidate",
            "candidateType": "srflx",
            "protocol": "udp",
            "address": "2001:db8::17",
            "port": 40001,
        },
        "C1": {
            "type": "codec",
            "mimeType": "audio/opus",
            "clockRate": 48000,
            "channels": 2,
            "payloadType": 111,
            "sdpFmtpLine": "minptime=10;useinbandfec=1",
        },
        "IN": {
            "type": "inbound-rtp",
            "kind": "audio",
            "ssrc": 1,
            "codecId": "C1",
            "jitter": 0.004,
            "packetsReceived": received,
            "packetsLost": lost,
            "bytesReceived": received * 120,
            "jitterBufferDelay": emitted * 0.06,
            "jitterBufferTargetDelay": emitted * 0.04,
            "jitterBufferEmittedCount": emitted,
            "totalSamplesReceived": emitted + 4800,
            "concealedSamples": 4800 + lost * 960,
            "silentConcealedSamples": 4800,
            "audioLevel": 0.2,
        },
        "OUT": {
            "type": "outbound-rtp",
            "kind": "audio",
            "ssrc": 2,
            "codecId": "C1",
            "mediaSourceId": "S1",
            "remoteId": "RIN",
            "packetsSent": sent,
            "bytesSent": sent * 80,
        },
        "RIN": {
            "type": "remote-inbound-rtp",
            "kind": "audio",
            "ssrc": 2,
            "fractionLost": 0.02,
            "jitter": 0.007,
            "roundTripTime": 0.05,
        },
        "S1": {"type": "media-source", "kind": "audio", "audioLevel": 0.5},
        "S2": {"type": "media-source", "kind": "video"},
        "D": {"type": "data-channel", "label": "call", "messagesSent": 3},
    }
    for id_, stat in stats.items():
        stat["id"] = id_
        stat.update(changes.get(stat["type"].replace("-", "_"), {}))
        for name in without.get(stat["type"], set()):
            stat.pop(name, None)
    return stats


def firefox_report(*, received: int = 100) -> Report:
    """A report in Firefox's shape: no level of the microphone, no network type."""
    report = chromium_report(
        received=received,
        without={
            "transport": {"selectedCandidatePairId"},
            "media-source": {"audioLevel"},
            "outbound-rtp": {"mediaSourceId"},
            "local-candidate": {"networkType", "relayProtocol"},
        },
    )
    report["CP1"]["selected"] = True
    report["CP0"]["selected"] = False
    return report


# -- first and second ----------------------------------------------------------------------


async def test_first_sample_tells_what_needs_no_sample_before(
    browser: Browser, server: StandInServer
) -> None:
    """Averages are over the call so far; a rate is not known, since nobody knows from when."""
    (first,) = await take_all(browser, server, chromium_report(lost=25))
    assert first == {
        "atMs": 5000,
        "roundTripMs": pytest.approx(42),
        "downlink": {
            "packets": 100,
            "lost": 25,
            "lossShare": pytest.approx(0.2),
            "jitterMs": pytest.approx(4),
            "bitrate": None,
            "jitterBufferMs": pytest.approx(60),
            "jitterBufferTargetMs": pytest.approx(40),
            "concealedShare": pytest.approx(0.25),
            "codec": "opus/48000/2 minptime=10;useinbandfec=1",
            "level": 0.2,
        },
        "uplink": {
            "packets": 150,
            "lossShare": 0.02,
            "jitterMs": pytest.approx(7),
            "bitrate": None,
            "codec": "opus/48000/2 minptime=10;useinbandfec=1",
            "level": 0.5,
        },
        "candidates": {
            "local": "relay",
            "remote": "srflx",
            "protocol": "udp",
            "relayProtocol": "tls",
            "networkType": "wifi",
        },
    }


async def test_second_sample_tells_what_went_on_since_the_first(
    browser: Browser, server: StandInServer
) -> None:
    first = chromium_report(received=100, lost=50, sent=100)
    second = chromium_report(received=140, lost=60, sent=125)
    second["IN"]["jitterBufferDelay"] = first["IN"]["jitterBufferDelay"] + 40 * 960 * 0.1

    _, taken = await take_all(browser, server, first, second, period_ms=500)
    assert taken["downlink"]["lossShare"] == pytest.approx(0.2)
    assert taken["downlink"]["bitrate"] == 40 * 120 * 8 * 2
    assert taken["downlink"]["jitterBufferMs"] == pytest.approx(100)
    assert taken["downlink"]["concealedShare"] == pytest.approx(0.25)
    assert taken["downlink"]["packets"] == 140
    assert taken["downlink"]["lost"] == 60
    assert taken["uplink"]["bitrate"] == 25 * 80 * 8 * 2


async def test_packet_that_came_late_makes_no_negative_loss(
    browser: Browser, server: StandInServer
) -> None:
    """`packetsLost` goes down when a packet that was thought lost arrives."""
    _, taken = await take_all(
        browser, server, chromium_report(lost=3), chromium_report(received=150, lost=2)
    )
    assert taken["downlink"]["lossShare"] == 0
    assert taken["downlink"]["lost"] == 2
    assert taken["downlink"]["bitrate"] == 50 * 120 * 8


# -- what is not there ---------------------------------------------------------------------


async def test_text_call_has_neither_downlink_nor_uplink(
    browser: Browser, server: StandInServer
) -> None:
    audio = {"IN", "OUT", "RIN", "S1", "S2", "C1"}
    report = {id_: stat for id_, stat in chromium_report().items() if id_ not in audio}
    (taken,) = await take_all(browser, server, report)
    assert taken["downlink"] is None
    assert taken["uplink"] is None
    assert taken["roundTripMs"] == pytest.approx(42)
    assert taken["candidates"]["local"] == "relay"


async def test_silence_of_the_agent_is_no_measurement(
    browser: Browser, server: StandInServer
) -> None:
    """No packet came, and the browser filled in silence: no rate, no delay, nothing concealed."""
    report = chromium_report(received=100)
    later = chromium_report(received=100, sent=200)
    for name in ("totalSamplesReceived", "concealedSamples", "silentConcealedSamples"):
        later["IN"][name] += 48_000
    _, taken = await take_all(browser, server, report, later)
    downlink = taken["downlink"]
    for name in (
        "lossShare",
        "bitrate",
        "jitterBufferMs",
        "jitterBufferTargetMs",
        "concealedShare",
    ):
        assert downlink[name] is None, name
    assert downlink["packets"] == 100
    assert taken["uplink"]["bitrate"] == 50 * 80 * 8


async def test_agent_that_has_not_spoken_yet_has_no_jitter(
    browser: Browser, server: StandInServer
) -> None:
    report = chromium_report(received=0, inbound_rtp={"jitter": 0})
    (taken,) = await take_all(browser, server, report)
    assert taken["downlink"]["packets"] == 0
    for name in ("lossShare", "jitterMs", "bitrate", "jitterBufferMs", "concealedShare"):
        assert taken["downlink"][name] is None, name


async def test_report_without_anything_is_null_throughout(
    browser: Browser, server: StandInServer
) -> None:
    """A connection that is not up yet."""
    (taken,) = await take_all(browser, server, {})
    assert taken == {
        "atMs": 5000,
        "roundTripMs": None,
        "downlink": None,
        "uplink": None,
        "candidates": None,
    }


async def test_firefox_report_gives_what_firefox_measures(
    browser: Browser, server: StandInServer
) -> None:
    """The pair that is `selected` counts; a level that is not there is null."""
    _, taken = await take_all(browser, server, firefox_report(), firefox_report(received=150))
    assert taken["roundTripMs"] == pytest.approx(42)
    assert taken["candidates"] == {
        "local": "relay",
        "remote": "srflx",
        "protocol": "udp",
        "relayProtocol": None,
        "networkType": None,
    }
    assert taken["uplink"]["level"] is None
    assert taken["uplink"]["lossShare"] == 0.02
    assert taken["downlink"]["bitrate"] == 50 * 120 * 8
    assert taken["downlink"]["jitterBufferMs"] == pytest.approx(60)


async def test_fields_that_a_browser_leaves_out_are_null(
    browser: Browser, server: StandInServer
) -> None:
    """Not 0, not NaN; the round trip is then the one that the far end's reports give."""
    report = chromium_report(
        without={
            "candidate-pair": {"currentRoundTripTime"},
            "inbound-rtp": {
                "packetsLost",
                "jitter",
                "jitterBufferDelay",
                "jitterBufferTargetDelay",
                "jitterBufferEmittedCount",
                "concealedSamples",
                "silentConcealedSamples",
                "totalSamplesReceived",
                "audioLevel",
                "codecId",
            },
            "remote-inbound-rtp": {"fractionLost", "jitter"},
        }
    )
    (taken,) = await take_all(browser, server, report)
    assert taken["roundTripMs"] == pytest.approx(50)
    nulls = {name for name, value in taken["downlink"].items() if value is None}
    assert nulls == {
        "lossShare",
        "jitterMs",
        "bitrate",
        "jitterBufferMs",
        "jitterBufferTargetMs",
        "concealedShare",
        "codec",
        "level",
    }
    assert taken["uplink"]["lossShare"] is None
    assert taken["uplink"]["jitterMs"] is None


# -- a new connection ----------------------------------------------------------------------


@pytest.mark.parametrize("ssrc", [1, 77])
async def test_counters_of_a_new_connection_begin_anew(
    browser: Browser, server: StandInServer, ssrc: int
) -> None:
    """After a redial the figures are those of the new connection, whatever its SSRC."""
    old = chromium_report(received=500, lost=100, sent=900)
    new = chromium_report(received=30, lost=10, sent=40, inbound_rtp={"ssrc": ssrc})
    newer = chromium_report(received=80, lost=10, sent=90, inbound_rtp={"ssrc": ssrc})

    _, first, second = await take_all(browser, server, old, new, newer)
    assert first["downlink"]["lossShare"] == pytest.approx(0.25)
    assert first["downlink"]["bitrate"] is None
    assert first["uplink"]["bitrate"] is None
    assert second["downlink"]["lossShare"] == 0
    assert second["downlink"]["bitrate"] == 50 * 120 * 8
    assert second["uplink"]["bitrate"] == 50 * 80 * 8


async def test_replaced_stream_with_more_packets_is_not_the_difference(
    browser: Browser, server: StandInServer
) -> None:
    """Another SSRC is another stream, even where its counters are further on."""
    new = chromium_report(received=600, inbound_rtp={"ssrc": 9})
    _, taken = await take_all(browser, server, chromium_report(received=100), new)
    assert taken["downlink"]["bitrate"] is None
    assert taken["downlink"]["packets"] == 600


# -- privacy -------------------------------------------------------------------------------


async def test_no_address_port_or_credential_comes_out(
    browser: Browser, server: StandInServer
) -> None:
    (taken,) = await take_all(browser, server, chromium_report())
    said = json.dumps(taken)
    for secret in ("203.0.113", "198.51.100", "2001:db8", "50263", "40001", "turn.", "r70K"):
        assert secret not in said


# -- a real connection ---------------------------------------------------------------------

LOOP_BACK = """
async () => {
  const { CallStatistics } = await import("/client/statistics.js");
  const context = new AudioContext();
  const tone = context.createOscillator();
  const microphone = context.createMediaStreamDestination();
  tone.connect(microphone);
  tone.start();
  const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
  near.onicecandidate = ({ candidate }) => far.addIceCandidate(candidate);
  far.onicecandidate = ({ candidate }) => near.addIceCandidate(candidate);
  near.createDataChannel("call");
  const [track] = microphone.stream.getAudioTracks();
  near.addTrack(track, microphone.stream);
  const audio = new Audio();
  near.ontrack = ({ streams: [stream] }) => { audio.srcObject = stream; audio.play(); };
  await near.setLocalDescription();
  await far.setRemoteDescription(near.localDescription);
  far.addTrack(track, microphone.stream);
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);

  const statistics = new CallStatistics();
  const take = async () => statistics.take(await near.getStats(), performance.now());
  const untilHeard = async (packets) => {
    for (;;) {
      const stats = await take();
      const isHeard = stats.downlink?.packets >= packets && stats.downlink.bitrate !== null;
      if (isHeard && stats.uplink?.lossShare != null) return stats;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };
  const heard = await untilHeard(100);
  await near.getSenders()[0].replaceTrack(null);
  await far.getSenders()[0].replaceTrack(null);
  const untilSilent = async () => {
    for (;;) {
      const { packets } = (await take()).downlink;
      await new Promise((resolve) => setTimeout(resolve, 500));
      const stats = await take();
      if (stats.downlink.packets === packets) return stats;
    }
  };
  const silent = await untilSilent();
  near.close();
  far.close();
  await context.close();
  return { heard, silent };
}
"""


async def test_real_connection_gives_plausible_figures(
    browser: Browser, server: StandInServer
) -> None:
    """Two peer connections in one page: Opus both ways, then nothing."""
    async with open_blank_page(browser, server) as page:
        result = await _run(page, LOOP_BACK)
    heard, silent = result["heard"], result["silent"]
    assert 0 <= heard["roundTripMs"] < 1000
    assert heard["candidates"]["local"] in {"host", "prflx"}
    assert heard["candidates"]["protocol"] == "udp"

    downlink, uplink = heard["downlink"], heard["uplink"]
    for direction in (downlink, uplink):
        assert direction["codec"].startswith("opus/48000/2")
        assert 3_000 < direction["bitrate"] < 300_000
        assert 0 <= direction["lossShare"] <= 1
        assert 0 <= direction["jitterMs"] < 1000
        assert 0 < direction["level"] <= 1
    assert 0 < downlink["jitterBufferMs"] < 2000
    assert 0 < downlink["jitterBufferTargetMs"] < 2000
    assert 0 <= downlink["concealedShare"] <= 1

    assert silent["downlink"]["bitrate"] is None
    assert silent["downlink"]["jitterBufferMs"] is None
    assert silent["downlink"]["concealedShare"] is None
    assert silent["downlink"]["lossShare"] is None
    assert silent["uplink"]["bitrate"] is None


async def _run(page: Page, script: str) -> dict[str, Any]:
    result: dict[str, Any] = await page.evaluate(script)
    return result
