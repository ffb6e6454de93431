"""Whole calls: real SDP, ICE, DTLS, SRTP, Opus and SCTP against a scripted model."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.tools.tool_context import ToolContext

from rtc_server.peer.connection import PeerConnection
from rtc_server.peer.uplink import BURST_S, OVERRATE
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    SpeechEnded,
    audio_piece,
    echo_text,
    fail_after,
    interrupted,
    never_answer,
    said,
    silence,
    stall,
    talker,
    text_of,
    text_piece,
    tone,
    turn_complete,
    uses_tool,
)
from tests.e2e.server import Caller, Server
from tests.peer.rtc_client import RtcClient, dominant_frequency
from tests.waiting import until


async def drain_messages(caller: Caller, kind: str, count: int) -> list[dict[str, Any]]:
    """The first ``count`` messages of a kind, once they are there."""
    messages = caller.client.messages
    await caller.client.wait_for(lambda: sum(one["type"] == kind for one in messages) >= count, 20)
    return [one for one in messages if one["type"] == kind]


def audible(client: RtcClient) -> int:
    """How many packets of sound arrived; silence is a few bytes long."""
    return sum(len(one.payload) > 20 for one in client.packets)


async def test_a_question_spoken_is_answered_aloud() -> None:
    async with (
        Server.running(ScriptedLlm(scripts=[talker(seconds=1.0)])) as server,
        server.call() as caller,
    ):
        first = caller.client.messages[0] if caller.client.messages else None
        ready = await caller.client.next_message("ready")
        assert first in (None, ready)
        assert ready["modality"] == "audio"
        assert ready["resumed"] is False
        await caller.ask_aloud()
        turn = await caller.client.next_message("turn", 15)
        assert (turn["turn"], turn["turn_complete"], turn["interrupted"]) == (1, True, False)
        (latency,) = await drain_messages(caller, "latency", 1)
        assert latency["response_ms"] > 0
        assert latency["uplink_ms"] >= 0
        kinds = [one["type"] for one in caller.client.messages]
        assert kinds[0] == "ready"
        states = [one["state"] for one in await drain_messages(caller, "state", 5)]
        assert [one for one, _ in itertools.groupby(states)][-2:] == ["speaking", "listening"]
        assert dominant_frequency(caller.client.pcm()) == pytest.approx(440, abs=10)
        finals = [
            (one["role"], one["text"], one["turn"])
            for one in caller.client.messages
            if one["type"] == "transcript" and one["final"]
        ]
        assert finals == [
            ("user", "I asked", 1),
            ("agent", "Here is an answer to what you said", 1),
        ]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 48000])
async def test_the_agents_audio_keeps_its_pitch_and_length_at_any_rate(rate: int) -> None:
    llm = ScriptedLlm(scripts=[talker(seconds=0.6, rate=rate, wait_playback=False)])
    async with Server.running(llm) as server, server.call() as caller:
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.next_message("turn")
        await caller.client.wait_for(lambda: len(caller.client.packets) >= 31)
        assert 30 <= len(caller.client.packets) <= 32
        assert dominant_frequency(caller.client.pcm()) == pytest.approx(440, abs=10)


async def test_odd_and_empty_pieces_of_audio_lose_no_sample() -> None:
    async def speak(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        pcm = tone(0.4)
        connection.emit(audio_piece(b""))
        for start in range(0, len(pcm), 333):
            connection.emit(audio_piece(pcm[start : start + 333], "audio/pcm"))
        connection.emit(turn_complete())

    async with Server.running(ScriptedLlm(scripts=[speak])) as server, server.call() as caller:
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.next_message("turn")
        await caller.client.wait_for(lambda: len(caller.client.packets) >= 21)
        assert dominant_frequency(caller.client.pcm()) == pytest.approx(440, abs=10)


@pytest.mark.parametrize("order", ["gemini", "cascade"])
async def test_speaking_over_an_answer_stops_it_and_says_what_was_heard(order: Any) -> None:
    llm = ScriptedLlm(scripts=[talker(order=order, answer="one two three four", seconds=8.0)])
    async with Server.running(llm) as server, server.call() as caller:
        client = caller.client
        await caller.ask_aloud()
        await client.wait_for(lambda: audible(client) >= 40)
        await caller.ask_aloud()
        turn = await client.next_message("turn")
        packets_at_turn = len(client.packets)
        assert turn["turn_complete"] is True
        assert turn["interrupted"] is True
        # The answer to what was said over it follows, and only one old packet came between.
        await client.wait_for(
            lambda: any(
                one["type"] == "state" and one["state"] == "listening"
                for one in client.messages[client.messages.index(turn) :]
            )
        )
        old = client.packets[: packets_at_turn + 1]
        received_ms = 20 * sum(len(one.payload) > 20 for one in old)
        assert turn["heard_ms"] == pytest.approx(received_ms, abs=60)
        assert turn["heard_text"] in "one two three four"


async def test_at_most_one_old_packet_leaves_after_an_interruption() -> None:
    async def speak(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(audio_piece(tone(5.0)), said("a long answer"))
        await connection.receive_input()

    async with Server.running(ScriptedLlm(scripts=[speak])) as server, server.call() as caller:
        client = caller.client
        client.send({"type": "text", "data": "hello"})
        await client.wait_for(lambda: audible(client) >= 20)
        client.send({"type": "interrupt"})
        turn = await client.next_message("turn")
        heard = turn["heard_ms"] // 20
        # Whatever else comes, comes while a second of the answer would have been played.
        await asyncio.sleep(0.5)
        assert audible(client) - heard in (0, 1)
        assert len(client.packets) - heard <= 2


async def test_the_barge_in_time_is_that_of_answers_that_were_being_spoken() -> None:
    """An answer that was heard to its end and then called interrupted is none of them."""

    async def speak(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(audio_piece(tone(0.2)), said("one"))
        await connection.receive_text()
        connection.emit(interrupted(), turn_complete())
        connection.emit(audio_piece(tone(5.0)), said("two"))
        await connection.receive_text()
        connection.emit(interrupted(), audio_piece(tone(0.4)), said("three"), turn_complete())

    async with Server.running(ScriptedLlm(scripts=[speak])) as server, server.call() as caller:
        client = caller.client
        client.send({"type": "text", "data": "one"})
        states = await drain_messages(caller, "state", 5)
        assert [one["state"] for one in states] == [
            "initializing",
            "listening",
            "thinking",
            "speaking",
            "listening",
        ]
        client.send({"type": "text", "data": "two"})
        await client.wait_for(lambda: audible(client) >= 40)
        assert (await server.metrics())["rtc_barge_in_seconds_count"] == 0
        client.send({"type": "text", "data": "three"})
        turns = await drain_messages(caller, "turn", 3)
        assert [(one["turn"], one["interrupted"]) for one in turns] == [
            (1, True),
            (2, True),
            (3, False),
        ]
        samples = await server.metrics()
        assert samples["rtc_barge_in_seconds_count"] == 1
        assert samples["rtc_barge_in_seconds_sum"] < 0.4  # not the length of the next answer


async def test_a_text_call_is_answered_in_text_each_character_once() -> None:
    async with (
        Server.running(ScriptedLlm(scripts=[echo_text])) as server,
        server.call(audio=None) as caller,
    ):
        ready = await caller.client.next_message("ready")
        assert ready["modality"] == "text"
        caller.client.send({"mime_type": "text/plain", "data": "hello"})
        await caller.client.next_message("turn")
        pieces = [one for one in caller.client.messages if one["type"] == "text"]
        assert "".join(one["data"] for one in pieces) == "You said: hello"
        assert {one["turn"] for one in pieces} == {1}
        assert [one["turn"] for one in await drain_messages(caller, "latency", 1)] == [1]


@pytest.mark.parametrize("order", ["gemini", "cascade"])
async def test_a_text_call_of_an_agent_that_only_speaks_gets_its_words(order: Any) -> None:
    llm = ScriptedLlm(scripts=[talker(order=order, seconds=0.2, wait_playback=False)])
    async with Server.running(llm) as server, server.call(audio=None) as caller:
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.next_message("turn")
        text = "".join(one["data"] for one in caller.client.messages if one["type"] == "text")
        assert text == "Here is an answer to what you said"


async def test_text_typed_over_an_answer_interrupts_it_and_is_answered() -> None:
    llm = ScriptedLlm(scripts=[talker(seconds=8.0)])
    async with Server.running(llm) as server, server.call() as caller:
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.wait_for(lambda: audible(caller.client) >= 10)
        caller.client.send({"type": "text", "data": "stop"})
        turn = await caller.client.next_message("turn")
        assert turn["interrupted"] is True
        latencies = await drain_messages(caller, "latency", 2)
        assert [one["turn"] for one in latencies] == [1, 2]


async def test_a_new_offer_takes_over_a_live_session_and_the_old_agent_ends_first() -> None:
    running = 0
    most = 0

    async def count(connection: ScriptedConnection) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await echo_text(connection)
        finally:
            running -= 1

    async with (
        Server.running(ScriptedLlm(scripts=[count])) as server,
        server.call(audio=None, session_id="s1") as old,
    ):
        old.client.send({"type": "text", "data": "my name is Ada"})
        await old.client.next_message("turn")
        async with server.call(audio="sendrecv", session_id="s1") as new:
            goaway = await old.client.next_message("goaway")
            assert goaway["reason"] == "replaced"
            await old.client.wait_for(lambda: old.client.pc.connectionState == "closed")
            ready = await new.client.next_message("ready")
            assert (ready["resumed"], ready["modality"]) == (True, "audio")
            new.client.send({"type": "text", "data": "what is my name"})
            await new.client.next_message("turn")
            history = [text_of(one) for one in server.llm.connections[-1].history]
            assert any("my name is Ada" in one for one in history)
            assert most == 1
            assert await old.hang_up() == 404


async def test_three_offers_for_one_session_at_once_leave_one_call() -> None:
    """One that is replaced before it is connected hears nothing of it: the server says how many."""
    async with Server.running(ScriptedLlm(scripts=[echo_text])) as server:
        connected: list[Caller] = []

        async def call() -> None:
            with contextlib.suppress(ConnectionError):
                async with server.call(audio=None, session_id="s1") as caller:
                    connected.append(caller)
                    caller.client.send({"type": "text", "data": "hello"})
                    await caller.client.next_message("goaway", 60)

        async def two_are_replaced() -> bool:
            return (await server.metrics()).get('rtc_calls_total{outcome="replaced"}') == 2

        def is_kept(caller: Caller) -> bool:
            kinds = {one["type"] for one in caller.client.messages}
            return "turn" in kinds and "goaway" not in kinds

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call()) for _ in range(3)]
            await until(two_are_replaced)
            await until(lambda: sum(map(is_kept, connected)) == 1)
            assert server.calls.active == 1
            for task in tasks:
                task.cancel()


async def test_a_session_of_another_user_is_never_reached() -> None:
    async with (
        Server.running(ScriptedLlm(scripts=[echo_text])) as server,
        server.call(audio=None, session_id="s1", user_id="ada") as caller,
    ):
        await caller.client.next_message("ready")
        async with server.call(audio=None, session_id="s1", user_id="eve") as other:
            assert (await other.client.next_message("ready"))["resumed"] is False
            caller.client.send({"type": "ping", "t": 1})
            assert (await caller.client.next_message("pong"))["t"] == 1


async def end_in_an_answer(connection: ScriptedConnection) -> None:
    """Says half of something, and then its stream is over."""
    connection.emit(text_piece("half an ans"))
    connection.end()
    connection.end()  # ADK asks once more after a stream that said something


FAILURES: dict[str, Callable[[], ScriptedLlm]] = {
    "raises when it connects": lambda: ScriptedLlm(
        scripts=[echo_text], connect_errors=[ValueError("secret"), OSError("secret")]
    ),
    "raises in the middle of an answer": lambda: ScriptedLlm(
        scripts=[fail_after(ValueError("secret"), "half an ans"), echo_text]
    ),
    "ends its stream": lambda: ScriptedLlm(scripts=[end_in_an_answer, echo_text]),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_an_agent_that_fails_is_named_and_the_call_goes_on(failure: str) -> None:
    async with Server.running(FAILURES[failure]()) as server:
        async with server.call(audio=None) as caller:
            error = await caller.client.next_message("error")
            assert error["retryable"] is True
            assert "secret" not in str(error)
            caller.client.send({"type": "text", "data": "hello"})
            await caller.client.wait_for(
                lambda: "".join(
                    one["data"] for one in caller.client.messages if one["type"] == "text"
                ).endswith("You said: hello"),
                20,
            )
        assert (
            sum(
                value
                for name, value in (await server.metrics()).items()
                if name.startswith("rtc_agent_errors_total")
            )
            >= 1
        )


def fail(reason: str) -> None:
    """Fails."""
    raise RuntimeError(f"secret {reason}")


async def test_a_tool_that_raises_ends_neither_the_call_nor_the_agent() -> None:
    llm = ScriptedLlm(scripts=[uses_tool("fail", reason="why")])
    async with Server.running(llm, tools=[fail]) as server, server.call(audio=None) as caller:
        for _ in range(2):
            caller.client.send({"type": "text", "data": "go"})
            await caller.client.next_message("turn")
        phases = [one["phase"] for one in caller.client.messages if one["type"] == "tool"]
        assert phases == ["call", "result"] * 2


async def test_an_agent_that_does_not_take_audio_costs_only_its_oldest() -> None:
    async with Server.running(ScriptedLlm(scripts=[stall])) as server, server.call() as caller:

        async def enough() -> bool:
            name = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="stalled"}'
            return (await server.metrics()).get(name, 0) >= 0.5

        await until(enough)
        caller.client.send({"type": "ping", "t": 7})
        assert (await caller.client.next_message("pong"))["t"] == 7


async def test_the_model_hears_that_the_stream_paused() -> None:
    ended = asyncio.Event()

    async def listen(connection: ScriptedConnection) -> None:
        while True:
            one = await connection.receive_input()
            if getattr(one, "audio_stream_end", False):
                ended.set()

    async with Server.running(ScriptedLlm(scripts=[listen])) as server, server.call() as caller:
        await caller.client.wait_for(lambda: caller.client.microphone.sent > 20)
        caller.client.microphone.paused = True
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_muted_microphone_is_not_listened_to() -> None:
    heard: list[object] = []

    async def listen(connection: ScriptedConnection) -> None:
        while True:
            heard.append(await connection.hear())

    async with Server.running(ScriptedLlm(scripts=[listen])) as server, server.call() as caller:
        await caller.client.next_message("ready")
        caller.client.send({"type": "mute", "muted": True})
        caller.client.send({"type": "ping", "t": 1})
        await caller.client.next_message("pong")
        await caller.ask_aloud(0.4)
        said = caller.client.microphone.sent
        await caller.client.wait_for(lambda: caller.client.microphone.sent > said + 5)
        caller.client.send({"type": "mute", "muted": False})
        await caller.client.wait_for(lambda: caller.client.microphone.sent > said + 40)
        assert not [one for one in heard if isinstance(one, SpeechEnded)]


async def test_a_caller_without_a_data_channel_has_a_full_voice_call() -> None:
    async with (
        Server.running(ScriptedLlm(scripts=[talker(seconds=0.5)])) as server,
        server.call(data=False) as caller,
    ):
        await caller.ask_aloud()
        await caller.client.wait_for(lambda: audible(caller.client) >= 20)


async def test_a_flood_of_microphone_messages_is_dropped_beyond_real_time() -> None:
    """Ten seconds at once are a network that stalled; hundreds would cost the other calls."""
    six_seconds = base64.b64encode(bytes(6 * 32_000)).decode()
    async with (
        Server.running(ScriptedLlm(scripts=[never_answer])) as server,
        server.call(audio=None) as caller,
    ):
        await caller.client.next_message("ready")
        await server.llm.wait_connected()
        began = time.monotonic()
        for _ in range(5):
            caller.client.send({"mime_type": "audio/pcm", "data": six_seconds})
        caller.client.send({"type": "ping", "t": 1})
        await caller.client.next_message("pong")
        flood = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="flood"}'
        taken_s = 30 - (await server.metrics())[flood]
        # All that time the server's budget has grown, however slow this machine is.
        assert 6 <= taken_s <= BURST_S + OVERRATE * (time.monotonic() - began)
        assert server.llm.connections[0].audio_bytes <= taken_s * 32_000


async def test_a_greeting_makes_the_agent_speak_first_in_a_new_conversation_only() -> None:
    settings = Settings(port=0, greeting="Greet the caller.")
    async with Server.running(ScriptedLlm(scripts=[echo_text]), settings) as server:
        async with server.call(audio=None, session_id="s1") as caller:
            await caller.client.next_message("turn")
            texts = [one["data"] for one in caller.client.messages if one["type"] == "text"]
            assert "".join(texts) == "You said: Greet the caller."
        async with server.call(audio=None, session_id="s1") as caller:
            caller.client.send({"type": "text", "data": "hello"})
            await caller.client.next_message("turn")
            texts = [one["data"] for one in caller.client.messages if one["type"] == "text"]
            assert "".join(texts) == "You said: hello"


async def test_the_description_of_a_call_tells_its_state_and_its_media() -> None:
    async with Server.running(ScriptedLlm(scripts=[talker(seconds=0.4)])) as server:
        async with server.call() as caller:
            await caller.ask_aloud()
            await caller.client.next_message("turn")
            described = await caller.describe()
            assert described["turns"] == 1
            assert described["connected"] is True
            assert described["timings"]["setup_ms"] > 0
            assert described["media"]
        samples = await server.metrics()
        assert samples["rtc_response_seconds_count"] == 1
        assert samples["rtc_uplink_seconds_count"] > 10
        assert samples['rtc_packets_total{direction="uplink"}'] > 10
        assert samples['rtc_packets_total{direction="downlink"}'] > 10
        assert samples["rtc_call_setup_seconds_count"] == 1


async def test_offers_that_come_at_once_are_answered_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each answer keeps the event loop for milliseconds, and the calls that go on have frames."""
    running = most = 0
    answer = PeerConnection.answer

    async def counted(self: PeerConnection) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await answer(self)
        finally:
            running -= 1

    monkeypatch.setattr(PeerConnection, "answer", counted)
    settings = Settings(port=0, limits=Limits(connect_timeout_s=3.0, max_calls=12))
    async with Server.running(ScriptedLlm(scripts=[never_answer]), settings) as server:
        async with server.call(audio=None) as caller:
            sdp = caller.client.pc.localDescription.sdp
        await until(lambda: server.calls.active == 0)
        statuses = await asyncio.gather(*(server.post_offer(sdp) for _ in range(15)))
        assert sorted(status for status, _ in statuses) == [201] * 12 + [503] * 3
        assert most == 1
        await until(lambda: server.calls.active == 0)


