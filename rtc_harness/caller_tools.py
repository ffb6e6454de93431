"""What a caller does for the agent: runs tools, and says yes or no to what it is asked."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CallEndedEarly, HarnessError

__all__ = ["CallerTools", "ClientTool", "Decide", "read_client_tools"]

logger = logging.getLogger(__name__)

Send = Callable[[Mapping[str, Any]], None]

Decide = Callable[[Mapping[str, Any]], bool | Awaitable[bool]]
"""Is given a ``confirm`` message of the server, and says whether the caller agrees."""


@dataclass(frozen=True, slots=True)
class ClientTool:
    """A tool that this caller runs for the agent.

    ``run`` is given the arguments and returns an object of JSON, or an awaitable of one; what
    it raises is told to the agent.
    """

    name: str
    description: str
    run: Callable[[dict[str, Any]], Any]
    parameters: Mapping[str, Any] | None = None
    """JSON schema of the arguments, an object's."""

    def declaration(self) -> dict[str, Any]:
        """As the offer has it."""
        declared: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.parameters is not None:
            declared["parameters"] = dict(self.parameters)
        return declared


class CallerTools:
    """Answers the server's ``client_tool`` and ``confirm`` messages of one call; each once.

    Args:
        tools: what can be run.
        decide: says yes or no; without one, and where it raises, it is no.
    """

    def __init__(self, tools: Sequence[ClientTool] = (), decide: Decide | None = None) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._decide = decide
        self._send: Send | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def declarations(self) -> list[dict[str, Any]]:
        """As the offer has them."""
        return [tool.declaration() for tool in self._tools.values()]

    def open(self, send: Send) -> None:
        """``send`` takes the answers to the server from now on."""
        self._send = send

    def on_message(self, message: Mapping[str, Any]) -> None:
        """A message of the server; those that ask nothing are passed over."""
        kind, id = message.get("type"), message.get("id")
        if not isinstance(id, str):
            return
        if kind == "client_tool":
            self._start(id, self._run(id, message))
        elif kind == "confirm":
            self._start(id, self._confirm(id, message))
        elif kind == "tool" and message.get("phase") in ("cancelled", "result"):
            self._stop(id)  # nobody waits any more

    def _start(self, id: str, work: Any) -> None:
        self._stop(id)
        task = asyncio.create_task(work, name=f"caller-tool {id}")
        self._tasks[id] = task
        task.add_done_callback(lambda done: self._forget(id, done))

    def _stop(self, id: str) -> None:
        task = self._tasks.pop(id, None)
        if task is not None:
            task.cancel()

    def _forget(self, id: str, done: asyncio.Task[None]) -> None:
        if self._tasks.get(id) is done:
            del self._tasks[id]

    async def close(self) -> None:
        """Stop what still runs; may be called twice."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    async def _run(self, id: str, message: Mapping[str, Any]) -> None:
        tool = self._tools.get(str(message.get("name")))
        args = message.get("args")
        outcome: dict[str, Any]
        try:
            if tool is None:
                raise LookupError("this caller has no such tool")
            result = tool.run(dict(args) if isinstance(args, dict) else {})
            if inspect.isawaitable(result):
                result = await result
            outcome = {"result": result if isinstance(result, dict) else {"result": result}}
            json.dumps(outcome, allow_nan=False)
        except Exception as error:  # whatever a caller's tool raises: the agent is told
            outcome = {"error": str(error) or type(error).__name__}
        self._answer({"type": "client_tool_result", "id": id, **outcome})

    async def _confirm(self, id: str, message: Mapping[str, Any]) -> None:
        agreed: Any = False
        try:
            if self._decide is not None:
                agreed = self._decide(message)
                if inspect.isawaitable(agreed):
                    agreed = await agreed
        except Exception:  # whatever a caller's function raises: nobody has agreed
            agreed = False
            logger.exception("nobody could decide about %s: the answer is no", message.get("name"))
        self._answer({"type": "confirm", "id": id, "confirmed": agreed is True})

    def _answer(self, message: Mapping[str, Any]) -> None:
        assert self._send is not None, "a message came before there was a call"
        try:
            self._send(message)
        except CallEndedEarly:
            return  # nobody is there any more


def read_client_tools(path: Path) -> list[ClientTool]:
    """The tools of a JSON file: one declaration or several, each with what it gives.

    Beside ``name``, ``description`` and ``parameters`` a declaration has its ``result``, an
    object, or an ``error``.

    Raises:
        HarnessError: the file cannot be read, or is not of that form.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise HarnessError(f"{path} is not JSON.") from None
    return [_tool(one, path) for one in (body if isinstance(body, list) else [body])]


def _tool(body: object, path: Path) -> ClientTool:
    if not isinstance(body, dict):
        raise HarnessError(f"{path} holds no declaration of a tool.")
    name, description = body.get("name"), body.get("description")
    if not isinstance(name, str) or not isinstance(description, str):
        raise HarnessError(f'A tool of {path} lacks "name" or "description".')
    result, error, parameters = body.get("result"), body.get("error"), body.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise HarnessError(f'"parameters" of {name} in {path} is not an object.')
    if isinstance(error, str) and result is None:
        return ClientTool(name, description, _raising(error), parameters)
    if not isinstance(result, dict) or error is not None:
        raise HarnessError(f'{name} in {path} needs a "result", an object, or an "error", a text.')
    return ClientTool(name, description, lambda args: result, parameters)


def _raising(words: str) -> Callable[[dict[str, Any]], Any]:
    def run(args: dict[str, Any]) -> Any:
        raise RuntimeError(words)

    return run
