"""The bounded request queue."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from google.adk.agents.live_request_queue import LiveRequest, LiveRequestQueue
from google.genai import types

from rtc_server.agent.live_request_queue import BoundedLiveRequestQueue, LiveRequestQueueFull
from tests.waiting import until


class Dropped:
    """Counts the seconds reported."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, seconds: float) -> None:
        self.seconds += seconds


def audio(n: int) -> types.Blob:
    """20 ms that can be told apart."""
    return types.Blob(data=bytes([n % 256]) * 640, mime_type="audio/pcm;rate=16000")


def picture(n: int) -> types.Blob:
    return types.Blob(data=bytes([n]), mime_type="image/jpeg")


def text(words: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=words)])


def kind_of(req: LiveRequest) -> str:
    if req.content is not None and req.content.parts:
        return req.content.parts[0].text or "tool"
    if req.blob is not None:
        return f"{req.blob.mime_type}:{(req.blob.data or b'?')[0]}"
    return next(name for name, value in req if value)


async def drain(queue: BoundedLiveRequestQueue) -> list[str]:
    return [kind_of(await queue.get()) for _ in range(len(queue))]


def test_every_public_method_of_adk_is_bounded() -> None:
    """A method that a later ADK adds would put into the unbounded queue of the base."""
    names = [name for name, _ in inspect.getmembers(LiveRequestQueue, inspect.isfunction)]
    for name in (one for one in names if not one.startswith("_")):
        assert name in vars(BoundedLiveRequestQueue), name


async def test_audio_of_known_length_is_bounded_as_any_other() -> None:
    """It is the same request, and the oldest of it is dropped."""
    dropped = Dropped()
    queue = BoundedLiveRequestQueue(audio_s=0.04, on_audio_dropped=dropped)
    queue.send_audio(audio(1), 0.02)
    queue.send_realtime(audio(2))
    queue.send_audio(audio(3), 0.02)
    assert dropped.seconds == pytest.approx(0.02)
    assert await queue.get() == LiveRequest(blob=audio(2))
    assert await queue.get() == LiveRequest(blob=audio(3))


async def test_order_is_kept_between_audio_and_the_rest() -> None:
    """What was sent first is taken first."""
    queue = BoundedLiveRequestQueue()
    queue.send_realtime(audio(1))
    queue.send_content(text("hello"))
    queue.send_realtime(audio(2))
    queue.send_activity_start()
    queue.send_activity_end()
    queue.send_audio_stream_end()
    queue.send(LiveRequest(state_delta={"k": 1}))
    queue.close()
    assert await drain(queue) == [
        "audio/pcm;rate=16000:1",
        "hello",
        "audio/pcm;rate=16000:2",
        "activity_start",
        "activity_end",
        "audio_stream_end",
        "state_delta",
        "close",
    ]


async def test_audio_beyond_two_seconds_drops_the_oldest_and_nothing_else() -> None:
    """A stalled agent hears the latest 2 s, and every text."""
    dropped = Dropped()
    queue = BoundedLiveRequestQueue(on_audio_dropped=dropped)
    queue.send_content(text("first"))
    for n in range(150):
        queue.send_realtime(audio(n))
        if n == 20:
            queue.send_content(text("second"))
    assert dropped.seconds == pytest.approx(1.0)
    taken = await drain(queue)
    assert taken[:3] == ["first", "second", "audio/pcm;rate=16000:50"]
    assert len(taken) == 102


async def test_audio_is_measured_in_seconds_whatever_its_pieces() -> None:
    """One long piece counts as much as many short ones."""
    dropped = Dropped()
    queue = BoundedLiveRequestQueue(audio_s=1.0, on_audio_dropped=dropped)
    for _ in range(3):
        queue.send_realtime(types.Blob(data=bytes(32_000), mime_type="audio/pcm;rate=16000"))
    assert dropped.seconds == pytest.approx(2.0)
    assert len(queue) == 1


async def test_audio_taken_makes_room() -> None:
    """An agent that keeps up loses nothing."""
    dropped = Dropped()
    queue = BoundedLiveRequestQueue(on_audio_dropped=dropped)
    for n in range(500):
        queue.send_realtime(audio(n))
        await queue.get()
    assert dropped.seconds == 0


async def test_requests_beyond_the_limit_are_refused() -> None:
    """Text is never dropped in silence."""
    queue = BoundedLiveRequestQueue(max_requests=3)
    for n in range(3):
        queue.send_content(text(str(n)))
    with pytest.raises(LiveRequestQueueFull):
        queue.send_content(text("3"))
    queue.close()  # always finds room
    assert await drain(queue) == ["0", "1", "2", "close"]


async def test_pictures_beyond_the_limit_drop_the_oldest() -> None:
    """Only the latest pictures are of interest."""
    queue = BoundedLiveRequestQueue(max_images=2)
    for n in range(4):
        queue.send_realtime(picture(n))
    assert await drain(queue) == ["image/jpeg:2", "image/jpeg:3"]


async def test_of_a_video_only_the_newest_frame_waits() -> None:
    """It replaces the one before, and no picture that was sent as such; a new run gets none."""
    queue = BoundedLiveRequestQueue()
    queue.send_realtime(picture(1))
    queue.send_frame(picture(2))
    queue.send_frame(picture(3))
    assert await drain(queue) == ["image/jpeg:1", "image/jpeg:3"]
    queue.send_realtime(picture(4))
    queue.send_frame(picture(5))
    queue.start_over()
    assert await drain(queue) == ["image/jpeg:4"]


