"""The live session over ADK's real runner, with a scripted model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.apps.app import App
from google.adk.events.event import Event
from google.adk.models.llm_request import LlmRequest
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from google.genai.errors import APIError
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from rtc_server.agent.live_events import (
    AgentAudio,
    AgentChanged,
    AgentFailed,
    AgentText,
    AgentTranscript,
    LiveEvent,
    ModelAway,
    ModelBack,
    ModelInterrupted,
    ModelTurnComplete,
    StateChanged,
    ToolCalled,
    ToolReturned,
    UserTranscript,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.retry_rules import RetryRules
from rtc_server.errors import BadRequest
from rtc_server.settings import Limits, Settings

from .conftest import agent_of, serve_agent
from .scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    echo_text,
    end_after,
    fail_after,
    never_answer,
    resumption_handle,
    said,
    silence,
    stall,
    talker,
    text_of,
    text_piece,
    tone,
    tool_call,
    turn_complete,
    uses_tool,
)

SPEECH = tone(0.02, rate=16_000)
QUIET = silence(0.02, rate=16_000)


async def until(live: LiveSession, last: Callable[[LiveEvent], bool]) -> list[LiveEvent]:
    """The events up to the first for which ``last`` holds, or all there are."""
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if last(event):
            break
    return seen


async def answer(live: LiveSession) -> list[LiveEvent]:
    return await until(live, lambda event: isinstance(event, ModelTurnComplete))


def texts(events: list[LiveEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, AgentText))


def failures(events: list[LiveEvent]) -> list[tuple[str, bool]]:
    return [(one.code, one.retryable) for one in events if isinstance(one, AgentFailed)]


def say(live: LiveSession) -> None:
    """A spoken turn of 200 ms and the silence after it."""
    for _ in range(10):
        live.send_audio(SPEECH)
    for _ in range(20):
        live.send_audio(QUIET)


# A call ---------------------------------------------------------------------


async def test_text_turns_are_answered_each_character_once(llm: ScriptedLlm) -> None:
    """Two turns over one connection."""
    llm.scripts = [echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        for words in ("hello", "again"):
            live.send_text(words)
            assert texts(await answer(live)) == f"You said: {words}"
    assert llm.connects == 1


@pytest.mark.parametrize("order", ["gemini", "cascade"])
async def test_speech_is_answered_with_speech(llm: ScriptedLlm, order: Any) -> None:
    """The audio goes in as 16 kHz PCM and comes out whole, with transcripts of both sides."""
    llm.scripts = [talker(order=order, seconds=0.5, wait_playback=False)]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        say(live)
        events = await answer(live)
    pcm = b"".join(one.pcm for one in events if isinstance(one, AgentAudio))
    assert pcm == tone(0.5)
    assert [one for one in events if isinstance(one, UserTranscript)][-1] == UserTranscript(
        "I asked", final=True
    )
    spoken = [one for one in events if isinstance(one, AgentTranscript)]
    assert spoken[-1].final
    assert "".join(one.delta for one in spoken) == spoken[-1].text


async def pieces_heard(llm: ScriptedLlm, send: Callable[[LiveSession], None]) -> list[Any]:
    """What reached the model, in order: sizes of audio in ms, texts."""
    inputs: list[Any] = []

    async def note(connection: ScriptedConnection) -> None:
        while (one := await connection.receive_input()) is not None:
            if isinstance(one, types.Content):
                inputs.append(text_of(one))
                connection.emit(turn_complete())
            elif isinstance(one, types.Blob):
                assert one.data is not None
                inputs.append(len(one.data) // 32)

    llm.scripts = [note]
    patient = Settings(limits=Limits(uplink_backlog_s=60.0))
    async with (
        serve_agent(agent_of(llm), settings=patient) as server,
        server.call("audio") as live,
    ):
        await llm.wait_connected()
        send(live)
        live.send_text("end")
        await answer(live)
    return inputs


async def test_quiet_pieces_are_joined_once_the_caller_has_been_silent(llm: ScriptedLlm) -> None:
    """For 2 s they go one by one; then five are one, until there is a sound, which goes alone."""

    def send(live: LiveSession) -> None:
        handed = [live.send_audio(QUIET, quiet=True) for _ in range(113)]
        assert handed == [True] * 100 + ([False] * 4 + [True]) * 2 + [False] * 3
        assert live.send_audio(SPEECH)

    assert await pieces_heard(llm, send) == [20] * 100 + [100, 100, 60, 20, "end"]


async def test_nothing_overtakes_the_silence_that_waits(llm: ScriptedLlm) -> None:
    """A text comes behind it."""

    def send(live: LiveSession) -> None:
        for _ in range(102):
            live.send_audio(QUIET, quiet=True)

    assert await pieces_heard(llm, send) == [20] * 100 + [40, "end"]


async def test_the_end_of_the_stream_lets_go_of_the_silence_that_waits(llm: ScriptedLlm) -> None:
    """Nothing of a stream that has ended is left for the next one."""

    def send(live: LiveSession) -> None:
        for _ in range(102):
            live.send_audio(QUIET, quiet=True)
        live.end_audio_stream()
        assert live.send_audio(SPEECH)

    assert await pieces_heard(llm, send) == [20] * 100 + [40, 20, "end"]


async def test_while_the_caller_holds_the_button_nothing_is_joined(llm: ScriptedLlm) -> None:
    """He may be about to speak, and the model waits for him to let go."""

    def send(live: LiveSession) -> None:
        for _ in range(100):
            live.send_audio(QUIET, quiet=True)
        live.send_activity("start")
        for _ in range(3):
            assert live.send_audio(QUIET, quiet=True)
        live.send_activity("end")

    assert await pieces_heard(llm, send) == [20] * 103 + ["end"]


async def test_speech_over_the_answer_interrupts_it(llm: ScriptedLlm) -> None:
    """The interruption comes through while the answer would still be playing."""
    llm.scripts = [talker(seconds=60)]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        live.send_text("tell me a story")
        await until(live, lambda event: isinstance(event, AgentTranscript) and event.final)
        say(live)
        events = await answer(live)
    assert ModelInterrupted() in events


@pytest.mark.parametrize(("modality", "asked"), [("audio", "AUDIO"), ("text", "TEXT")])
async def test_run_asks_for_the_modality_and_transcripts(
    llm: ScriptedLlm, modality: Any, asked: str
) -> None:
    """The voice is asked for in spoken calls only; resumption only of Gemini."""
    llm.scripts = [echo_text]
    async with (
        serve_agent(agent_of(llm), settings=Settings(voice="Kore")) as server,
        server.call(modality) as live,
    ):
        live.send_text("hello")
        await answer(live)
    config = llm.connections[0].request.live_connect_config
    assert [str(one.value) for one in config.response_modalities or []] == [asked]
    assert config.input_audio_transcription is not None
    assert config.output_audio_transcription is not None
    assert config.session_resumption is None
    assert (config.speech_config is not None) == (modality == "audio")


async def test_run_config_of_the_caller_is_taken_or_refused(llm: ScriptedLlm) -> None:
    """A field that does not fit is named; nothing of ADK's words is."""
    llm.scripts = [echo_text]
    async with serve_agent(agent_of(llm)) as server:
        async with server.call(run_config={"enable_affective_dialog": True}) as live:
            live.send_text("hello")
            await answer(live)
        for bad in ({"no_such": 1}, {"max_llm_calls": "many"}):
            with pytest.raises(BadRequest, match=next(iter(bad))):
                server.call(run_config=bad)
    assert llm.connections[0].request.live_connect_config.enable_affective_dialog is True


