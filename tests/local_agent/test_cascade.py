"""The connection: false alarms, timers that speak up, and the private seams of ADK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from google.adk.live import (
    AgentSpokenOutput,
    AudioChunk,
    CascadeLive,
    EgressEvent,
    IngressEvent,
    LiveEgress,
    LiveIngress,
    UserSpeechStarted,
    UserTurnFinished,
)
from google.adk.live._cascade_live_connection import CascadeLiveConnection, _State
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from typing_extensions import override
from websockets.exceptions import ConnectionClosedOK

from rtc_server.local_agent.cascade import LocalCascade, LocalConnection, TimerWatch
from rtc_server.local_agent.language_model import RuleBasedLlm
from rtc_server.local_agent.timers import Timer, instruction_line

from ..waiting import until
from .live import FakeClock

SPEECH = types.Blob(data=b"\x00\x00", mime_type="audio/pcm;rate=16000")


class ScriptedIngress(LiveIngress):
    """Says what the test puts into it, whatever the audio is."""

    def __init__(self) -> None:
        self.script: asyncio.Queue[IngressEvent] = asyncio.Queue()

    @override
    async def __call__(
        self, audio: AsyncIterator[types.Blob]
    ) -> AsyncGenerator[IngressEvent, None]:
        async for _ in audio:
            while True:
                yield await self.script.get()


class ScriptedEgress(LiveEgress):
    """Makes a second of "audio" of every delta, after ``ready`` is set."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()

    @override
    async def __call__(
        self, text: AsyncIterator[str], *, cancel: asyncio.Event
    ) -> AsyncGenerator[EgressEvent, None]:
        async for delta in text:
            await self.ready.wait()
            blob = types.Blob(data=bytes(48_000), mime_type="audio/pcm;rate=24000")
            yield AudioChunk(blob=blob)
            yield AgentSpokenOutput(text=delta)


class Call:
    """A connection and what it says."""

    def __init__(self, connection: BaseLlmConnection) -> None:
        self.connection = connection
        self.responses: list[LlmResponse] = []

    async def next(self, wanted: str) -> LlmResponse:
        """The next response in which the attribute ``wanted`` is set."""
        async with asyncio.timeout(20):
            async for response in self.connection.receive():
                self.responses.append(response)
                if getattr(response, wanted):
                    return response
        raise AssertionError("the connection was closed")

    async def interrupt(self) -> None:
        assert isinstance(self.connection, LocalConnection)
        await self.connection.send_realtime(types.ActivityStart())

    async def said(self) -> str:
        response = await self.next("output_transcription")
        assert response.output_transcription is not None
        return response.output_transcription.text or ""


class Connected:
    """``async with`` a connection of :class:`LocalCascade` to scripted ears and mouth."""

    def __init__(self, *, instruction: str = "", clock: FakeClock | None = None) -> None:
        self.ingress, self.egress = ScriptedIngress(), ScriptedEgress()
        self._model = LocalCascade(
            RuleBasedLlm(), stt=self.ingress, tts=self.egress, clock=clock or FakeClock()
        )
        self._request = LlmRequest(
            config=types.GenerateContentConfig(system_instruction=instruction)
        )

    async def __aenter__(self) -> Call:
        self._context = self._model.connect(self._request)
        connection = await self._context.__aenter__()
        await connection.send_realtime(SPEECH)
        return Call(connection)

    async def __aexit__(self, *error: object) -> None:
        await self._context.__aexit__(None, None, None)


def state_of(connection: BaseLlmConnection) -> _State:
    assert isinstance(connection, CascadeLiveConnection)
    return connection._state


