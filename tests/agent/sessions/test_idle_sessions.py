"""Sessions in memory that have had no call for long, and what goes with them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from google.adk.agents.llm_agent import LlmAgent
from google.adk.artifacts.base_artifact_service import BaseArtifactService
from google.adk.artifacts.file_artifact_service import FileArtifactService
from google.adk.artifacts.in_memory_artifact_service import InMemoryArtifactService
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types

from rtc_server.agent.agent_runtime import AgentRuntime
from rtc_server.agent.loader import LoadedAgent
from rtc_server.agent.sessions.adk_services import AdkServices
from rtc_server.agent.sessions.written_behind_sessions import WriteRules
from rtc_server.metrics import Metrics
from rtc_server.settings import Limits, Settings
from tests.agent.scripted_llm import ScriptedLlm
from tests.agent.sessions.desk import KEY, NAMES, desk_over
from tests.waiting import until

PICTURE = types.Part(inline_data=types.Blob(mime_type="image/png", data=b"png"))


async def left_of_an_idle_session(artifacts: BaseArtifactService | None) -> int:
    """How many artifacts a session has after it was deleted for being idle."""
    loaded = LoadedAgent.from_object("app", LlmAgent(name="app", model=ScriptedLlm()))
    settings = Settings(limits=Limits(resume_s=0.0))
    services = AdkServices(artifacts=artifacts)
    async with AgentRuntime(loaded, settings, Metrics(), services=services) as runtime:
        await runtime.sessions.open("user", "s")
        service = runtime._runner.artifact_service
        assert service is not None
        await service.save_artifact(**NAMES, filename="a.png", artifact=PICTURE)

        async def is_gone() -> bool:
            await runtime.sessions.open("user", None)
            return not (await runtime.sessions.open("user", "s")).resumed

        await until(is_gone)
        for _ in range(3):
            await asyncio.sleep(0)
        return len(await service.list_artifact_keys(**NAMES))


async def test_artifacts_in_memory_go_with_their_session() -> None:
    assert await left_of_an_idle_session(None) == 0


async def test_artifacts_of_a_service_that_the_operator_named_stay(tmp_path: Path) -> None:
    """Sessions in memory end; what was stored in a folder, or a bucket, is his."""
    assert await left_of_an_idle_session(FileArtifactService(tmp_path)) == 1


async def test_a_deletion_that_fails_refuses_no_offer() -> None:
    """And nobody waits for one."""

    class Broken(InMemoryArtifactService):
        async def list_artifact_keys(self, **names: Any) -> list[str]:
            tried.set()
            await asyncio.sleep(0)
            raise OSError("away")

    tried = asyncio.Event()
    now = [0.0]
    inner = InMemorySessionService()
    rules = WriteRules(idle_s=10.0)
    async with desk_over(inner, artifacts=Broken(), rules=rules, clock=lambda: now[0]) as desk:
        await desk.service.create_session(app_name="app", user_id="user", session_id="other")
        now[0] = 11.0
        made = await desk.service.create_session(app_name="app", user_id="user", session_id="new")
        assert not tried.is_set()
        assert made.id == "new"
        await tried.wait()
        await until(lambda: set(inner.sessions["app"]["user"]) == {"new"})


async def test_a_session_with_a_call_is_not_idle() -> None:
    now = [0.0]
    inner = InMemorySessionService()
    rules = WriteRules(idle_s=10.0, keep_s=0.0)
    async with desk_over(inner, rules=rules, clock=lambda: now[0]) as desk:
        history = desk.service.open_history(KEY, modality="audio", agent="agent")
        now[0] = 11.0
        await desk.service.create_session(app_name="app", user_id="user", session_id="new")
        for _ in range(3):
            await asyncio.sleep(0)
        assert "s" in inner.sessions["app"]["user"]
        history.close()
