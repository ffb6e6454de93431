"""What the options do that the setup message does not show: tools, artifacts, events, activity."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.artifacts.in_memory_artifact_service import InMemoryArtifactService
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_response import LlmResponse
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from pydantic import PrivateAttr

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.live_events import (
    AgentAudio,
    AgentFailed,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    PartRefused,
    ToolReturned,
    UserActivity,
)
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.loader import LoadedAgent
from rtc_server.agent.sessions.adk_services import AdkServices
from rtc_server.agent.sessions.recordings import RecordingsBehind
from rtc_server.metrics import Metrics
from rtc_server.settings import Settings
from tests.waiting import until as wait_until

from .conftest import FAST, agent_of, serve_agent
from .gemini_stand_in import Connection, gemini_stand_in
from .scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    audio_piece,
    echo_text,
    interrupted,
    tone,
    turn_complete,
    uses_tool,
)

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

OFF = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
PIECE = tone(0.02, rate=16_000)


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def runtime_of(root: LlmAgent, **more: Any) -> AgentRuntime:
    """A runtime of an agent with a run config, or of settings with one."""
    run_config = more.pop("agent", None)
    loaded = LoadedAgent.from_object("scripted", root, run_config)
    services = more.pop("services", None)
    return AgentRuntime(loaded, Settings(**more), Metrics(), services=services, retry=FAST)


def call(runtime: AgentRuntime, run_config: dict[str, Any] | None = None) -> LiveSession:
    return runtime.open_live_session(
        user_id="user", session_id="session", modality="audio", run_config=run_config
    )


# Voice detection -------------------------------------------------------------


@pytest.mark.parametrize("way", ["setting", "agent", "call"])
async def test_voice_detection_is_off_whoever_switched_it_off(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then push-to-talk is taken, and the end of the microphone's stream is not told."""
    got: list[str] = []
    complete = asyncio.Event()

    async def listen(connection: Connection) -> None:
        await connection.accept()
        while True:
            for kind in await connection.receive("realtime_input"):
                got.append(kind)
                if kind == "activityEnd":
                    complete.set()

    agent = LlmAgent(name="talker", model="gemini-2.5-flash-live-stand-in")
    ways: dict[str, Any] = {"setting": {"run_config": OFF}, "agent": {"agent": OFF}, "call": {}}
    async with gemini_stand_in([listen], tmp_path, monkeypatch):
        runtime = runtime_of(agent, **ways[way])
        async with runtime:
            await runtime.sessions.open("user", "session")
            async with call(runtime, OFF if way == "call" else None) as live:
                assert live.send_activity("start")
                live.send_audio(PIECE)
                live.end_audio_stream()
                assert live.send_activity("end")
                await complete.wait()
            assert isinstance(agent.model, Gemini)
            await agent.model.api_client.aio.aclose()
            await agent.model._live_api_client.aio.aclose()
    assert [one for one in got if "activity" in one] == ["activityStart", "activityEnd"]
    assert not any("tream" in one for one in got)


async def test_interrupt_with_push_to_talk_opens_no_second_activity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user who talks then goes on with it; the one who types ends it first."""
    got: list[str] = []
    complete = asyncio.Event()

    async def listen(connection: Connection) -> None:
        await connection.accept()
        while True:
            message = await connection.receive_any("realtime_input", "client_content")
            got.extend(message.get("realtime_input", message))
            if "client_content" in message:
                complete.set()

    agent = LlmAgent(name="talker", model="gemini-2.5-flash-live-stand-in")
    async with gemini_stand_in([listen], tmp_path, monkeypatch) as connections:
        runtime = runtime_of(agent, run_config=OFF)
        async with runtime:
            await runtime.sessions.open("user", "session")
            async with call(runtime) as live:
                await _until_connected(live, connections)
                assert live.interrupt()
                assert live.send_activity("start")
                assert live.send_activity("end")
                assert live.interrupt()
                live.send_text("something else")
                await complete.wait()
            assert isinstance(agent.model, Gemini)
            await agent.model.api_client.aio.aclose()
            await agent.model._live_api_client.aio.aclose()
    assert got == ["activityStart", "activityEnd", "activityStart", "activityEnd", "client_content"]


async def test_sound_while_nobody_has_pressed_the_button_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The activity that interrupts has no sound in it: the model would answer it."""
    agent = LlmAgent(name="talker", model="gemini-2.5-flash-live-stand-in")

    async def listen(connection: Connection) -> None:
        await connection.accept()

    async with gemini_stand_in([listen], tmp_path, monkeypatch) as connections:
        loaded = LoadedAgent.from_object("talker", agent)
        metrics = Metrics()
        async with AgentRuntime(loaded, Settings(run_config=OFF), metrics, retry=FAST) as runtime:
            await runtime.sessions.open("user", "session")
            async with call(runtime) as live:
                await _until_connected(live, connections)
                assert live.interrupt()
                for _ in range(5):
                    assert live.send_audio(PIECE)
            assert isinstance(agent.model, Gemini)
            await agent.model.api_client.aio.aclose()
            await agent.model._live_api_client.aio.aclose()
        dropped = metrics.audio_dropped.labels("uplink", "interrupting")
        assert dropped._value.get() == pytest.approx(5 * len(PIECE) / 32_000)


