"""Push-to-talk over a connection that is lost: the next one knows nothing of what was pressed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from google.adk.agents.live_request_queue import LiveRequest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini
from google.genai import types

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.live_request_queue import BoundedLiveRequestQueue
from rtc_server.agent.live_session import LiveSession
from rtc_server.agent.loader import LoadedAgent
from rtc_server.metrics import Metrics
from rtc_server.settings import Settings
from tests.waiting import until

from .conftest import FAST
from .gemini_stand_in import Connection, Script, gemini_stand_in
from .scripted_llm import tone

OFF = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
PIECE = tone(0.02, rate=16_000)


class Dropped:
    """A call by push-to-talk whose first connection is dropped at an activity."""

    def __init__(self, *, resumable: bool) -> None:
        self.resumable = resumable
        self.may_connect = asyncio.Event()
        self.complete = asyncio.Event()
        self.got: list[str] = []
        """What the second connection is sent."""

    async def first(self, connection: Connection) -> None:
        """It may be resumed within the run, or is followed by another run."""
        await connection.accept()
        if self.resumable:
            await connection.handle("one")
        while "activityStart" not in await connection.receive("realtime_input"):
            pass
        await connection.refuse(1011)

    async def second(self, connection: Connection) -> None:
        """Goes on to the end of an activity."""
        await self.may_connect.wait()
        await connection.accept()
        while True:
            for kind in await connection.receive("realtime_input"):
                if kind not in self.got:
                    self.got.append(kind)
                if kind == "activityEnd":
                    self.complete.set()


@pytest.fixture(params=[True, False], ids=["within a run", "in the next run"])
def dropped(request: pytest.FixtureRequest) -> Dropped:
    return Dropped(resumable=request.param)


async def talk(
    dropped: Dropped, press: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in ``press`` is done before there is a new connection; then the user talks."""
    agent = LlmAgent(name="talker", model="gemini-2.5-flash-live-stand-in")
    scripts: list[Script] = [dropped.first, dropped.second]
    async with gemini_stand_in(scripts, tmp_path, monkeypatch) as connections:
        loaded = LoadedAgent.from_object("talker", agent)
        runtime = AgentRuntime(loaded, Settings(run_config=OFF), Metrics(), retry=FAST)
        async with runtime:
            await runtime.sessions.open("user", "session")
            opened = runtime.open_live_session(
                user_id="user", session_id="session", modality="audio"
            )
            async with opened as live:
                await _connected(live, connections, 1)
                if "interrupt" in press:
                    await until(live.interrupt)  # the model has just taken its connection
                if "button" in press:
                    assert live.send_activity("start")
                if "button meanwhile" in press:
                    await until(lambda: not live.takes_frames)
                    assert live.send_activity("start")
                dropped.may_connect.set()
                await _connected(live, connections, 2)
                if press == ["interrupt"]:
                    assert live.send_activity("start")
                live.send_audio(PIECE)
                assert live.send_activity("end")
                await dropped.complete.wait()
            assert isinstance(agent.model, Gemini)
            await agent.model.api_client.aio.aclose()
            await agent.model._live_api_client.aio.aclose()


async def _connected(live: LiveSession, connections: list[Connection], count: int) -> None:
    await until(lambda: len(connections) == count and live.takes_frames)


async def test_button_pressed_after_an_interruption_and_a_reconnect_is_told(
    dropped: Dropped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The activity that interrupted was the old connection's; this one is told from its start."""
    await talk(dropped, ["interrupt"], tmp_path, monkeypatch)
    assert dropped.got == ["activityStart", "mediaChunks", "activityEnd"]


async def test_button_held_over_a_reconnect_goes_on(
    dropped: Dropped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the user says from then on is a turn with a beginning and an end."""
    await talk(dropped, ["button"], tmp_path, monkeypatch)
    assert dropped.got == ["activityStart", "mediaChunks", "activityEnd"]


async def test_button_pressed_while_there_is_no_connection_is_told_to_the_next(
    dropped: Dropped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said before it is there is lost, and no more than that."""
    await talk(dropped, ["interrupt", "button meanwhile"], tmp_path, monkeypatch)
    assert dropped.got == ["activityStart", "mediaChunks", "activityEnd"]


@pytest.mark.parametrize(
    ("waiting", "is_open", "told"),
    [
        pytest.param([], False, [], id="nothing"),
        pytest.param(["audio"], True, ["start", "audio"], id="held"),
        pytest.param(["audio", "end"], False, ["start", "audio", "end"], id="let go"),
        pytest.param(["end", "audio"], False, ["audio"], id="let go, and its sound is lost"),
        pytest.param(["start", "audio"], True, ["start", "audio"], id="pressed anew"),
        pytest.param(
            ["audio", "end", "start"], True, ["start", "audio", "end", "start"], id="pressed again"
        ),
    ],
)
async def test_new_connection_is_told_of_each_activity_from_its_start_to_its_end(
    waiting: list[str], is_open: bool, told: list[str]
) -> None:
    """Twice in a row nothing changes: a connection may be lost before it takes anything."""
    requests = {
        "start": LiveRequest(activity_start=types.ActivityStart()),
        "end": LiveRequest(activity_end=types.ActivityEnd()),
        "audio": LiveRequest(blob=types.Blob(data=PIECE, mime_type="audio/pcm;rate=16000")),
    }
    queue = BoundedLiveRequestQueue()
    for name in waiting:
        queue.send(requests[name])
    for _ in range(2):
        queue.begin_activity(is_open=is_open)
    taken = [await queue.get() for _ in range(len(queue))]
    assert [next(n for n, one in requests.items() if one == each) for each in taken] == told
    assert queue.waited_s() == 0.0


async def test_button_held_over_a_transfer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said while another agent takes over is a turn of that agent, from its start."""
    got: list[str] = []
    complete = asyncio.Event()

    async def hands_over(connection: Connection) -> None:
        await connection.accept()
        while "activityStart" not in await connection.receive("realtime_input"):
            pass
        call = {"id": "1", "name": "transfer_to_agent", "args": {"agent_name": "expert"}}
        await connection.send({"toolCall": {"functionCalls": [call]}})
        await connection.send({"serverContent": {"turnComplete": True}})
        await connection.receive("tool_response")
        complete.set()

    async def listens(connection: Connection) -> None:
        await connection.accept()
        while "activityEnd" not in got:
            got.extend(await connection.receive("realtime_input"))
        complete.set()

    model = "gemini-2.5-flash-live-stand-in"
    expert = LlmAgent(name="expert", model=model, description="Knows it.")
    agent = LlmAgent(name="talker", model=model, sub_agents=[expert])
    async with gemini_stand_in([hands_over, listens], tmp_path, monkeypatch) as connections:
        runtime = AgentRuntime(
            LoadedAgent.from_object("talker", agent),
            Settings(run_config=OFF),
            Metrics(),
            retry=FAST,
        )
        async with runtime:
            await runtime.sessions.open("user", "session")
            opened = runtime.open_live_session(
                user_id="user", session_id="session", modality="audio"
            )
            async with opened as live:
                await _connected(live, connections, 1)
                assert live.send_activity("start")
                await complete.wait()
                complete.clear()
                live.send_audio(PIECE)
                assert live.send_activity("end")
                await complete.wait()
            assert isinstance(agent.model, Gemini)
            await agent.model.api_client.aio.aclose()
            await agent.model._live_api_client.aio.aclose()
    assert got == ["activityStart", "mediaChunks", "activityEnd"]
