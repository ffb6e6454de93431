"""The live session over ADK's real runner, with a scripted model."""

from __future__ import annotations

import asyncio
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

from rtc_server.agent.live_events import (
    AgentAudio,
    AgentChanged,
    AgentFailed,
    AgentText,
    AgentTranscript,
    ModelInterrupted,
    StateChanged,
    UserTranscript,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.errors import BadRequest
from rtc_server.settings import Limits, Settings

from .conftest import agent_of, serve_agent
from .listening import QUIET, SPEECH, answer, failures, say, texts, until
from .scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    echo_text,
    talker,
    text_of,
    text_piece,
    tone,
    tool_call,
    turn_complete,
    uses_tool,
)

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


# The runtime ------------------------------------------------------------------------


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