async def _until_connected(live: LiveSession, connections: list[Connection]) -> None:
    await wait_until(lambda: bool(connections) and live.takes_frames)


async def test_voice_activity_that_the_model_tells_of_comes_through(llm: ScriptedLlm) -> None:
    """What ``explicit_vad_signal`` asks for; ADK passes on this form of it alone."""

    async def hear(connection: ScriptedConnection) -> None:
        for kind in ("ACTIVITY_START", "ACTIVITY_END"):
            said = types.VoiceActivity(voice_activity_type=types.VoiceActivityType(kind))
            connection.emit(LlmResponse(voice_activity=said))
        connection.emit(audio_piece(tone(0.1)), turn_complete())

    llm.scripts = [hear]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        seen = await until(live, ModelTurnComplete)
    told = [one for one in seen if isinstance(one, UserActivity)]
    assert told == [UserActivity("start"), UserActivity("end")]


# Tools -----------------------------------------------------------------------


@pytest.mark.leaves_resources("idle threads of tools end shortly after the runtime")
async def test_tool_thread_pool_runs_both_kinds_of_tools_in_its_threads(llm: ScriptedLlm) -> None:
    """As ADK has it: an asynchronous tool has an event loop of its own there."""
    threads: dict[str, str] = {}
    loops: list[Any] = []

    def plain(tool_context: ToolContext) -> dict[str, str]:
        threads["plain"] = threading.current_thread().name
        tool_context.state["seen"] = "yes"
        return {"session": tool_context.session.id}

    async def coroutine(tool_context: ToolContext) -> dict[str, str]:
        threads["coroutine"] = threading.current_thread().name
        loops.append(asyncio.get_running_loop())
        return {"session": tool_context.session.id}

    llm.scripts = [uses_tool("plain"), uses_tool("coroutine")]
    agent = agent_of(llm, tools=[plain, coroutine])
    pool = {"tool_thread_pool_config": {"max_workers": 2}}
    async with runtime_of(agent, run_config=pool) as runtime:
        await runtime.sessions.open("user", "session")
        for _ in range(2):
            async with call(runtime) as live:
                live.send_text("go")
                seen = await until(live, ModelTurnComplete, AgentFailed)
                (returned,) = [one for one in seen if isinstance(one, ToolReturned)]
                assert returned.result == {"session": "session"}
    assert all(name.startswith("adk_tool_executor") for name in threads.values())
    assert loops[0] is not asyncio.get_running_loop()


async def test_limit_of_model_calls_has_no_effect_on_a_live_run(llm: ScriptedLlm) -> None:
    """ADK counts calls of text models; when it counts answers of a live one, this fails."""
    llm.scripts = [echo_text]
    once = {"max_llm_calls": 1}
    async with serve_agent(agent_of(llm)) as server, server.call(run_config=once) as live:
        for _ in range(3):
            live.send_text("hello")
            seen = await until(live, ModelTurnComplete, AgentFailed)
            assert isinstance(seen[-1], ModelTurnComplete)


# What is kept ----------------------------------------------------------------


