"""What touches private names of ADK and Google's client; its tests say what broke.

Read in google-adk 2.13.0 and google-genai 2.34.0.

* ``utils/_sync_runner._use_executor_for_sync_callables`` runs synchronous tools, and only
  those, on an executor.  The public ``RunConfig.tool_thread_pool_config`` would do the same
  outside live mode; in live mode it also runs every asynchronous tool in a thread with a
  new event loop, where what belongs to the server's loop (an HTTP session, an MCP
  connection, a lock) fails.
* ``FunctionTool._require_confirmation`` and ``McpTool._require_confirmation`` say whether a
  tool may need a yes, before there are arguments to ask it about.
* ``utils/_sync_runner._TOOL_THREAD_POOLS`` has the threads of
  ``RunConfig.tool_thread_pool_config``, for each event loop, until the loop is collected.
* ``BaseAgent._run_live_impl`` is what a kind of agent does live.  Nothing, where it is the base
  class's; ``LoopAgent`` and ``ParallelAgent`` have one of their own that raises, too.
* ``utils/model_name_utils._is_gemini_3_x_live`` decides from which models
  ``flows/llm_flows/basic.py`` keeps ``proactivity`` and ``enable_affective_dialog``;
  ``CascadeLive`` reads neither.
* ``flows/llm_flows/extensions/_agent_transfer._get_transfer_targets`` are the agents to which
  one may transfer; ADK ends the run of one that transfers to another.
* ``Gemini._live_api_client`` is the client of live connections, made at its first use.
* ``Client._api_client._websocket_ssl_ctx`` (google-genai) holds the arguments of
  ``websockets.connect`` for a client that was made already.
* ``GeminiLlmConnection._gemini_session`` is the client's ``AsyncSession``, whose public
  ``receive()`` awaits ``_receive()`` for every message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import cast

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.loop_agent import LoopAgent
from google.adk.agents.parallel_agent import ParallelAgent
from google.adk.flows.llm_flows.extensions._agent_transfer import _get_transfer_targets
from google.adk.live import CascadeLive
from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.gemini_llm_connection import GeminiLlmConnection
from google.adk.models.google_llm import Gemini
from google.adk.tools.base_tool import BaseTool
from google.adk.utils._sync_runner import (
    _TOOL_THREAD_POOL_LOCK,
    _TOOL_THREAD_POOLS,
    _use_executor_for_sync_callables,
)
from google.adk.utils.model_name_utils import _is_gemini_3_x_live
from google.genai import types
from google.genai.live import AsyncSession

__all__ = [
    "genai_session",
    "has_live_run",
    "is_told_of_proactivity",
    "make_live_client",
    "may_require_confirmation",
    "notice_dead_network",
    "release_tool_threads",
    "sync_tools_on",
    "tap_receive",
    "transfer_targets",
]


def sync_tools_on(executor: Executor) -> AbstractContextManager[None]:
    """Runs started in this context call synchronous tools on ``executor``.

    So a blocking tool blocks neither the event loop nor another call.
    """
    # Of any executor it uses no more than ``run_in_executor`` does.
    return _use_executor_for_sync_callables(cast(ThreadPoolExecutor, executor))


def notice_dead_network(model: Gemini, ping: Mapping[str, float]) -> None:
    """Let the live connections of ``model`` be pinged so, where its author said nothing else.

    Args:
        ping: arguments of ``websockets.connect``, in seconds.
    """
    if model.client is not None:
        # Made by the agent's author: its connections take what is in here.
        arguments = model.client._api_client._websocket_ssl_ctx
        for name, seconds in ping.items():
            arguments.setdefault(name, seconds)
        return
    kwargs = dict(model.client_kwargs or {})
    options = types.HttpOptions.model_validate(kwargs.get("http_options") or {})
    given = {**ping, **(options.async_client_args or {})}
    kwargs["http_options"] = options.model_copy(update={"async_client_args": given})
    model.client_kwargs = kwargs


def release_tool_threads() -> None:
    """End the threads that ADK has made for tools of runs on this event loop.

    A tool that still blocks is left to itself.
    """
    with _TOOL_THREAD_POOL_LOCK:
        pools = _TOOL_THREAD_POOLS.pop(asyncio.get_running_loop(), {})
    for pool in pools.values():
        pool.shutdown(wait=False, cancel_futures=True)


def has_live_run(agent: BaseAgent) -> bool:
    """Whether ADK, or the author of its kind, runs ``agent`` live."""
    kind = type(agent)
    is_left_out = (kind._run_live_impl, kind.run_live) == (
        BaseAgent._run_live_impl,
        BaseAgent.run_live,
    )
    return not is_left_out and not isinstance(agent, LoopAgent | ParallelAgent)


def transfer_targets(agent: LlmAgent) -> list[BaseAgent]:
    """The agents to which ``agent`` may transfer, beside itself."""
    return _get_transfer_targets(agent)


def make_live_client(model: BaseLlm) -> None:
    """Make the client of ``model`` now (0.2 s on the event loop); nothing is connected.

    Raises:
        ValueError: the client lacks a key or a project.
    """
    if isinstance(model, Gemini):
        # The first is asked by ADK for the backend, the second opens live connections.
        _ = model.api_client
        _ = model._live_api_client


def is_told_of_proactivity(model: BaseLlm) -> bool:
    """Whether ``proactivity`` and ``enable_affective_dialog`` reach ``model``."""
    return not isinstance(model, CascadeLive) and not _is_gemini_3_x_live(model.model)


def genai_session(connection: BaseLlmConnection) -> AsyncSession | None:
    """The client's session below a connection to Gemini; None for another model's."""
    if not isinstance(connection, GeminiLlmConnection):
        return None
    session: AsyncSession = connection._gemini_session
    return session


def tap_receive(
    session: AsyncSession, receive: Callable[[], Awaitable[types.LiveServerMessage]]
) -> Callable[[], Awaitable[types.LiveServerMessage]]:
    """Let ``receive`` give the messages of ``session``; returns what gave them so far."""
    original = session._receive
    session._receive = receive  # type: ignore[assignment,method-assign]
    return original


def may_require_confirmation(tool: BaseTool) -> bool:
    """Whether ``tool`` may need the caller's yes; a tool that says nothing of it may not."""
    return bool(getattr(tool, "_require_confirmation", False)) or (
        type(tool).check_require_confirmation is not BaseTool.check_require_confirmation
        and not hasattr(tool, "_require_confirmation")
    )