async def test_hanging_up_twice_is_not_found() -> None:
    async with Server.running(ScriptedLlm(scripts=[never_answer])) as server:
        async with server.call() as caller:
            assert await caller.hang_up() == 200
            assert await caller.hang_up() == 404
            await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed")
        assert server.calls.active == 0
        metrics = await server.metrics()
        assert metrics['rtc_calls_total{outcome="hangup"}'] == 1
        assert metrics["rtc_call_duration_seconds_count"] == 1


async def test_a_full_server_says_so_and_takes_a_call_again_when_one_has_ended() -> None:
    settings = Settings(port=0, limits=Limits(max_calls=1))
    async with Server.running(ScriptedLlm(scripts=[never_answer]), settings) as server:
        async with server.call(audio=None) as caller:
            status, problem = await server.post_offer(caller.client.pc.localDescription.sdp)
            assert (status, problem["status"]) == (503, 503)
            async with server.http.get("/readyz") as response:
                assert response.status == 503
            await caller.hang_up()
        async with server.call(audio=None) as again:
            await again.client.next_message("ready")


async def test_a_call_ends_at_its_longest_and_is_told_before() -> None:
    settings = Settings(port=0, limits=Limits(max_call_s=4.0))
    async with (
        Server.running(ScriptedLlm(scripts=[never_answer]), settings) as server,
        server.call(audio=None) as caller,
    ):
        goaway = await caller.client.next_message("goaway")
        assert goaway["reason"] == "max_duration"
        assert 0 < goaway["seconds"] <= 2
        await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed")


