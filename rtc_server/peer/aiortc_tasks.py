"""The tasks of aiortc and their end: the one that connects has an owner, and closing never hangs.

Read in **aiortc 1.16.0** and **aioice 0.13.0**; ``tests/peer/test_aiortc_internals.py`` fails
loudly when one of these is gone or behaves otherwise:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``RTCPeerConnection.__connect``                       the task that connects has an owner
``Connection._query_consent_task, ._closing``         no task is left of a quick hang-up
``RTCRtpReceiver.__rtcp_task, __rtcp_exited``,        ``close()`` that does not hang
``RTCRtpSender.__rtp_task, __rtp_exited,
__rtcp_task, __rtcp_exited``
``RTCRtpReceiver.__stop_decoder``,                    the end of what hung all the same
``Connection._protocols``
====================================================  =====================================
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aioice import Connection
from aiortc import RTCPeerConnection

from .aiortc_internals import ice_connection, transports

__all__ = ["abort", "own_connect_task", "release_dead_tasks", "stop_late_starters"]


def own_connect_task(
    pc: RTCPeerConnection, on_failure: Callable[[BaseException], None]
) -> set[asyncio.Task[Any]]:
    """Keep hold of the tasks aiortc starts to connect, which it does not keep itself.

    ``on_failure`` hears of what went wrong in one of them.  The set that is returned
    holds those that run, for the owner to await after ``close()``.
    """
    running: set[asyncio.Task[Any]] = set()
    original = pc._RTCPeerConnection__connect  # type: ignore[attr-defined]

    async def connect() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await original()
        except Exception as problem:
            # The boundary of a task nobody else awaits: aiortc's assertions end here.
            on_failure(problem)
        finally:
            running.discard(task)
            for transport in transports(pc):
                _end_consent_of_closed(ice_connection(transport))

    pc._RTCPeerConnection__connect = connect  # type: ignore[attr-defined]
    return running


def _end_consent_of_closed(connection: Connection) -> None:
    """aioice's ``connect()`` goes on when it is closed in its last 20 ms, and then asks a
    closed connection for consent for ever."""
    task = connection._query_consent_task
    if connection._closing and task is not None:
        task.cancel()


def release_dead_tasks(pc: RTCPeerConnection) -> None:
    """Let ``close()`` not wait for RTP and RTCP tasks that have died of an exception."""
    for receiver in pc.getReceivers():
        _release(receiver, "RTCRtpReceiver", "rtcp")
    for sender in pc.getSenders():
        _release(sender, "RTCRtpSender", "rtcp")
        _release(sender, "RTCRtpSender", "rtp")


def _release(owner: object, owner_class: str, what: str) -> None:
    task = getattr(owner, f"_{owner_class}__{what}_task")
    if task is not None and task.done():
        getattr(owner, f"_{owner_class}__{what}_exited").set()


async def stop_late_starters(pc: RTCPeerConnection) -> None:
    """Stop senders and receivers that were started after ``close()`` had gone past them.

    aiortc's connect task starts them as soon as DTLS is through, even if the connection was
    closed in that moment: nobody else would ever stop them.
    """
    for receiver in pc.getReceivers():
        if _is_running(receiver, "RTCRtpReceiver"):
            await receiver.stop()
    for sender in pc.getSenders():
        if _is_running(sender, "RTCRtpSender"):
            await sender.stop()


def _is_running(owner: object, owner_class: str) -> bool:
    task = getattr(owner, f"_{owner_class}__rtcp_task")
    return task is not None and not task.done()


async def abort(pc: RTCPeerConnection, timeout_s: float) -> None:
    """Close tasks and sockets without asking anybody, after ``close()`` hung."""
    for receiver in pc.getReceivers():
        receiver._RTCRtpReceiver__stop_decoder()  # type: ignore[attr-defined]
        _cancel(receiver, "RTCRtpReceiver", "rtcp")
    for sender in pc.getSenders():
        _cancel(sender, "RTCRtpSender", "rtcp")
        _cancel(sender, "RTCRtpSender", "rtp")
    for transport in transports(pc):
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(timeout_s):
                await transport.stop()
                await transport.transport.stop()
        for protocol in ice_connection(transport)._protocols:
            protocol.transport.abort()


def _cancel(owner: object, owner_class: str, what: str) -> None:
    task = getattr(owner, f"_{owner_class}__{what}_task")
    if task is not None:
        task.cancel()
