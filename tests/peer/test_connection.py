"""The peer connection against a real aiortc client over real UDP."""

from __future__ import annotations

import asyncio
import datetime
import re
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiortc.rtcdtlstransport import RTCDtlsTransport
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from rtc_server.errors import CallEnded, CandidateError, OfferError, Outcome, ServerBusy
from rtc_server.media.opus import DECODED_RATE
from rtc_server.messages import ClientText, Text
from rtc_server.peer import aiortc_dtls, aiortc_internals
from rtc_server.peer.connection import PeerConnection
from rtc_server.peer.offer import parse_offer
from rtc_server.peer.uplink import UplinkAudio
from rtc_server.settings import Limits, Settings

from .rtc_client import RtcClient, dominant_frequency, tone
from .support import Peer, call, sample, until
from .test_offer import OFFER


async def test_voice_and_messages_go_both_ways() -> None:
    """Tones survive in both directions, a message is echoed, and the counters count."""
    async with call() as (peer, client):
        assert (await client.next_message())["type"] == "ready"
        client.send({"type": "ping", "t": 7})
        assert await client.next_message("pong") == {"type": "pong", "t": 7}

        client.microphone.tone(440, seconds=0.6)
        peer.speak(tone(1000, 0.6, rate=24_000))
        await until(lambda: len(peer.sink.frames) == 31 and client.microphone.is_silent)
        await client.wait_for(lambda: len(client.packets) == 31)
        await until(lambda: len(peer.sink.audio) >= 32)

        heard = client.pcm()
        assert dominant_frequency(heard[9600:48000]) == pytest.approx(1000, abs=10)
        # The tone begins somewhere in the first frames and lasts 600 ms.
        loud = max(range(len(peer.sink.audio) - 20), key=lambda n: _energy(peer, n, 20))
        spoken = b"".join(one.pcm for one in peer.sink.audio[loud : loud + 20])
        assert dominant_frequency(spoken, DECODED_RATE) == pytest.approx(440, abs=10)
        assert any(one.speech for one in peer.sink.audio)

        statistics = await peer.connection.stats()
        assert statistics["state"] == "connected"
        assert statistics["uplink"]["packets"] >= 32
        assert statistics["downlink"]["packets"] == 31
        assert statistics["candidate_pairs"][0]["local"]["type"] == "host"
        assert sample(peer.metrics, "rtc_packets_total", direction="downlink") == 31
        assert sample(peer.metrics, "rtc_packets_total", direction="uplink") >= 32
        assert sample(peer.metrics, "rtc_packets_lost_total", direction="uplink") == 0


def _energy(peer: Peer, start: int, count: int) -> float:
    pcm = b"".join(one.pcm for one in peer.sink.audio[start : start + count])
    return float(np.abs(np.frombuffer(pcm, dtype="<i2").astype(np.float64)).sum())


@pytest.mark.parametrize("losses", [{25}, set(range(25, 30))], ids=["one", "five in a row"])
async def test_a_loss_delays_nothing_that_follows(losses: set[int]) -> None:
    """After packets were lost every packet brings its piece at once, as it did before."""
    async with call(data=False) as (peer, client):
        sent: list[int] = []

        def is_lost(sequence_number: int) -> bool:
            sent.append(sequence_number)
            return len(sent) - 1 in losses

        behind = _count_packets_behind(peer)
        client.drop = is_lost
        await until(lambda: len(sent) >= 60)
        client.microphone.paused = True
        # One that was under way when the counting began may be among them.
        await until(lambda: len(behind) >= len(sent) - len(losses))

        assert set(behind[3:20]) == {0}, "before"
        assert set(behind[-20:]) == {0}, "afterwards"
        assert peer.connection.uplink is not None
        counts = peer.connection.uplink.statistics()
        assert counts.lost == len(losses)
        assert sample(peer.metrics, "rtc_packets_lost_total", direction="uplink") == len(losses)


def _count_packets_behind(peer: Peer) -> list[int]:
    """For each piece of decoded audio, how many packets had arrived and were not decoded."""
    behind: list[int] = []
    on_audio = peer.sink.on_audio
    already = sample(peer.metrics, "rtc_packets_total", direction="uplink")

    def count(audio: UplinkAudio) -> None:
        on_audio(audio)
        if audio.arrived_at is not None:
            arrived = sample(peer.metrics, "rtc_packets_total", direction="uplink") - already
            behind.append(round(arrived) - len(behind) - 1)

    peer.sink.on_audio = count  # type: ignore[method-assign]
    return behind