async def test_pictures_signals_and_state_reach_the_agent(llm: ScriptedLlm) -> None:
    """Everything a caller may send, in order."""
    got: list[Any] = []
    complete = asyncio.Event()

    async def collect(connection: ScriptedConnection) -> None:
        while len(got) < 4:
            got.append(await connection.receive_input())
        complete.set()

    llm.scripts = [collect]
    service = InMemorySessionService()
    async with serve_agent(agent_of(llm), service=service) as server, server.call() as live:
        live.send_image("image/jpeg", b"jpeg")
        live.send_activity("start")
        live.send_activity("end")
        live.send_state({"city": "Rome"})
        live.end_audio_stream()
        await complete.wait()
        session = await service.get_session(
            app_name="scripted", user_id="user", session_id="session"
        )
    assert got[0].mime_type == "image/jpeg"
    assert isinstance(got[1], types.ActivityStart)
    assert isinstance(got[2], types.ActivityEnd)
    assert got[3].audio_stream_end
    assert session is not None
    assert session.state["city"] == "Rome"


async def test_state_that_a_tool_changes_is_told(llm: ScriptedLlm) -> None:
    """Without the keys that do not outlive the invocation."""

    def remember(tool_context: ToolContext) -> dict[str, str]:
        tool_context.state["name"] = "Ann"
        tool_context.state["temp:x"] = 1
        return {"ok": "yes"}

    llm.scripts = [uses_tool("remember")]
    async with (
        serve_agent(agent_of(llm, tools=[remember])) as server,
        server.call() as live,
    ):
        live.send_text("I am Ann")
        events = await answer(live)
    assert StateChanged({"name": "Ann"}) in events


