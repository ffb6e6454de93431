"""What touches private names of ADK, read in google-adk 2.13.0; its test says what broke.

* ``utils/_sync_runner._use_executor_for_sync_callables`` runs synchronous tools, and only
  those, on an executor.  The public ``RunConfig.tool_thread_pool_config`` would do the same
  outside live mode; in live mode it also runs every asynchronous tool in a thread with a
  new event loop, where what belongs to the server's loop (an HTTP session, an MCP
  connection, a lock) fails.
* ``Gemini._live_api_client`` is the client of live connections, made at its first use.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from google.adk.models.base_llm import BaseLlm
from google.adk.models.google_llm import Gemini
from google.adk.utils._sync_runner import _use_executor_for_sync_callables

__all__ = ["make_live_client", "sync_tools_on"]


def sync_tools_on(executor: ThreadPoolExecutor) -> AbstractContextManager[None]:
    """Runs started in this context call synchronous tools on ``executor``.

    So a blocking tool blocks neither the event loop nor another call.
    """
    return _use_executor_for_sync_callables(executor)


def make_live_client(model: BaseLlm) -> None:
    """Make the client of ``model`` now (0.2 s on the event loop); nothing is connected.

    Raises:
        ValueError: the client lacks a key or a project.
    """
    if isinstance(model, Gemini):
        # The first is asked by ADK for the backend, the second opens live connections.
        _ = model.api_client
        _ = model._live_api_client