async def test_a_paused_microphone_ends_the_stream_once() -> None:
    """Silence is filled in for a bounded time, then the stream ends, and can go on again."""
    async with call(data=False) as (peer, client):
        await until(lambda: len(peer.sink.audio) > 5)
        begun = len(peer.sink.audio)
        client.microphone.paused = True
        await until(lambda: peer.sink.stream_ends == 1)
        filled = sum(one.arrived_at is None for one in peer.sink.audio[begun:])
        assert 90 <= filled <= 105
        client.microphone.paused = False
        count = len(peer.sink.audio)
        await until(lambda: len(peer.sink.audio) > count + 5)
        assert peer.sink.stream_ends == 1


async def test_no_thread_is_left_running_in_a_call() -> None:
    """aiortc's decoder thread ends at once, and no codec brings others."""
    before = set(threading.enumerate())
    async with call() as (peer, client):
        peer.speak(tone(500, 0.1, rate=24_000))
        await client.wait_for(lambda: len(client.packets) == 6)
        await until(lambda: len(peer.sink.audio) > 5)
        assert set(threading.enumerate()) == before


async def test_nothing_is_sent_while_the_agent_is_silent() -> None:
    """No packet leaves before there is audio, nor after the closing frame."""
    async with call() as (peer, client):
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")
        assert client.packets == []
        peer.speak(tone(500, 0.2, rate=24_000))
        await client.wait_for(lambda: len(client.packets) == 11)
        await asyncio.sleep(0.1)
        assert len(client.packets) == 11
        assert peer.sink.frames[-1][0].closing


async def test_the_rtp_clock_runs_through_a_silence() -> None:
    """The timestamps of a second talk spurt count the silence before it."""
    async with call() as (peer, client):
        peer.speak(tone(500, 0.1, rate=24_000), turn=1)
        await client.wait_for(lambda: len(client.packets) == 6)
        await asyncio.sleep(0.3)
        peer.speak(tone(500, 0.1, rate=24_000), turn=2)
        await client.wait_for(lambda: len(client.packets) == 12)
        steps = [
            (b.timestamp - a.timestamp) % 2**32
            for a, b in zip(client.packets, client.packets[1:], strict=False)
        ]
        passed_s = client.packets[6].arrived_at - client.packets[5].arrived_at
        assert steps[5] >= 0.3 * 48_000
        assert steps[5] / 48_000 == pytest.approx(passed_s, abs=0.1)
        numbers = [one.sequence_number for one in client.packets]
        assert numbers == list(range(numbers[0], numbers[0] + 12))


@pytest.mark.parametrize(
    ("direction", "answered"), [("recvonly", "sendonly"), ("sendonly", "recvonly")]
)
async def test_a_one_way_offer_is_answered_one_way(direction: str, answered: str) -> None:
    """A caller who only listens or only speaks gets that and no more."""
    async with call(audio=direction) as (peer, client):
        assert f"a={answered}\r\n" in client.answer
        if direction == "recvonly":
            assert peer.connection.uplink is None
            peer.speak(tone(500, 0.1, rate=24_000))
            await client.wait_for(lambda: len(client.packets) == 6)
        else:
            assert peer.connection.downlink is None
            await until(lambda: len(peer.sink.audio) > 5)


async def test_a_call_without_audio_is_a_text_call() -> None:
    """Messages flow without an audio section."""
    async with call(audio=None) as (peer, client):
        assert peer.connection.uplink is None
        assert peer.connection.downlink is None
        client.send({"type": "text", "data": "hello"})
        await until(lambda: peer.sink.messages == [ClientText("hello")])
        peer.connection.data_channel.send(Text(data="hi", turn=1))
        assert (await client.next_message("text"))["data"] == "hi"


async def test_an_unbundled_offer_is_answered_with_two_transports_at_most() -> None:
    """Without BUNDLE audio and data have a transport each, and both work."""

    def unbundle(sdp: str) -> str:
        return "".join(
            line for line in sdp.splitlines(keepends=True) if not line.startswith("a=group")
        )

    async with call(change_offer=unbundle) as (peer, client):
        assert "a=group" not in client.answer
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")
        await until(lambda: len(peer.sink.audio) > 5)
        assert len((await peer.connection.stats())["transports"]) == 2


