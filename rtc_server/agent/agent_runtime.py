"""One agent, ready for calls: its runner, its models, its sessions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from google.adk.agents.llm_agent import LlmAgent
from google.adk.artifacts.in_memory_artifact_service import InMemoryArtifactService
from google.adk.memory.in_memory_memory_service import InMemoryMemoryService
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.in_memory_session_service import InMemorySessionService

from ..call_service import Modality
from ..messages import MAX_MESSAGE_BYTES
from ..metrics import Metrics
from ..settings import Settings
from .adk_internals import make_live_client, release_tool_threads
from .agent_tree import agents_under
from .live_run_config import LiveOptions, vad_is_off
from .live_session import LiveSession
from .loader import LoadedAgent, load_fallback
from .models.agent_models import prepare_models
from .models.circuit_breaker import BreakerRules
from .models.model_gate import ModelGates
from .retry_rules import RetryRules
from .sessions.adk_services import AdkServices
from .sessions.heard_history import HeardHistory
from .sessions.recordings import RecordingsBehind
from .sessions.session_store import SessionStore
from .sessions.written_behind_sessions import WriteRules, WrittenBehindSessions
from .tools.caller_questions import CallerQuestions
from .tools.confirmation import ask_the_caller
from .tools.tool_limits import answer_tool_errors
from .tools.tool_threads import ToolThreads
from .tools.tool_watch import watch_tools
from .warm_up import run_no_model

__all__ = ["AgentRuntime"]

logger = logging.getLogger(__name__)


class AgentRuntime:
    """One runner, one client per model, and one session store for all calls of an agent.

    An async context manager; leaving it ends the tools' threads (a tool that still blocks
    is left to itself).  Live sessions are to be closed before.

    Args:
        agent: what :func:`~rtc_server.agent.loader.load_agent` found.
        settings: those of the run config and ``limits.uplink_backlog_s`` are of interest here.
        metrics: where failures and dropped audio are counted.
        session_service: where sessions are kept, instead of that of ``services``.
        services: where sessions, memories and artifacts are kept; in memory by default.
            Whoever made them closes them.
        retry: how failures of the agent are retried.
        breaker: when a model counts as down for all calls.

    Raises:
        ConfigurationError: a field of the run config does not fit, or its model has it not.
        AgentLoadError: the fallback model cannot be used.
    """

    def __init__(
        self,
        agent: LoadedAgent,
        settings: Settings,
        metrics: Metrics,
        *,
        session_service: BaseSessionService | None = None,
        services: AdkServices | None = None,
        retry: RetryRules | None = None,
        breaker: BreakerRules | None = None,
    ) -> None:
        self.name = agent.name
        self._settings = settings
        self._metrics = metrics
        self._retry = retry if retry is not None else RetryRules()
        kept = services if services is not None else AdkServices()
        session_service = session_service or kept.sessions
        artifacts = RecordingsBehind(kept.artifacts or InMemoryArtifactService())
        self._recordings = artifacts
        self._sessions = WrittenBehindSessions(
            session_service or InMemorySessionService(),
            count_error=lambda code: metrics.agent_errors.labels(code).inc(),
            memory=kept.memory,
            # Those that an operator has stored somewhere are his to delete.
            artifacts=artifacts if kept.artifacts is None else None,
            rules=(
                WriteRules()
                if session_service
                else WriteRules(idle_s=settings.limits.resume_s, keep_s=0.0)
            ),
        )
        self.sessions = SessionStore(agent.app.name, self._sessions)
        self.models = prepare_models(agent.app.root_agent)
        name = settings.fallback_model
        self._fallback = None if name is None else load_fallback(name, self.models.first_agent)
        self._ask_again = settings.ask_again or agent.ask_again
        limits = settings.limits
        self.gates = ModelGates(
            metrics,
            breaker
            or BreakerRules(
                connects_per_s=limits.model_connects_per_s, burst=limits.model_connects_at_once
            ),
        )
        self._options = LiveOptions(
            settings,
            agent_name=agent.name,
            agent=agent.run_config,
            models=self.models.models + (() if self._fallback is None else self._fallback.models),
        )
        for one in agents_under(agent.app.root_agent):
            if isinstance(one, LlmAgent):
                answer_tool_errors(one, lambda code: metrics.agent_errors.labels(code).inc())
                ask_the_caller(one)
                watch_tools(one, settings.limits.tool_s)
        self._runner = Runner(
            app=agent.app,
            session_service=self.sessions.service,
            memory_service=kept.memory or InMemoryMemoryService(),
            artifact_service=artifacts,
        )
        self._tool_threads = ToolThreads(lambda there: metrics.count_sync_tools(*there))
        self._speaks_only = self.models.speaks_only
        self._drained_by = time.monotonic()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tool_threads.close()
        release_tool_threads()
        await self._recordings.close()
        await self._sessions.close(self._drained_by - time.monotonic())
        try:
            async with asyncio.timeout(2.0):
                await self._runner.close()
        except TimeoutError:
            logger.warning("a toolset or plugin of the agent took too long to close")
        except Exception:  # whatever an agent's toolset raises; the server is closing
            logger.exception("a toolset or plugin of the agent failed to close")

    def drains(self, seconds: float) -> None:
        """The server is told to end within ``seconds``: what is left of them may be used up."""
        self._drained_by = time.monotonic() + seconds

    async def warm_up(self) -> None:
        """Spend now what the first call would wait for; no model is connected to.

        ADK's lazy imports (a run of a model that ends at once), and the models' clients.
        """
        begun_at = time.perf_counter()
        fallbacks = () if self._fallback is None else self._fallback.models
        for model in (*self.models.models, *fallbacks):
            try:
                make_live_client(model)
            except Exception:  # whatever a client's constructor raises: calls will say so
                logger.exception("the client of the model %s cannot be made", model.model)
        await run_no_model()
        logger.info("agent ready: %s (%.2f s)", self.name, time.perf_counter() - begun_at)

    def open_history(self, user_id: str, session_id: str, modality: Modality) -> HeardHistory:
        """The call's part in the history of its session; to be closed when the call has ended.

        Until then the agent's words are not stored before their answer is over.
        """
        key = (self.sessions.app_name, user_id, session_id)
        return self._sessions.open_history(key, modality=modality, agent=self.models.first_agent)

    def open_live_session(
        self,
        *,
        user_id: str,
        session_id: str,
        modality: Modality,
        run_config: Mapping[str, Any] | None = None,
        client_tools: Sequence[Mapping[str, Any]] = (),
        message_bytes: int = MAX_MESSAGE_BYTES,
        call_id: str = "",
        history: HeardHistory | None = None,
    ) -> LiveSession:
        """The agent's side of a call, to be entered with ``async with``.

        Args:
            user_id, session_id: as :meth:`SessionStore.open` returned them.
            modality: of the call.
            run_config: fields of ADK's ``RunConfig``, already found to be allowed.
            client_tools: declarations of the caller's own tools, already checked.
            message_bytes: the largest message that reaches the caller; 0: none does.
            call_id: for log messages.
            history: the call's, which keeps the handle of the model's own session.

        Raises:
            BadRequest: ``run_config`` does not fit; the field is named.
        """
        return LiveSession(
            self._runner,
            self.sessions,
            models=self.models,
            fallback=self._fallback,
            gates=self.gates,
            ask_again=self._ask_again,
            user_id=user_id,
            session_id=session_id,
            call_id=call_id,
            modality=modality,
            options=self._options,
            offered=run_config or {},
            speaks_only=self._speaks_only,
            on_speaks_only=self._remember_speaks_only,
            uplink_backlog_s=self._settings.limits.uplink_backlog_s,
            executor=self._tool_threads.share(),
            metrics=self._metrics,
            retry=self._retry,
            questions=CallerQuestions(
                client_tools,
                confirm_s=self._settings.limits.confirm_s,
                client_tool_s=self._settings.limits.client_tool_s,
                message_bytes=message_bytes,
            ),
            message_bytes=message_bytes,
            history=history,
        )

    def check_run_config(
        self, run_config: Mapping[str, Any] | None, modality: Modality | None = None
    ) -> None:
        """Refuse what does not fit before a call is placed.

        Args:
            modality: of the offer, where it names one.

        Raises:
            BadRequest: ``run_config`` does not fit, or not with ``modality``; the field is named.
        """
        self._options.check_offer(run_config or {}, modality)

    def may_stay_silent(self, run_config: Mapping[str, Any]) -> bool:
        """Whether the model of such a call decides itself whether to answer."""
        return self._options.may_stay_silent(run_config)

    def owes_signs(self, run_config: Mapping[str, Any]) -> bool:
        """Whether the model of such a call transcribes or answers whatever is said to it."""
        if self.may_stay_silent(run_config):
            return False
        config = self._options.run_config("audio", offered=run_config)
        listens = self.models.is_gemini and not vad_is_off(config)
        return listens or self.models.is_cascade

    def modality(self, run_config: Mapping[str, Any]) -> Modality:
        """The modality of a call whose offer names none."""
        return self._options.modality(run_config)

    def _remember_speaks_only(self) -> None:
        if self._speaks_only:
            return
        logger.info("the model of %s only speaks; text calls get its transcript", self.name)
        self._speaks_only = True