async def test_agent_that_takes_over_is_told(llm: ScriptedLlm) -> None:
    """A transfer opens a connection of its own and is no failure."""

    async def introduce(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("I am the expert."), turn_complete())

    other = ScriptedLlm(model="other", scripts=[introduce])

    async def transfer(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("transfer_to_agent", agent_name="expert"))
        await connection.receive_input()

    llm.scripts = [transfer]
    expert = LlmAgent(name="expert", model=other, description="knows")
    async with (
        serve_agent(agent_of(llm, sub_agents=[expert])) as server,
        server.call() as live,
    ):
        live.send_text("ask the expert")
        seen = await until(live, lambda event: isinstance(event, AgentText | AgentFailed))
    assert seen[-2:] == [AgentChanged("expert"), AgentText("I am the expert.")]
    assert failures(seen) == []


# Tools ------------------------------------------------------------------------


async def test_tool_that_raises_is_answered_and_the_call_goes_on(llm: ScriptedLlm) -> None:
    """The model learns that it failed, not what the exception says."""

    def explode() -> dict[str, str]:
        raise RuntimeError("secret")

    llm.scripts = [uses_tool("explode")]
    async with serve_agent(agent_of(llm, tools=[explode])) as server, server.call() as live:
        for _ in range(2):
            live.send_text("go")
            events = await answer(live)
            assert (
                ToolReturned(
                    next(one.id for one in events if isinstance(one, ToolCalled)),
                    "explode",
                    {"error": "The tool explode failed."},
                )
                in events
            )
            assert failures(events) == []
        assert server.metric('rtc_agent_errors_total{code="tool_failed"}') == 2
    assert llm.connects == 1


async def test_tool_error_callback_of_the_agent_comes_first(llm: ScriptedLlm) -> None:
    """Ours answers only what nobody else does."""

    def explode() -> dict[str, str]:
        raise RuntimeError

    def mend(**_: Any) -> dict[str, str]:
        return {"mended": "yes"}

    llm.scripts = [uses_tool("explode")]
    agent = agent_of(llm, tools=[explode], on_tool_error_callback=mend)
    async with serve_agent(agent) as server, server.call() as live:
        live.send_text("go")
        events = await answer(live)
    assert [one.result for one in events if isinstance(one, ToolReturned)] == [{"mended": "yes"}]


async def test_tool_that_does_not_exist_is_answered(llm: ScriptedLlm) -> None:
    """A name that the model made up ends nothing."""
    llm.scripts = [uses_tool("no_such_tool")]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("go")
        assert "no tool with that name" in texts(await answer(live))