@pytest.mark.parametrize("first", ["audio", "data"])
async def test_all_of_a_bundle_flows_over_one_transport(first: str) -> None:
    """Whichever section the group names first, which is the one whose transport is used."""

    def name_first(sdp: str) -> str:
        group = r"(?m)^a=group:BUNDLE (\S+) (\S+)"
        return sdp if first == "audio" else re.sub(group, r"a=group:BUNDLE \2 \1", sdp)

    async with call(change_offer=name_first) as (peer, client):
        client.send({"type": "ping", "t": 1})
        await client.next_message("pong")
        await until(lambda: len(peer.sink.audio) > 5)
        peer.speak(tone(500, 0.1, rate=24_000))
        await client.wait_for(lambda: len(client.packets) == 6)
        assert len((await peer.connection.stats())["transports"]) == 1
        # Those in the offer, and not only such as the caller's checks came from.
        [transport] = aiortc_internals.transports(peer.connection._pc)
        known = transport.transport.iceGatherer._connection.remote_candidates
        assert known
        assert {one.type for one in known} == {"host"}


async def test_a_video_section_without_a_track_is_taken() -> None:
    """It is there for a camera that is switched on later, and costs nothing until then."""
    peer = Peer()
    client = RtcClient(peer.place)
    client.pc.addTransceiver("video")
    async with client:
        await client.wait_open()
        kinds = [line for line in client.answer.splitlines() if line.startswith("m=")]
        assert [line.split()[0] for line in kinds] == ["m=audio", "m=video", "m=application"]
        assert client.answer.count("a=recvonly") == 1
        assert [one.currentDirection for one in client.pc.getTransceivers()] == [
            "sendrecv",
            "sendonly",
        ]
        await until(lambda: len(peer.sink.audio) > 5)
        assert not [one for one in threading.enumerate() if one.name.startswith("pictures")]
    await peer.close()


async def test_a_caller_is_reached_without_any_usable_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """mDNS names cost no time, for nobody is asked of them: the caller is found as it comes."""
    asked: list[object] = []

    async def ask(subscriber: object) -> None:
        asked.append(subscriber)
        raise OSError

    monkeypatch.setattr("aioice.ice.get_or_create_mdns_protocol", ask)

    def only_mdns(sdp: str) -> str:
        lines = [one for one in sdp.splitlines() if not one.startswith("a=candidate")]
        at = lines.index("a=end-of-candidates")
        lines.insert(at, "a=candidate:1 1 udp 2113937151 0c2b.local 40000 typ host")
        return "\r\n".join(lines) + "\r\n"

    async with call(change_offer=only_mdns) as (peer, _):
        assert asked == []
        pair = (await peer.connection.stats())["candidate_pairs"][0]
        assert pair["remote"]["type"] == "prflx"


async def test_trickled_candidates_are_taken() -> None:
    """An offer without candidates connects by those that come later."""
    lines: list[str] = []

    def without_candidates(sdp: str) -> str:
        lines.extend(one for one in sdp.splitlines() if one.startswith("a=candidate:"))
        return "\r\n".join(one for one in sdp.splitlines() if one not in lines) + "\r\n"

    peer = Peer()
    client = RtcClient(peer.place, change_offer=without_candidates)
    await client.negotiate()
    own = dict.fromkeys(one.removeprefix("a=") for one in lines)
    await peer.connection.add_candidates(
        [
            *({"candidate": one, "sdpMid": "0", "sdpMLineIndex": 0} for one in own),
            {"candidate": "candidate:1 1 udp 1 0c2b.local 40000 typ host", "sdpMid": "0"},
            {"candidate": ""},
            None,
        ]
    )
    await peer.connection.wait_connected()
    await client.close()
    await peer.close()


