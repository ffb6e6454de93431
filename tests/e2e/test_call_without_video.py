"""A call without video pays nothing for it: no decoder, no thread, no task, no timer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator

import pytest

from rtc_server.media.picture import VideoDecoder
from rtc_server.peer.aiortc_video import VideoIntake
from rtc_server.peer.video_uplink import VideoUplink
from rtc_server.picture_pool import PicturePool
from tests.agent.scripted_llm import ScriptedLlm, talker
from tests.e2e.server import Server
from tests.peer.camera import Camera
from tests.waiting import until

OF_VIDEO = (VideoUplink, VideoIntake, VideoDecoder, PicturePool)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of what was made of all that video needs."""
    names: set[str] = set()
    for kind in OF_VIDEO:
        monkeypatch.setattr(kind, "__init__", _telling(kind, names))
    return names


def _telling(kind: type, names: set[str]) -> object:
    make = kind.__init__  # type: ignore[misc]

    @functools.wraps(make)
    def tell(self: object, *args: object, **more: object) -> None:
        names.add(kind.__name__)
        make(self, *args, **more)

    return tell


def picture_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("pictures")]


def tasks_of_the_server() -> set[str]:
    """By the coroutine that they run."""
    codes = (getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks())
    return {code.co_qualname for code in codes if code and "/rtc_server/" in code.co_filename}


@contextlib.asynccontextmanager
async def answered_call(server: Server, camera: Camera | None = None) -> AsyncIterator[None]:
    """A call in which a question aloud was answered."""
    async with server.call(video=camera) as caller:
        await caller.ask_aloud(0.2)
        await caller.client.next_message("turn")
        yield


async def test_call_in_which_nothing_is_shown_makes_nothing_of_what_video_needs(
    made: set[str],
) -> None:
    """Nor does one with a video section, which is every call of the page, but two objects."""
    idle = Camera()
    idle.paused = True
    async with Server.running(ScriptedLlm(scripts=[talker(seconds=0.2)])) as server:
        async with answered_call(server):
            tasks = tasks_of_the_server()
        assert made == set()
        async with answered_call(server, idle):
            await until(lambda: tasks_of_the_server() <= tasks)
            assert not picture_threads()
        assert made == {"VideoUplink", "VideoIntake"}
        async with answered_call(server, Camera()):
            await until(lambda: bool(picture_threads()))
        assert made == {kind.__name__ for kind in OF_VIDEO}


async def test_video_uplink_is_nothing_but_an_object_until_the_first_packet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Sink:
        def takes_pictures(self) -> bool:
            return True

        def on_picture(self, jpeg: bytes) -> None: ...

    timers: list[object] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(*args: object, **more: object) -> asyncio.TimerHandle:
        timers.append(args)
        return later(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", call_later)
    tasks, threads = asyncio.all_tasks(), threading.enumerate()
    uplink = VideoUplink("VP8", Sink(), frames_per_s=1.0, picture_px=1024)
    try:
        assert (asyncio.all_tasks(), threading.enumerate(), timers) == (tasks, threads, [])
        assert uplink.wants()
        assert len(timers) == 1
    finally:
        uplink.close()