@pytest.mark.leaves_resources("the idle thread of the tools ends shortly after the runtime")
async def test_blocking_tool_blocks_neither_the_loop_nor_another_call(llm: ScriptedLlm) -> None:
    """A synchronous tool runs in a thread, an asynchronous one on the server's loop."""
    started, release = threading.Event(), threading.Event()
    loops: list[Any] = []

    def block(tool_context: ToolContext) -> dict[str, str]:
        started.set()
        assert release.wait(10)
        return {"session": tool_context.session.id, "thread": threading.current_thread().name}

    async def look() -> dict[str, str]:
        loops.append(asyncio.get_running_loop())
        return {}

    llm.scripts = [uses_tool("block"), uses_tool("look")]
    async with serve_agent(agent_of(llm, tools=[block, look])) as server:
        await server.runtime.sessions.open("user", "other")
        async with server.call() as live:
            live.send_text("go")
            called = await until(live, lambda event: isinstance(event, ToolCalled))
            await asyncio.to_thread(started.wait, 10)
            other = server.runtime.open_live_session(
                user_id="user", session_id="other", modality="text"
            )
            async with other:
                other.send_text("go")
                assert texts(await answer(other))
            release.set()
            events = called + await answer(live)
    (result,) = [one.result for one in events if isinstance(one, ToolReturned)]
    assert result["session"] == "session"
    assert str(result["thread"]).startswith("tool")
    assert loops == [asyncio.get_running_loop()]


# Failures -----------------------------------------------------------------------


