"""The live session with ADK's real ``CascadeLive``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse

from rtc_server.agent.live_events import (
    AgentAudio,
    AgentFailed,
    AgentTranscript,
    LiveEvent,
    ModelAway,
    ModelBack,
    ModelInterrupted,
    ModelTurnComplete,
    ToolProgressed,
    ToolReturned,
    UserTranscript,
)
from rtc_server.agent.live_session import LiveSession

from .conftest import serve_agent
from .scripted_llm import silence, text_of, text_piece, tone, tool_call
from .tone_cascade import Answer, TextLlm, tone_cascade

SPEECH = tone(0.02, rate=16_000)
QUIET = silence(0.02, rate=16_000)


def agent_that(answer: Answer, seconds: float = 0.1, **more: object) -> LlmAgent:
    model = tone_cascade(TextLlm(answer=answer), seconds)
    return LlmAgent.model_validate({"name": "cascade", "model": model, **more})


def sentences(*some: str) -> list[LlmResponse]:
    return [*(text_piece(one) for one in some), text_piece("".join(some), partial=False)]


def say(live: LiveSession) -> None:
    """A spoken turn."""
    for _ in range(10):
        live.send_audio(SPEECH)
    for _ in range(20):
        live.send_audio(QUIET)


async def until(
    live: LiveSession, kind: type[object] | tuple[type[object], ...]
) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kind):
            break
    return seen


async def test_speech_is_heard_whole_and_answered_once() -> None:
    """Hypotheses replace each other; the answer's audio and words come once."""
    agent = agent_that(lambda _: sentences("One. ", "Two."))
    async with serve_agent(agent) as server, server.call("audio") as live:
        say(live)
        events = await until(live, ModelTurnComplete)
    assert [one for one in events if isinstance(one, UserTranscript)] == [
        UserTranscript("I", final=False),
        UserTranscript("I asked", final=True),
    ]
    assert b"".join(one.pcm for one in events if isinstance(one, AgentAudio)) == 2 * tone(0.1)
    spoken = [one for one in events if isinstance(one, AgentTranscript)]
    assert [one.text for one in spoken] == ["One. ", "One. Two.", "One. Two."]
    assert "".join(one.delta for one in spoken) == "One. Two."


async def test_speech_over_the_answer_interrupts_it_without_an_end_of_turn() -> None:
    """Only ``interrupted`` comes, after the words that were heard."""
    agent = agent_that(lambda _: sentences("A long story. "), seconds=60)
    async with serve_agent(agent) as server, server.call("audio") as live:
        live.send_text("tell me a story")
        await until(live, AgentTranscript)
        say(live)
        events = await until(live, ModelInterrupted)
    assert not any(isinstance(one, ModelTurnComplete) for one in events)


async def test_interrupt_stops_the_answer_and_text_is_answered_at_once() -> None:
    """Typed text would wait for the estimated end of playback otherwise."""
    agent = agent_that(lambda _: sentences("A long story. "), seconds=60)
    async with serve_agent(agent) as server, server.call("audio") as live:
        live.send_text("tell me a story")
        await until(live, AgentTranscript)
        assert live.interrupt()
        live.send_text("something else")
        await until(live, ModelInterrupted)
        assert isinstance((await until(live, AgentAudio))[-1], AgentAudio)


async def test_tool_is_used_and_its_words_belong_to_the_answer() -> None:
    """CascadeLive says nothing of the end of the round."""

    def answer(request: LlmRequest) -> list[LlmResponse]:
        results = [
            part.function_response
            for content in request.contents
            for part in content.parts or []
            if part.function_response is not None
        ]
        if results:
            return sentences(f"It is {(results[-1].response or {})['sum']}.")
        return [tool_call("add", a=1, b=2)]

    def add(a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    async with (
        serve_agent(agent_that(answer, tools=[add])) as server,
        server.call("audio") as live,
    ):
        live.send_text("what is one and two")
        events = await until(live, ModelTurnComplete)
    assert [one.result for one in events if isinstance(one, ToolReturned)] == [{"sum": 3}]
    assert [one.text for one in events if isinstance(one, AgentTranscript)][-1] == "It is 3."


async def test_of_a_streaming_tool_the_language_model_is_given_the_first_notice_alone() -> None:
    """The caller is told each yield; docs/agents.md says so, and is to be changed when ADK is."""
    given: list[list[str]] = []

    def answer(request: LlmRequest) -> list[LlmResponse]:
        parts = [part for one in request.contents for part in one.parts or []]
        results = [one.function_response for one in parts if one.function_response is not None]
        given.append([str(one.response) for one in results])
        return sentences("I see.") if results else [tool_call("watch")]

    async def watch() -> AsyncGenerator[dict[str, int], None]:
        yield {"seen": 50}
        yield {"seen": 100}

    async with (
        serve_agent(agent_that(answer, tools=[watch])) as server,
        server.call("audio") as live,
    ):
        live.send_text("watch it")
        seen: list[LiveEvent] = []
        for _ in range(2):  # whichever comes first
            seen += await until(live, (ModelTurnComplete, ToolReturned))
        live.send_text("and now")
        await until(live, ModelTurnComplete)
    told = [one.result for one in seen if isinstance(one, ToolProgressed)]
    assert told == [{"seen": 50}, {"seen": 100}]
    notice = "{'status': 'The function is running asynchronously and the results are pending.'}"
    assert given == [[], [notice], [notice]]


async def test_language_model_that_raises_fails_the_answer_and_not_the_call() -> None:
    """The next question is answered on the same connection."""
    asked: list[str] = []

    def answer(request: LlmRequest) -> list[LlmResponse]:
        asked.append(text_of(request.contents[-1]))
        if len(asked) == 1:
            raise RuntimeError("secret")
        return sentences("Yes.")

    async with serve_agent(agent_that(answer)) as server, server.call("audio") as live:
        live.send_text("one")
        events = await until(live, ModelTurnComplete)
        # The first connection has one of each, and the caller is told of neither: it is quick.
        failed, complete = (one for one in events if not isinstance(one, ModelAway | ModelBack))
        assert isinstance(failed, AgentFailed)
        assert (failed.code, failed.retryable) == ("answer_failed", True)
        assert complete == ModelTurnComplete()
        live.send_text("two")
        await until(live, AgentAudio)
        assert server.metric("rtc_agent_reconnects_total") == 0
    assert asked == ["one", "two"]


async def test_recogniser_that_raises_is_started_again() -> None:
    """It ends the run; the next one hears again."""
    agent = agent_that(lambda _: sentences("Yes."))
    async with serve_agent(agent) as server, server.call("audio") as live:
        live.send_audio(b"\0")  # no whole sample
        events = await until(live, AgentFailed)
        assert isinstance(events[-1], AgentFailed)
        live.send_text("hello")
        await until(live, ModelTurnComplete)


async def test_close_in_an_answer_leaves_no_task_of_the_cascade() -> None:
    """It cancels its tasks without waiting for them; the leak check looks."""
    agent = agent_that(lambda _: sentences("A long story. "), seconds=60)
    async with serve_agent(agent) as server, server.call("audio") as live:
        live.send_text("go")
        await until(live, AgentAudio)
        say(live)
        await asyncio.sleep(0)


async def test_picture_is_left_out_by_the_cascade() -> None:
    """It takes audio only, and the call goes on."""
    agent = agent_that(lambda _: sentences("Yes."))
    async with serve_agent(agent) as server, server.call("audio") as live:
        live.send_image("image/png", b"png")
        live.send_text("hello")
        events = await until(live, ModelTurnComplete)
    assert not any(isinstance(one, AgentFailed) for one in events)