async def test_custom_metadata_is_on_the_stored_events_of_the_agent(llm: ScriptedLlm) -> None:
    """And not on the user's typed text, which ADK stores before."""
    llm.scripts = [echo_text]
    service = InMemorySessionService()
    fields = {"custom_metadata": {"tenant": "t1"}}
    services = AdkServices(sessions=service)
    async with runtime_of(agent_of(llm), services=services, run_config=fields) as runtime:
        await runtime.sessions.open("user", "session")
        async with call(runtime) as live:
            live.send_text("hello")
            await until(live, ModelTurnComplete)
    stored = await service.get_session(
        app_name=runtime.sessions.app_name, user_id="user", session_id="session"
    )
    assert stored is not None
    marked = {one.author for one in stored.events if (one.custom_metadata or {}).get("tenant")}
    assert "scripted" in marked


class SlowArtifacts(InMemoryArtifactService):
    """Stores nothing before it is released."""

    _release: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    async def save_artifact(self, **more: Any) -> int:
        await self._release.wait()
        return await super().save_artifact(**more)


async def test_live_blobs_are_saved_as_artifacts_and_keep_nobody_waiting(llm: ScriptedLlm) -> None:
    """One of each side for a turn, joined from our pieces, behind the call's back."""

    async def answer(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(audio_piece(tone(0.1)), interrupted(), turn_complete())
        while True:
            await connection.receive_input()

    llm.scripts = [answer]
    artifacts = SlowArtifacts()
    services = AdkServices(artifacts=artifacts)
    save = {"save_live_blob": True}
    async with runtime_of(agent_of(llm), services=services, run_config=save) as runtime:
        await runtime.sessions.open("user", "session")
        async with call(runtime) as live:
            for _ in range(10):
                live.send_audio(PIECE)
            live.send_text("hello")
            kinds = [type(one) for one in await until(live, ModelTurnComplete)]
            assert ModelInterrupted in kinds
            assert not artifacts.artifacts
            live.send_audio(PIECE)
            await wait_until(lambda: llm.connections[0].audio_bytes >= 11 * len(PIECE))
            artifacts._release.set()
        app_name = runtime.sessions.app_name
    names = await artifacts.list_artifact_keys(
        app_name=app_name, user_id="user", session_id="session"
    )
    sound = {}
    for name in names:
        saved = await artifacts.load_artifact(
            app_name=app_name, user_id="user", session_id="session", filename=name
        )
        assert saved is not None
        assert saved.inline_data is not None
        sound[name.rpartition("_audio_")[0]] = saved.inline_data.data
    assert sound == {
        "adk_live_audio_storage_input": 10 * PIECE,
        "adk_live_audio_storage_output": tone(0.1),
    }


async def test_recordings_that_cannot_be_stored_are_lost_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A store that raises, one that is too slow, and one that is never done."""

    class BrokenArtifacts(InMemoryArtifactService):
        async def save_artifact(self, **more: Any) -> int:
            raise OSError

    def recording(number: int) -> dict[str, Any]:
        blob = types.Blob(data=bytes(100), mime_type="audio/pcm")
        name = f"adk_live_audio_storage_input_audio_{number}.pcm"
        return {
            "app_name": "a",
            "user_id": "u",
            "session_id": "s",
            "filename": name,
            "artifact": types.Part(inline_data=blob),
        }

    broken = RecordingsBehind(BrokenArtifacts())
    assert await broken.save_artifact(**recording(1)) == 0
    await broken.close()
    assert "could not be stored" in caplog.text
    slow = SlowArtifacts()
    behind = RecordingsBehind(slow, capacity_bytes=150)
    for number in range(2):
        await behind.save_artifact(**recording(number))
    assert "too slow" in caplog.text
    slow._release.set()
    await behind.close()
    await behind.close()
    assert len(slow.artifacts) == 1


# Avatars ---------------------------------------------------------------------


async def test_sound_of_an_avatar_is_heard_and_its_picture_refused_once(llm: ScriptedLlm) -> None:
    """A call carries no video to the caller."""

    async def appear(connection: ScriptedConnection) -> None:
        for _ in range(3):
            video = types.Blob(data=b"mp4", mime_type="video/mp4")
            content = types.Content(role="model", parts=[types.Part(inline_data=video)])
            connection.emit(LlmResponse(content=content), audio_piece(tone(0.1)))
        connection.emit(turn_complete())

    llm.scripts = [appear]
    async with serve_agent(agent_of(llm)) as server, server.call("audio") as live:
        seen = await until(live, ModelTurnComplete)
    assert sum(isinstance(one, AgentAudio) for one in seen) == 3
    assert [one for one in seen if isinstance(one, PartRefused)] == [PartRefused("video/mp4")]
