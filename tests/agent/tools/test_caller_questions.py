"""The book of what tools wait for the caller to say, without ADK."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtc_server.agent.live_events import (
    ClientToolCalled,
    ConfirmationAsked,
    LiveEvent,
)
from rtc_server.agent.tools.caller_questions import (
    MAX_OPEN,
    CallerQuestions,
    Decision,
    NoAnswer,
    TakenBack,
    asking,
    questions,
)


class Told:
    """What the caller was told, and a wait for it."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[LiveEvent] = asyncio.Queue()
        self.cancelled: list[str] = []

    async def tell(self, event: LiveEvent) -> None:
        self.events.put_nowait(event)


def book(told: Told, **seconds: Any) -> CallerQuestions:
    made = CallerQuestions(**seconds)
    made.open(told.tell, told.cancelled.append)
    return made


async def test_yes_and_no_reach_the_tool_that_asked_with_their_payload() -> None:
    """Two questions are open at once, and are answered in the other order."""
    told = Told()
    asked = book(told, confirm_s=30)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(asked.confirm("a", "pay", {"euros": 5}, hint="Pay?", payload=1))
        second = group.create_task(asked.confirm("b", "send", {}))
        assert await told.events.get() == ConfirmationAsked("a", "pay", {"euros": 5}, 30, "Pay?", 1)
        assert await told.events.get() == ConfirmationAsked("b", "send", {}, 30)
        assert asked.answer_confirmation("b", confirmed=False)
        assert asked.answer_confirmation("a", confirmed=True, payload={"euros": 4})
    assert first.result() == Decision(confirmed=True, payload={"euros": 4})
    assert second.result() == Decision(confirmed=False)
    assert asked.waiting == 0


async def test_an_answer_that_nobody_waits_for_is_not_taken() -> None:
    """Unknown, given twice, or of the other kind."""
    told = Told()
    asked = book(told)
    assert not asked.answer_confirmation("a", confirmed=True)
    async with asyncio.TaskGroup() as group:
        confirmed = group.create_task(asked.confirm("a", "pay", {}))
        run = group.create_task(asked.run_on_client("b", "beep", {}))
        for _ in range(2):
            await told.events.get()
        assert not asked.answer_tool("a", {})
        assert not asked.answer_confirmation("b", confirmed=True)
        assert asked.answer_confirmation("a", confirmed=True)
        assert not asked.answer_confirmation("a", confirmed=False)
        assert asked.answer_tool("b", {"beeped": True})
    assert confirmed.result() == Decision(confirmed=True)
    assert run.result() == {"beeped": True}
    assert not asked.answer_tool("b", {})


async def test_silence_is_no_answer() -> None:
    """After its time a question is closed, and a later answer is not taken."""
    told = Told()
    asked = book(told, confirm_s=0.01, client_tool_s=0.01)
    assert await asked.confirm("a", "pay", {}) is NoAnswer.LATE
    assert "too long" in (await asked.run_on_client("b", "beep", {}))["error"]
    assert not asked.answer_confirmation("a", confirmed=True)
    assert asked.waiting == 0


async def test_an_error_of_the_client_is_told_to_the_model() -> None:
    """As an error, which is what a model knows."""
    told = Told()
    asked = book(told)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(asked.run_on_client("a", "beep", {}))
        assert await told.events.get() == ClientToolCalled("a", "beep", {}, 30)
        asked.answer_tool("a", None, "no loudspeaker")
    assert run.result() == {"error": "no loudspeaker"}


async def test_what_the_model_takes_back_waits_no_longer() -> None:
    """A confirmation and a client's tool; the caller is told by who took it back."""
    told = Told()
    asked = book(told)
    confirm = asyncio.create_task(asked.confirm("a", "pay", {}))
    run = asyncio.create_task(asked.run_on_client("b", "beep", {}))
    for _ in range(2):
        await told.events.get()
    asked.take_back(["a", "unknown", "b"])
    for task in (confirm, run):
        with pytest.raises(TakenBack):
            await task
    assert told.cancelled == []
    assert asked.waiting == 0


async def test_an_interruption_withdraws_questions_and_leaves_tools_alone() -> None:
    """What the caller is asked is part of the answer that he interrupts."""
    told = Told()
    asked = book(told)
    async with asyncio.TaskGroup() as group:
        confirm = group.create_task(asked.confirm("a", "pay", {}))
        run = group.create_task(asked.run_on_client("b", "beep", {}))
        for _ in range(2):
            await told.events.get()
        asked.withdraw()
        assert await confirm is NoAnswer.INTERRUPTED
        assert not run.done()
        asked.answer_tool("b", {})


async def test_the_end_of_the_run_takes_the_question_back_from_the_caller() -> None:
    """A tool whose task is cancelled says so, and leaves nothing."""
    told = Told()
    asked = book(told)
    task = asyncio.create_task(asked.confirm("a", "pay", {}))
    await told.events.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.cancelled == ["a"]
    assert asked.waiting == 0


async def test_a_caller_is_asked_a_bounded_number_of_questions() -> None:
    """One for each id, and not more than a few."""
    told = Told()
    asked = book(told)
    async with asyncio.TaskGroup() as group:
        for number in range(MAX_OPEN):
            group.create_task(asked.run_on_client(f"{number}", "beep", {}))
            await told.events.get()
        assert "Too many" in (await asked.run_on_client("0", "beep", {}))["error"]
        assert await asked.confirm("one-more", "pay", {}) is NoAnswer.TOO_MANY
        for number in range(MAX_OPEN):
            asked.answer_tool(f"{number}", {})
    assert asked.waiting == 0


async def test_arguments_that_no_message_could_carry_are_refused() -> None:
    """The model is told; the caller is not."""
    told = Told()
    assert "too large" in (await book(told).run_on_client("a", "b", {"x": "y" * 200_000}))["error"]
    assert told.events.empty()


async def test_questions_are_found_in_the_tasks_of_the_run_and_nowhere_else() -> None:
    """A context variable: ADK starts the tools' tasks."""
    asked = CallerQuestions()

    async def find() -> CallerQuestions | None:
        return questions()

    with asking(asked):
        assert await asyncio.create_task(find()) is asked
    assert questions() is None


async def test_second_question_of_one_id_takes_nothing_from_the_first() -> None:
    told = Told()
    asked = book(told, confirm_s=30)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(asked.confirm("a", "pay", {}))
        await told.events.get()
        assert await asked.confirm("a", "pay", {}) is NoAnswer.TOO_MANY
        assert asked.answer_confirmation("a", confirmed=True)
    assert first.result() == Decision(confirmed=True)
