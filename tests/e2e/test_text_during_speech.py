"""Text that is typed while the agent speaks: it waits, or interrupts, as the operator chose."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtc_server.settings import Settings
from tests.e2e.gemini import MODELS, answers, gemini_server, of_type
from tests.gemini.live_model import Pace

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

SPOKEN = Pace(word_s=0.06)


async def test_text_waits_until_the_answer_has_been_heard_where_it_queues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each text has an answer of its own, in order, and none is cut off; so aloud as typed."""
    settings = Settings(port=0, text_during_speech="queue")
    async with (
        gemini_server(
            tmp_path, monkeypatch, model=MODELS["3.x"], settings=settings, pace=SPOKEN
        ) as (
            server,
            api,
        ),
        server.call() as caller,
    ):
        client = caller.client
        await client.next_message("ready")
        await caller.ask_aloud()
        await client.wait_for(lambda: len(client.packets) > 5)
        client.send({"type": "text", "data": "count to 8"})
        client.send({"type": "text", "data": "one more"})
        ends = [await client.next_message("turn") for _ in range(3)]
        assert [(one["turn"], one["interrupted"]) for one in ends] == [
            (1, False),
            (2, False),
            (3, False),
        ]
        assert answers(caller) == {
            1: "You said: I asked aloud",
            2: "1 2 3 4 5 6 7 8",
            3: "You said: one more",
        }
        # The model was given each text after its answer had been played: none is cut short there.
        (served,) = api.connections
        assert served.model is not None
        assert [text for role, text in served.model.memory if role == "model"] == list(
            answers(caller).values()
        )


async def test_text_that_waits_is_answered_although_the_answer_before_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never was with that model, and so is not lost with it."""
    settings = Settings(port=0, text_during_speech="queue")
    async with (
        gemini_server(tmp_path, monkeypatch, settings=settings) as (server, api),
        server.call() as caller,
    ):
        client = caller.client
        client.send({"type": "text", "data": "count to 40"})
        await client.wait_for(lambda: len(client.packets) > 5)
        client.send({"type": "text", "data": "hello"})
        api.connections[0].drop()
        lost = await client.next_message("turn")
        assert (lost["turn"], lost["interrupted"]) == (1, True)
        turn = await client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (2, False)
        assert answers(caller)[2] == "You said: hello"
        assert len(of_type(caller, "error")) == 1


async def test_text_interrupts_the_answer_where_it_does_not_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default."""
    async with (
        gemini_server(tmp_path, monkeypatch) as (server, _),
        server.call() as caller,
    ):
        client = caller.client
        client.send({"type": "text", "data": "count to 40"})
        await client.wait_for(lambda: len(client.packets) > 25)
        client.send({"type": "text", "data": "hello"})
        cut = await client.next_message("turn")
        assert (cut["turn"], cut["interrupted"]) == (1, True)
        assert cut["heard_text"].startswith("1 2")
        assert "40" not in cut["heard_text"]
        turn = await client.next_message("turn")
        assert (turn["turn"], turn["interrupted"]) == (2, False)
        assert answers(caller)[2] == "You said: hello"