@pytest.mark.parametrize(
    "content",
    [
        types.Content(role="user"),
        types.Content(role="user", parts=[]),
        types.Content(
            role="user", parts=[types.Part(function_call=types.FunctionCall(name="f", args={}))]
        ),
    ],
    ids=["no parts", "empty parts", "function call"],
)
async def test_content_that_would_kill_the_sender_is_refused(content: types.Content) -> None:
    """ADK's sender task dies of it, and the call would go on deaf."""
    queue = BoundedLiveRequestQueue()
    with pytest.raises(ValueError, match="content"):
        queue.send_content(content)
    with pytest.raises(ValueError, match="content"):
        queue.send(LiveRequest(content=content))
    assert len(queue) == 0


async def test_get_waits_for_a_request_and_a_cancelled_get_loses_none() -> None:
    """A run that is cancelled leaves what was not taken to the next."""
    queue = BoundedLiveRequestQueue()
    first = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    first.cancel()
    queue.send_content(text("kept"))
    await asyncio.wait({first})
    assert kind_of(await queue.get()) == "kept"


async def test_close_may_be_called_twice_and_is_remembered() -> None:
    """ADK asks whether the caller closed the queue."""
    queue = BoundedLiveRequestQueue()
    closed = [queue.closed]
    for _ in range(2):
        queue.close()
        closed.append(queue.closed)
    assert closed == [False, True, True]
    assert len(queue) == 1


async def test_start_over_keeps_text_pictures_and_state_only() -> None:
    """Stale audio, signals and results of the old run's tools are of no use to the next."""
    dropped = Dropped()
    queue = BoundedLiveRequestQueue(on_audio_dropped=dropped)
    result = types.Part(function_response=types.FunctionResponse(id="1", name="f", response={}))
    queue.send_realtime(audio(1))
    queue.send_content(text("kept"))
    queue.send_activity_start()
    queue.send_content(types.Content(role="user", parts=[result]))
    queue.send_realtime(picture(7))
    queue.send(LiveRequest(state_delta={"k": 1}))
    queue.start_over()
    assert dropped.seconds == pytest.approx(0.02)
    assert await drain(queue) == ["kept", "image/jpeg:7", "state_delta"]


async def test_run_that_is_ending_is_given_nothing_more() -> None:
    """What is put in meanwhile is for the next run, which takes it."""
    queue = BoundedLiveRequestQueue()
    old = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.hold()
    queue.send_content(text("kept"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not old.done()
    old.cancel()
    await asyncio.wait({old})
    queue.start_over()
    assert await drain(queue) == ["kept"]


async def test_waiting_time_counts_from_the_last_taking() -> None:
    """A run is stalled that takes nothing of what is there."""
    now = 0.0
    queue = BoundedLiveRequestQueue(clock=lambda: now)
    assert queue.waited_s() == 0
    queue.send_content(text("a"))
    queue.send_content(text("b"))
    now = 5.0
    assert queue.waited_s() == 5.0
    await queue.get()
    assert queue.waited_s() == 0
    now = 7.0
    assert queue.waited_s() == 2.0
    await queue.get()
    assert queue.waited_s() == 0


def test_an_empty_queue_is_a_queue() -> None:
    """ADK sends a non-blocking tool's result only ``if live_request_queue``."""
    queue = BoundedLiveRequestQueue()
    assert len(queue) == 0
    assert bool(queue)


def result(*ids: str, name: str = "look", **response: str) -> types.Content:
    """Results of tools."""
    parts = [
        types.Part(function_response=types.FunctionResponse(id=id, name=name, response=response))
        for id in ids
    ]
    return types.Content(role="user", parts=parts)


async def test_results_that_are_not_wanted_are_left_out() -> None:
    """Those of calls that the model has taken back; what else is in the content stays."""
    queue = BoundedLiveRequestQueue(is_unwanted=lambda id: id == "1")
    queue.send_content(result("1"))
    assert len(queue) == 0
    queue.send_content(result("1", "2"), partial=True)
    request = await queue.get()
    assert request.partial
    assert request.content is not None
    assert [
        part.function_response.id
        for part in request.content.parts or []
        if part.function_response is not None
    ] == ["2"]


@pytest.mark.parametrize("name", ["transfer_to_agent", "task_completed"])
async def test_agent_that_has_handed_over_is_given_no_more(name: str) -> None:
    """What comes while ADK closes its connection is for the next agent's model."""
    queue = BoundedLiveRequestQueue()
    taken: list[str] = []

    async def take() -> None:
        while True:
            taken.append(kind_of(await queue.get()))

    queue.send_content(result("1", name=name))
    queue.send_content(text("for the next"))
    old = asyncio.create_task(take())
    await until(lambda: taken == ["tool"])
    await asyncio.sleep(0)
    assert taken == ["tool"]
    assert queue.waited_s() == 0.0
    old.cancel()
    await asyncio.wait({old})
    assert await drain(queue) == ["for the next"]


async def test_agent_whose_handing_over_failed_goes_on() -> None:
    """The tool answered with an error."""
    queue = BoundedLiveRequestQueue()
    queue.send_content(result("1", name="transfer_to_agent", error="There is no such agent."))
    queue.send_content(text("for the same"))
    assert await drain(queue) == ["tool", "for the same"]
