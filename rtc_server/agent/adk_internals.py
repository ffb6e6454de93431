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
* ``_functions.handle_function_calls_live`` runs the tools that a response asks for; the receive
  loop (``live/_live_llm_flow.py``) looks it up for each.  What it returns the loop tells, stores
  and sends; None: the calls go on in the background, as those of ``_live_caller`` do, whose
  ``_launch_non_blocking_call_live`` says what is then to be done with their result.
* ``GeminiLlmConnection._gemini_session`` is the client's ``AsyncSession``, whose public
  ``receive()`` awaits ``_receive()`` for every message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, cast

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.loop_agent import LoopAgent
from google.adk.agents.parallel_agent import ParallelAgent
from google.adk.events.event import Event
from google.adk.flows.llm_flows.extensions._agent_transfer import _get_transfer_targets
from google.adk.flows.llm_flows.tools import _functions
from google.adk.live import CascadeLive
from google.adk.live._active_background_tool import ActiveBackgroundTool
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
    "LiveCalls",
    "genai_session",
    "has_live_run",
    "is_told_of_proactivity",
    "make_live_client",
    "may_require_confirmation",
    "notice_dead_network",
    "release_tool_threads",
    "run_beside",
    "sync_tools_on",
    "tap_receive",
    "transfer_targets",
    "wrap_live_calls",
]

LiveCalls = Callable[
    [InvocationContext, Event, dict[str, BaseTool]], Coroutine[Any, Any, Event | None]
]
"""Runs the tools that an event asks for; gives the event of their results."""

_WRAPPED = "_rtc_server_wrapped"


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


def wrap_live_calls(
    around: Callable[
        [LiveCalls, InvocationContext, Event, dict[str, BaseTool]], Awaitable[Event | None]
    ],
) -> None:
    """Have ``around`` called in place of ADK's, which is its first argument; once a process."""
    calls: LiveCalls = _functions.handle_function_calls_live
    if hasattr(calls, _WRAPPED):
        return

    async def wrapped(
        invocation_context: InvocationContext,
        function_call_event: Event,
        tools_dict: dict[str, BaseTool],
    ) -> Event | None:
        return await around(calls, invocation_context, function_call_event, tools_dict)

    setattr(wrapped, _WRAPPED, True)
    _functions.handle_function_calls_live = wrapped


def run_beside(
    context: InvocationContext, called: Event, calls: asyncio.Task[Event | None]
) -> None:
    """Let ``calls`` go on in the background of the run, which tells, stores and sends the result.

    They are cancelled where ADK stops the tools of an agent: at the end of its part in the run.
    """
    # Streaming and non-blocking tools of the same response have tasks of their own.
    known = context._active_background_tools or {}
    held = {call.id or "": call for call in called.get_function_calls() if call.id not in known}

    async def deliver() -> None:
        try:
            event = await calls
            if event is None:
                return
            await context._enqueue_event(event)
            if context.live_request_queue is not None and event.content is not None:
                context.live_request_queue.send_content(event.content)
        finally:
            for id in held:
                (context._active_background_tools or {}).pop(id, None)

    task = asyncio.create_task(deliver(), name="tool-calls-beside")
    task.add_done_callback(lambda _: calls.cancel())  # it may have ended before it began
    for id, call in held.items():
        context._add_background_tool(
            ActiveBackgroundTool(tool_name=call.name or "", function_call_id=id, task=task)
        )


def may_require_confirmation(tool: BaseTool) -> bool:
    """Whether ``tool`` may need the caller's yes; a tool that says nothing of it may not."""
    return bool(getattr(tool, "_require_confirmation", False)) or (
        type(tool).check_require_confirmation is not BaseTool.check_require_confirmation
        and not hasattr(tool, "_require_confirmation")
    )