def user(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


@contextmanager
def playback_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the estimated end of playback be now."""
    with monkeypatch.context() as patched:
        patched.setattr("google.adk.live._cascade_live_connection._pcm_duration_ms", lambda b: 0.0)
        yield


def test_private_attributes_of_adk_are_still_there() -> None:
    """LocalConnection was written against google-adk 2.13; this says when that has changed."""
    for name in ("_emit", "_start_reasoning", "_on_speech_started", "_on_user_turn_finished"):
        assert callable(getattr(CascadeLiveConnection, name))
    assert {state.name for state in _State} == {"LISTENING", "THINKING", "AGENT_SPEAKING"}


async def test_private_fields_of_the_connection_are_still_there() -> None:
    async with Connected() as call:
        for name in ("_state", "_contents", "_input_ready", "_turn", "_turn_loop", "_ingress_task"):
            assert hasattr(call.connection, name)


async def test_false_alarm_while_thinking_is_followed_by_the_answer() -> None:
    connected = Connected()
    connected.egress.ready.clear()
    async with connected as call:
        await call.connection.send_content(user("Who are you?"))
        await until(lambda: state_of(call.connection) is _State.THINKING)
        connected.ingress.script.put_nowait(UserSpeechStarted())
        assert (await call.next("interrupted")).interrupted
        connected.egress.ready.set()
        connected.ingress.script.put_nowait(UserTurnFinished(text=""))
        assert "embedded agent" in await call.said()


async def test_plain_cascade_stays_silent_after_the_same_false_alarm() -> None:
    """The trap itself: once ADK answers here by itself, LocalConnection need not."""
    ingress, egress = ScriptedIngress(), ScriptedEgress()
    egress.ready.clear()
    model = CascadeLive(RuleBasedLlm(), stt=ingress, tts=egress)
    async with model.connect(LlmRequest()) as connection:
        call = Call(connection)
        await connection.send_realtime(SPEECH)
        await connection.send_content(user("Who are you?"))
        await until(lambda: state_of(connection) is _State.THINKING)
        ingress.script.put_nowait(UserSpeechStarted())
        await call.next("interrupted")
        egress.ready.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert connection._out.empty()  # type: ignore[attr-defined]


async def test_false_alarm_while_speaking_goes_on_where_the_answer_stopped() -> None:
    connected = Connected()
    async with connected as call:
        await call.connection.send_content(user("Who are you?"))
        first = await call.said()
        connected.ingress.script.put_nowait(UserSpeechStarted())
        await call.next("interrupted")
        connected.ingress.script.put_nowait(UserTurnFinished(text=""))
        assert await call.said() == first  # nothing of it had been heard to its end


async def test_false_alarm_while_listening_answers_nothing() -> None:
    connected = Connected()
    async with connected as call:
        connected.ingress.script.put_nowait(UserSpeechStarted())
        connected.ingress.script.put_nowait(UserTurnFinished(text=""))
        connected.ingress.script.put_nowait(UserTurnFinished(text="Can you hear me?"))
        response = await call.next("input_transcription")
        assert response.input_transcription is not None
        assert response.input_transcription.text == "Can you hear me?"
        assert await call.said() == "Yes, I can hear you."
        assert not any(response.interrupted for response in call.responses)


async def test_interruption_from_outside_is_no_false_alarm() -> None:
    connected = Connected()
    async with connected as call:
        await call.connection.send_content(user("Who are you?"))
        await call.said()
        await call.interrupt()
        await call.next("interrupted")
        connected.ingress.script.put_nowait(UserTurnFinished(text=""))
        connected.ingress.script.put_nowait(UserTurnFinished(text="Thanks."))
        assert await call.said() == "You are welcome."


class TestTimers:
    clock = FakeClock()
    timer = Timer("a", 10, FakeClock().now - 1)

    async def test_timer_of_the_instruction_is_announced(self) -> None:
        connected = Connected(instruction=instruction_line([self.timer]), clock=self.clock)
        async with connected as call:
            response = await call.next("content")
            assert response.content is not None
            (part,) = response.content.parts or []
            assert part.function_call is not None
            assert part.function_call.name == "finish_timer"
            assert part.function_call.args == {"timer_id": "a"}

    async def test_timer_waits_until_the_agent_has_spoken(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = FakeClock()
        later = Timer("a", 10, clock.now + 10)
        connected = Connected(instruction=instruction_line([later]), clock=clock)
        with playback_takes_no_time(monkeypatch):
            async with connected as call:
                connected.egress.ready.clear()
                await call.connection.send_content(user("Who are you?"))
                clock.now += 11
                connected.egress.ready.set()
                await call.next("turn_complete")
                response = await call.next("content")
        assert response.content is not None
        assert (response.content.parts or [])[0].function_call is not None

    async def test_timer_breaks_off_a_long_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rtc_server.local_agent.cascade._SPOKEN_S", 0.0)
        clock = FakeClock()
        later = Timer("a", 10, clock.now + 10)
        connected = Connected(instruction=instruction_line([later]), clock=clock)
        async with connected as call:
            await call.connection.send_content(user("Tell me a story."))
            await call.next("content")  # the tool is called
            result = types.FunctionResponse(
                name="pick_story", response={"title": "The Lamp Keeper"}
            )
            await call.connection.send_content(
                types.Content(role="user", parts=[types.Part(function_response=result)])
            )
            await call.said()
            clock.now += 11
            assert (await call.next("interrupted")).interrupted
            response = await call.next("content")
            assert response.content is not None
            function_call = (response.content.parts or [])[0].function_call
            assert function_call is not None
            assert function_call.args == {"timer_id": "a"}

    async def test_timer_waits_while_the_user_speaks(self) -> None:
        clock = FakeClock()
        later = Timer("a", 10, clock.now + 10)
        connected = Connected(instruction=instruction_line([later]), clock=clock)
        async with connected as call:
            connected.ingress.script.put_nowait(UserSpeechStarted())
            await until(connected.ingress.script.empty)
            clock.now += 11
            connected.ingress.script.put_nowait(UserTurnFinished(text="Can you hear me?"))
            assert await call.said() == "Yes, I can hear you."

    def test_each_timer_is_taken_once_and_in_order(self) -> None:
        watch = TimerWatch([Timer("b", 1, 20.0), Timer("a", 1, 10.0)])
        assert watch.seconds_left(4.0) == 6.0
        assert watch.take_due(9.9) is None
        due = [watch.take_due(30.0), watch.take_due(30.0), watch.take_due(30.0)]
        assert [timer and timer.id for timer in due] == ["a", "b", None]
        watch.update([Timer("a", 1, 10.0)])
        assert watch.take_due(30.0) is None
        assert watch.seconds_left(30.0) is None


async def test_closing_leaves_no_task_and_ends_the_receiver() -> None:
    before = asyncio.all_tasks()
    connected = Connected()
    async with connected as call:
        await call.connection.send_content(user("Who are you?"))
        await call.said()
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionClosedOK):
        await call.next("turn_complete")