async def test_a_call_that_ends_in_an_answer_ends_the_answer_too() -> None:
    settings = Settings(port=0, limits=Limits(max_call_s=4.0))
    llm = ScriptedLlm(scripts=[talker(seconds=8.0)])
    async with Server.running(llm, settings) as server, server.call() as caller:
        caller.client.send({"type": "text", "data": "hello"})
        turn = await caller.client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (1, True)
        assert turn["heard_ms"] > 0
        await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed")
        assert sum(one["type"] == "turn" for one in caller.client.messages) == 1


async def test_the_session_state_crosses_both_ways_where_the_operator_allows_it() -> None:
    def feel(tool_context: ToolContext) -> str:
        """Changes what the caller may see, and what not."""
        tool_context.state.update({"mood": "better", "user:name": "Ada", "secret": 1})
        return str(tool_context.state.get("wish"))

    settings = Settings(port=0, allow_state=("mood", "wish", "user:name"))
    async with (
        Server.running(ScriptedLlm(scripts=[uses_tool("feel")]), settings, tools=[feel]) as server,
        server.call(audio=None) as caller,
    ):
        caller.client.send({"type": "session_state", "delta": {"wish": "tea"}})
        for key in ("user:name", "app:name", "temp:name", "secret"):
            caller.client.send({"type": "session_state", "delta": {key: 1}})
            assert (await caller.client.next_message("error"))["code"] == "state_refused"
        caller.client.send({"type": "text", "data": "hello"})
        await caller.client.next_message("turn")
        messages = caller.client.messages
        deltas = [one["delta"] for one in messages if one["type"] == "session_state"]
        assert deltas == [{"mood": "better"}]
        assert "tea" in "".join(one["data"] for one in messages if one["type"] == "text")