async def test_candidates_are_checked_and_counted() -> None:
    """Nonsense is an error, and so is one candidate too many."""
    peer = Peer(Settings(limits=Limits(candidates_per_call=5)))
    client = RtcClient(peer.place, change_offer=_without_candidates)
    await client.negotiate()
    add = peer.connection.add_candidates
    line = "candidate:1 1 udp 2113937151 127.0.0.1 {port} typ host"
    for entry in (
        {"candidate": "nonsense", "sdpMid": "0"},
        {"candidate": 5, "sdpMid": "0"},
        {"candidate": line.format(port=9), "sdpMid": "7"},
        {"candidate": line.format(port=9), "sdpMLineIndex": 9},
        {"candidate": line.format(port=9), "sdpMLineIndex": True},
    ):
        with pytest.raises(CandidateError):
            await add([entry])
    await add([{"candidate": line.format(port=40_000 + n), "sdpMid": "0"} for n in range(5)])
    with pytest.raises(CandidateError, match="5 candidates"):
        await add([{"candidate": line.format(port=50_000), "sdpMid": "0"}])
    await client.close()
    await peer.close()


def _without_candidates(sdp: str) -> str:
    kept = [one for one in sdp.splitlines() if not one.startswith("a=candidate:")]
    return "\r\n".join(kept) + "\r\n"


async def test_the_answer_leaves_at_once_and_asks_nobody() -> None:
    """No STUN server is asked: the answer holds host candidates and takes no time."""
    peer = Peer()
    client = RtcClient(peer.place)
    offer = await client.pc.createOffer()
    await client.pc.setLocalDescription(offer)
    begun = time.monotonic()
    answer = await peer.place(client.pc.localDescription.sdp)
    assert time.monotonic() - begun < 1
    assert "a=candidate:" in answer
    assert "typ srflx" not in answer
    assert "a=fmtp:96 minptime=10;useinbandfec=1\r\n" in answer
    assert "usedtx" not in answer
    assert "a=max-message-size:262144\r\n" in answer
    await client.close()
    await peer.close()


async def test_a_public_address_is_offered_with_the_same_ports() -> None:
    """Behind a 1:1 NAT the caller learns the address outside."""
    peer = Peer(Settings(public_ips=("203.0.113.7",)))
    async with RtcClient(peer.place) as client:
        candidates = [one.split() for one in client.answer.splitlines() if "typ" in one]
        host_ports = {one[5] for one in candidates if one[7] == "host" and ":" not in one[4]}
        public_ports = {one[5] for one in candidates if one[4] == "203.0.113.7"}
        assert public_ports == host_ports
    await peer.close()


async def test_media_uses_the_port_range_and_a_full_range_refuses() -> None:
    """Only ports of the range are bound; when none is left the call is refused."""
    settings = Settings(udp_ports=(42_000, 42_000))
    async with call(settings) as (_, client):
        ports = {one.split()[5] for one in client.answer.splitlines() if "typ host" in one}
        assert ports == {"42000"}
        second = Peer(settings)
        other = RtcClient(second.place)
        with pytest.raises(ServerBusy):
            await other.negotiate()
        await other.close()
        await second.close()


async def test_a_peer_with_an_rsa_certificate_is_taken() -> None:
    """The handshake offers RSA suites too."""
    peer = Peer()
    client = RtcClient(peer.place)
    [certificate] = client.pc._RTCPeerConnection__certificates  # type: ignore[attr-defined]
    certificate._key, certificate._cert = _rsa_certificate()
    aiortc_dtls.share_ssl_context(client.pc)
    async with client:
        await peer.connection.wait_connected()
    await peer.close()


def _rsa_certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, certificate


# --------------------------------------------------------------------------
# How it ends
# --------------------------------------------------------------------------


async def test_a_peer_that_hangs_up_is_a_hangup() -> None:
    """A DTLS close ends the call as hung up."""
    async with call() as (peer, client):
        await client.close()
        with pytest.raises(CallEnded) as ended:
            await peer.connection.wait_closed()
        assert ended.value.outcome is Outcome.HANGUP


async def test_a_peer_that_never_connects_is_given_up() -> None:
    """A caller whose candidates lead nowhere, and one that goes away in the handshake."""
    peer = Peer(Settings(limits=Limits(connect_timeout_s=0.3)))
    client = RtcClient(peer.place, change_offer=_without_candidates)
    offer = await client.pc.createOffer()
    await client.pc.setLocalDescription(offer)
    await peer.place(_without_candidates(client.pc.localDescription.sdp))
    with pytest.raises(CallEnded) as ended:
        await peer.connection.wait_connected()
    assert ended.value.outcome is Outcome.NEVER_CONNECTED
    with pytest.raises(CallEnded) as ended:
        await peer.connection.wait_closed()
    assert ended.value.outcome is Outcome.NEVER_CONNECTED
    await client.close()
    await peer.close()


