"""Coroutine functions that never suspend, as tools: synchronous ones in all but name.

``async def`` in front of a tool is often a habit: it awaits nothing, and calls a client that
blocks.  On the event loop it would hold up every call of the process, and no time limit could
end it.  As it has no point at which the loop could go on, it needs none, and runs in a thread.
What names anything of an event loop stays there: ``put_nowait`` of a queue is for the loop's own
thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import dis
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from types import CodeType
from typing import Any

__all__ = ["in_threads", "never_suspends"]

_SUSPENDS = frozenset({"GET_AWAITABLE", "GET_ANEXT", "SEND"})

_OF_A_LOOP = frozenset(
    {
        *("asyncio", "anyio", "loop", "create_task", "ensure_future", "start_soon"),
        *("get_running_loop", "get_event_loop", "call_soon", "call_later", "call_at"),
        *("put_nowait", "get_nowait", "set_result", "set_exception"),
    }
)

Function = Callable[..., Coroutine[Any, Any, Any]]


def never_suspends(function: object) -> bool:
    """Whether this is a coroutine function without ``await``, ``async for`` and ``async with``.

    False where it, or a function in it, names what an event loop has.
    """
    if not inspect.iscoroutinefunction(function):
        return False
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    if any(one.opname in _SUSPENDS for one in dis.get_instructions(code)):
        return False
    return not any(_OF_A_LOOP & {*one.co_names, *one.co_freevars} for one in _with_inner(code))


def in_threads(function: Function, executor: Callable[[], Executor | None]) -> Function:
    """``function``, which never suspends, run where ``executor`` says; None: as it is.

    A cancellation gives it up: a thread cannot be stopped.
    """

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        chosen = executor()
        if chosen is None:
            return await function(*args, **kwargs)
        work = functools.partial(_finish, function, *args, **kwargs)
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(chosen, context.run, work)

    return run


def _finish(function: Function, *args: Any, **kwargs: Any) -> Any:
    """What the coroutine returns, which it does without a loop."""
    coroutine = function(*args, **kwargs)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError("a coroutine that cannot suspend has suspended")


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _with_inner(one)