async def test_a_call_in_which_nobody_speaks_ends_and_is_told_before() -> None:
    settings = Settings(port=0, limits=Limits(idle_s=3.0))
    async with (
        Server.running(ScriptedLlm(scripts=[never_answer]), settings) as server,
        server.call() as caller,
    ):
        goaway = await caller.client.next_message("goaway")
        assert goaway["reason"] == "idle"
        await caller.client.wait_for(lambda: caller.client.pc.connectionState == "closed")


async def test_a_server_that_stops_tells_its_callers() -> None:
    async with (
        Server.running(ScriptedLlm(scripts=[never_answer])) as server,
        server.call() as caller,
        server.call(audio=None) as other,
    ):
        await caller.client.next_message("ready")
        async with asyncio.TaskGroup() as group:
            group.create_task(server.calls.drain())
            for one in (caller, other):
                goaway = await one.client.next_message("goaway")
                assert goaway["reason"] == "drain"
                assert await one.hang_up() == 200


async def test_a_caller_who_is_silent_hears_nothing_and_is_sent_nothing() -> None:
    async with (
        Server.running(ScriptedLlm(scripts=[never_answer])) as server,
        server.call() as caller,
    ):
        await caller.client.wait_for(lambda: caller.client.microphone.sent > 60)
        assert caller.client.packets == []