async def test_closing_at_any_time_leaves_nothing() -> None:
    """Five calls, closed before the answer, after it, in the handshake, in the call, twice."""
    peers = [Peer() for _ in range(5)]
    clients = [RtcClient(one.place) for one in peers]

    offer = parse_offer(OFFER, max_candidates=32)
    unanswered = PeerConnection(
        offer,
        settings=Settings(),
        metrics=peers[0].metrics,
        playout=peers[0].playout,
        sink=peers[0].sink,
    )
    await unanswered.close()

    for client in clients[1:]:
        await client.negotiate()
    await peers[1].close()
    await asyncio.sleep(0.05)
    await peers[2].close()
    await peers[3].connection.wait_connected()
    peers[3].speak(tone(500, 0.5, rate=24_000))
    await until(lambda: len(peers[3].sink.frames) > 2)
    await peers[3].close()
    await peers[4].connection.wait_connected()
    closing = asyncio.gather(*(peers[4].close() for _ in range(3)))
    await closing
    await peers[4].close()
    for client in clients:
        await client.close()


@pytest.mark.parametrize("rounds", range(9))
async def test_closing_in_the_moment_that_dtls_is_through_leaves_nothing(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiortc starts sender and receiver then, though it is being closed."""
    peer = Peer()
    client = RtcClient(peer.place)
    start = RTCDtlsTransport.start
    closing: list[asyncio.Task[None]] = []

    async def start_and_close(self: RTCDtlsTransport, parameters: Any) -> None:
        await start(self, parameters)
        if self in aiortc_internals.transports(peer.connection._pc):
            closing.append(asyncio.create_task(peer.close()))
            for _ in range(rounds):
                await asyncio.sleep(0)

    monkeypatch.setattr(RTCDtlsTransport, "start", start_and_close)
    await client.negotiate()
    await until(lambda: bool(closing))
    await closing[0]
    await client.close()


async def test_close_is_finished_though_it_is_cancelled() -> None:
    """A cancelled close closes all the same, and the cancellation is passed on."""
    async with call() as (peer, _):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(peer.close())
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()
        assert (await peer.connection.stats())["transports"][0]["dtls"] == "closed"


async def test_close_does_not_wait_for_an_rtcp_task_that_died(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A task of aiortc that died of an exception would be waited for for ever."""
    monkeypatch.setattr("aiortc.rtcrtpreceiver.random", SimpleNamespace(random=lambda: -0.45))
    async with call() as (peer, _):
        [receiver] = peer.connection._pc.getReceivers()
        task = receiver._RTCRtpReceiver__rtcp_task  # type: ignore[attr-defined]
        receiver._RTCRtpReceiver__remote_streams[1] = None  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            await task
        receiver._RTCRtpReceiver__remote_streams.clear()  # type: ignore[attr-defined]
        await peer.close()
    assert "did not close in time" not in caplog.text


async def test_close_is_bounded_when_aiortc_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks and sockets are closed by force then."""

    class Never(asyncio.Event):
        def set(self) -> None:
            """What hangs."""

    monkeypatch.setattr("rtc_server.peer.connection.CLOSE_TIMEOUT_S", 0.1)
    async with call() as (peer, _):
        [receiver] = peer.connection._pc.getReceivers()
        receiver._RTCRtpReceiver__rtcp_exited = Never()  # type: ignore[attr-defined]
        begun = time.monotonic()
        await peer.close()
        assert time.monotonic() - begun < 3


async def test_an_offer_aiortc_refuses_is_an_offer_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever aiortc raises, the caller reads one sentence of ours."""
    peer = Peer()

    async def fail(*args: object) -> None:
        raise AssertionError("inner words")

    monkeypatch.setattr("aiortc.RTCPeerConnection.setRemoteDescription", fail)
    with pytest.raises(OfferError) as refused:
        await peer.place(OFFER)
    assert "inner" not in str(refused.value)
    await peer.close()