def refused(status: int) -> InvalidStatus:
    return InvalidStatus(Response(status, "no", Headers()))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (APIError(1011, {"message": "secret"}), "agent_lost"),
        (APIError(1008, {"message": "secret"}), "agent_refused"),
        (APIError(429, {"message": "secret"}), "agent_busy"),
        (ConnectionClosedError(None, None), "agent_lost"),
        (refused(503), "agent_lost"),
        (refused(403), "agent_refused"),
        (OSError("secret"), "agent_unreachable"),
        (TimeoutError("secret"), "agent_unreachable"),
        (TypeError("secret"), "agent_failed"),
        (ValueError("secret"), "agent_failed"),
        (RuntimeError("secret"), "agent_failed"),
        (asyncio.CancelledError("secret"), "agent_ended"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
@pytest.mark.parametrize("when", ["connect", "answer"])
async def test_failure_is_told_in_words_and_the_agent_is_called_again(
    llm: ScriptedLlm, error: BaseException, code: str, when: str
) -> None:
    """At the first connect as in the middle of an answer; a text typed meanwhile is kept."""
    if when == "connect":
        llm.connect_errors = [error]
        llm.scripts = [echo_text]
    else:
        llm.scripts = [fail_after(error, "Once upon"), echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        assert texts(await answer(live)) == "You said: hello"
        assert server.metric(f'rtc_agent_errors_total{{code="{code}"}}') == 1
        assert server.metric("rtc_agent_reconnects_total") == 1
    assert failures(seen) == [(code, True)]
    failed = seen[-1]
    assert isinstance(failed, AgentFailed)
    assert "secret" not in failed.message
    assert llm.connects == 2


async def test_end_that_nobody_asked_for_is_a_failure(llm: ScriptedLlm) -> None:
    """A generator that has ended is not mistaken for silence, nor spun on."""
    llm.scripts = [end_after("Once"), echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        await answer(live)
    assert next(one for one in seen if not isinstance(one, ModelAway | ModelBack)) == AgentText(
        "Once"
    )
    assert failures(seen) == [("agent_ended", True)]


async def test_failures_without_progress_end_the_call_after_six(llm: ScriptedLlm) -> None:
    """Beginnings of answers are no progress; the last failure is not retryable, then it ends."""
    llm.scripts = [fail_after(OSError(), "Once upon")]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = [event async for event in live.events()]
    assert failures(seen) == [("agent_unreachable", True)] * 5 + [("agent_unreachable", False)]
    assert llm.connects == 6


async def test_answer_to_its_end_forgives_the_failures_before(llm: ScriptedLlm) -> None:
    """Only failures in a row count."""

    async def one_answer(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("ok"), turn_complete())
        connection.fail(OSError())

    fail = fail_after(OSError())
    llm.scripts = [fail, fail, fail, fail, fail, one_answer, fail, fail, fail, fail, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = await answer(live)
        while len(failures(seen)) < 10:
            seen += await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        seen += await answer(live)
    assert failures(seen) == [("agent_unreachable", True)] * 10


def test_retry_delays_double_up_to_a_cap_and_are_jittered() -> None:
    """0.25 s, 0.5 s, … 8 s, each shortened by up to half."""
    longest = RetryRules(random=lambda: 1.0)
    assert [longest.delay_s(n) for n in range(1, 8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert RetryRules(random=lambda: 0.0).delay_s(1) == 0.125


async def test_model_that_accepts_and_crashes_is_not_redialled_without_limit(
    llm: ScriptedLlm,
) -> None:
    """With a resumption handle ADK redials by itself, 100 times a second."""

    async def crash(connection: ScriptedConnection) -> None:
        connection.emit(resumption_handle("h"))
        connection.fail(ConnectionClosedError(Close(1011, ""), None))

    llm.scripts = [crash]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = [event async for event in live.events()]
    assert failures(seen)[-1] == ("agent_failed", False)
    assert llm.connects <= 8


async def test_silent_reconnect_in_an_answer_is_told(llm: ScriptedLlm) -> None:
    """ADK reconnects with its handle and says nothing: the rest of the answer is lost."""

    async def drop(connection: ScriptedConnection) -> None:
        connection.emit(resumption_handle("h"), text_piece("Once"))
        connection.fail(ConnectionClosedError(Close(1011, ""), None))

    llm.scripts = [drop, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        seen += await answer(live)
        assert server.metric("rtc_agent_reconnects_total") == 1
    assert failures(seen) == [("agent_reconnected", True)]
    assert texts(seen) == "OnceYou said: hello"
    assert llm.connects == 2


async def test_silent_reconnect_between_answers_is_not_told(llm: ScriptedLlm) -> None:
    """Nothing is lost, so nobody is bothered."""

    async def drop(connection: ScriptedConnection) -> None:
        text = await connection.receive_text()
        connection.emit(resumption_handle("h"), text_piece(text), turn_complete())
        connection.fail(ConnectionClosedError(Close(1011, ""), None))

    llm.scripts = [drop, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("one")
        seen = await answer(live)
        live.send_text("two")
        seen += await answer(live)
    assert failures(seen) == []
    assert texts(seen) == "oneYou said: two"


async def test_audio_while_reconnecting_is_dropped_and_counted(llm: ScriptedLlm) -> None:
    """Old speech is no use to the next run; text is."""
    llm.connect_errors = [None, OSError()]

    async def drop(connection: ScriptedConnection) -> None:
        connection.fail(OSError())

    llm.scripts = [drop, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        await until(live, lambda event: isinstance(event, AgentFailed))
        for _ in range(50):
            live.send_audio(SPEECH)
        live.send_text("hello")
        await answer(live)
        name = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="reconnecting"}'
        assert server.metric(name) == pytest.approx(1.0)
    assert llm.connections[-1].audio_bytes == 0


async def test_stalled_agent_gets_the_latest_audio_and_is_called_again(llm: ScriptedLlm) -> None:
    """A model that takes nothing costs the oldest audio, and after a while its run."""
    llm.scripts = [stall, echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        await llm.wait_connected()
        for _ in range(250):
            live.send_audio(SPEECH)
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        await answer(live)
        name = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="stalled"}'
        assert server.metric(name) > 2.5
    assert failures(seen) == [("agent_stalled", True)]


async def test_sender_that_dies_in_silence_is_noticed(llm: ScriptedLlm) -> None:
    """ADK's receiving goes on without it: the agent would speak on, deaf."""

    class Mute(ScriptedConnection):
        async def send_content(self, content: types.Content) -> None:
            raise ValueError("secret")

    llm.scripts = [never_answer, echo_text]
    llm.connection_type = Mute
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("lost")
        await llm.wait_connected()
        llm.connection_type = ScriptedConnection
        seen = await until(live, lambda event: isinstance(event, AgentFailed))
        live.send_text("hello")
        assert texts(await answer(live)) == "You said: hello"
    assert failures(seen) == [("agent_failed", True)]


async def test_session_service_that_fails_is_a_failure_of_the_run(llm: ScriptedLlm) -> None:
    """The call is told, as of any other failure."""

    class Broken(InMemorySessionService):
        broken = False

        async def get_session(self, **keys: Any) -> Any:
            if self.broken:
                raise OSError("secret")
            return await super().get_session(**keys)

    llm.scripts = [echo_text]
    service = Broken()
    async with serve_agent(agent_of(llm), service=service) as server:
        service.broken = True
        async with server.call() as live:
            seen = await until(live, lambda event: isinstance(event, AgentFailed))
            service.broken = False
            live.send_text("hello")
            assert texts(await answer(live)) == "You said: hello"
    assert failures(seen) == [("agent_unreachable", True)]


async def test_history_that_ends_with_the_user_is_closed_before_a_new_call(
    llm: ScriptedLlm,
) -> None:
    """Else the model would answer an old question that nobody waits for any more."""
    taken = asyncio.Event()

    async def take(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        taken.set()

    llm.scripts = [take, echo_text]
    async with serve_agent(agent_of(llm)) as server:
        async with server.call() as live:
            live.send_text("What is the time?")
            await taken.wait()
        async with server.call() as live:
            live.send_text("hello")
            assert texts(await answer(live)) == "You said: hello"
    history = llm.connections[1].history
    assert [one.role for one in history] == ["user", "model"]
    assert text_of(history[0]) == "What is the time?"


# Modalities -----------------------------------------------------------------------


async def test_model_that_refuses_text_is_asked_to_speak_and_remembered(llm: ScriptedLlm) -> None:
    """A text call of a model that only speaks has its transcript; nobody hears of a failure."""
    refusals: list[LlmRequest] = []

    class SpeaksOnly(ScriptedLlm):
        def connect(self, llm_request: LlmRequest) -> Any:
            asked = llm_request.live_connect_config.response_modalities
            if asked == [types.Modality.TEXT]:
                refusals.append(llm_request)
                raise APIError(1007, {"message": "no"})
            return super().connect(llm_request)

    model = SpeaksOnly(scripts=[talker(seconds=0.1, wait_playback=False)])
    async with serve_agent(agent_of(model)) as server:
        for _ in range(2):
            async with server.call("text") as live:
                live.send_text("hello")
                seen = await answer(live)
                assert live.speaks_only
                assert failures(seen) == []
                deltas = [one.delta for one in seen if isinstance(one, AgentTranscript)]
                assert "".join(deltas) == "Here is an answer to what you said"
        async with server.call("audio") as live:
            assert not live.speaks_only
    assert len(refusals) == 1


async def test_interrupt_reaches_models_that_can_be_told(llm: ScriptedLlm) -> None:
    """With the model's voice detection off an activity start interrupts; else nothing can."""
    got = asyncio.Event()

    async def wait(connection: ScriptedConnection) -> None:
        connection.emit(text_piece("Once"))
        assert isinstance(await connection.receive_input(), types.ActivityStart)
        got.set()

    llm.scripts = [wait]
    off = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    async with serve_agent(agent_of(llm)) as server:
        async with server.call() as live:
            await until(live, lambda event: isinstance(event, AgentText))
            assert not live.interrupt()
        async with server.call(run_config=off) as live:
            await until(live, lambda event: isinstance(event, AgentText))
            assert live.interrupt()
            await got.wait()


# Ending ---------------------------------------------------------------------------


async def test_close_is_bounded_though_the_agent_ignores_it(llm: ScriptedLlm) -> None:
    """The run is cancelled after a while, and no task is left (the leak check sees to it)."""

    class Deaf(ScriptedConnection):
        async def close(self) -> None:
            pass

    llm.scripts = [never_answer]
    llm.connection_type = Deaf
    async with serve_agent(agent_of(llm)) as server:
        async with server.call() as live:
            await llm.wait_connected()
        await live.close()
        assert [event async for event in live.events()] == []


async def test_close_ends_the_events_and_may_be_called_twice(llm: ScriptedLlm) -> None:
    """Also while somebody reads, and while the agent answers."""
    llm.scripts = [talker(seconds=60)]
    async with serve_agent(agent_of(llm)) as server:
        live = server.call("audio")
        async with live:
            live.send_text("go")
            reader = asyncio.ensure_future(until(live, lambda _: False))
            await until(live, lambda event: isinstance(event, AgentAudio))
            await asyncio.gather(live.close(), live.close())
            await reader
            live.send_text("too late")
            live.send_audio(SPEECH)
        await live.close()


@pytest.mark.parametrize("scripts", [[stall], [fail_after(OSError())], [never_answer]])
async def test_close_in_any_state_leaves_nothing(llm: ScriptedLlm, scripts: list[Any]) -> None:
    """Stalled, between two runs, or listening."""
    llm.scripts = scripts
    slow = RetryRules(first_delay_s=60.0, close_s=0.3)
    async with serve_agent(agent_of(llm), retry=slow) as server, server.call("audio") as live:
        await llm.wait_connected()
        live.send_audio(SPEECH)
        await asyncio.sleep(0)


async def test_close_at_once_leaves_nothing(llm: ScriptedLlm) -> None:
    """A call that ends before the model was reached."""
    llm.scripts = [never_answer]
    async with serve_agent(agent_of(llm)) as server, server.call():
        pass


async def test_cancelled_call_leaves_nothing(llm: ScriptedLlm) -> None:
    """The call's task is cancelled in the middle of an answer."""
    llm.scripts = [talker(seconds=60)]
    speaking = asyncio.Event()

    async with serve_agent(agent_of(llm)) as server:

        async def call() -> None:
            async with server.call("audio") as live:
                live.send_text("go")
                async for _ in live.events():
                    speaking.set()

        task = asyncio.ensure_future(call())
        await speaking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_events_that_nobody_reads_do_not_hinder_the_end(llm: ScriptedLlm) -> None:
    """A full queue is emptied when the session closes."""

    flooded = asyncio.Event()

    async def flood(connection: ScriptedConnection) -> None:
        for n in range(3000):
            connection.emit(said(str(n)))
        while not live._events.full():  # noqa: ASYNC110  (there is no event for it)
            await asyncio.sleep(0)
        flooded.set()

    llm.scripts = [flood]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        await flooded.wait()


# The runtime ------------------------------------------------------------------------


async def test_warm_up_connects_to_no_model(llm: ScriptedLlm) -> None:
    """It costs nothing but time; plugins and sessions of the agent see nothing of it."""
    async with serve_agent(agent_of(llm)) as server:
        await server.runtime.warm_up()
    assert llm.connects == 0


async def test_app_of_the_agent_is_served_as_it_is(llm: ScriptedLlm) -> None:
    """An app brings its own name and plugins."""
    llm.scripts = [echo_text]
    app = App(name="my_app", root_agent=agent_of(llm))
    service = InMemorySessionService()
    async with serve_agent(app, service=service) as server, server.call() as live:
        live.send_text("hello")
        assert texts(await answer(live)) == "You said: hello"
        assert server.runtime.sessions.app_name == "my_app"
    assert "my_app" in service.sessions


async def test_conversation_is_gone_on_with_in_the_next_call(llm: ScriptedLlm) -> None:
    """The model is given what was said before."""
    llm.scripts = [echo_text]
    async with serve_agent(agent_of(llm)) as server:
        for words in ("one", "two"):
            async with server.call() as live:
                live.send_text(words)
                await answer(live)
    said_before = [text_of(one) for one in llm.connections[1].history]
    assert said_before == ["one", "You said: one"]


async def test_event_of_adk_type_stays_inside(llm: ScriptedLlm) -> None:
    """What comes out are our own events."""
    llm.scripts = [echo_text]
    async with serve_agent(agent_of(llm)) as server, server.call() as live:
        live.send_text("hello")
        assert not any(isinstance(one, Event) for one in await answer(live))