async def test_one_calls_trouble_does_not_touch_another() -> None:
    llm = ScriptedLlm(
        scripts=[talker(seconds=2.0), fail_after(ValueError("secret"), "half"), echo_text]
    )
    async with Server.running(llm) as server, server.call() as well:
        await well.ask_aloud()
        await well.client.wait_for(lambda: audible(well.client) >= 5)
        async with server.call(audio=None) as ill:
            await ill.client.next_message("error")
        turn = await well.client.next_message("turn")
        assert turn["interrupted"] is False
        assert audible(well.client) == pytest.approx(100, abs=2)


async def test_silence_of_the_agent_costs_no_time_in_the_next_answer() -> None:
    async def speak(connection: ScriptedConnection) -> None:
        for _ in range(2):
            await connection.receive_text()
            connection.emit(audio_piece(tone(0.2) + silence(0.2)), turn_complete())

    async with Server.running(ScriptedLlm(scripts=[speak])) as server, server.call() as caller:
        for _ in range(2):
            caller.client.send({"type": "text", "data": "hello"})
            await caller.client.next_message("turn")
        for latency in await drain_messages(caller, "latency", 2):
            # The first packet leaves at once and not at some clock's next tick: well under
            # the frame that a free-running clock would cost on average.
            assert latency["playout_ms"] < latency["response_ms"] + 1
