"""Gemini takes a tool call back that the caller was asked about: his next words are answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.adk.tools.function_tool import FunctionTool

from tests.e2e.gemini import MODELS, answers, gemini_server, of_type
from tests.gemini.live_model import Pace

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")


def pay(euros: int) -> dict[str, int]:
    """Pays."""
    return {"paid": euros}


@pytest.mark.parametrize("how", ["typed after an interruption", "spoken"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_what_is_said_in_place_of_a_yes_is_answered(
    model: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly one turn more, which is his, and no time-out."""
    tools = [FunctionTool(pay, require_confirmation=True)]
    async with (
        gemini_server(tmp_path, monkeypatch, model=model, tools=tools, pace=Pace(playback=0)) as (
            server,
            _,
        ),
        server.call() as caller,
    ):
        client = caller.client
        client.send({"type": "text", "data": 'use pay {"euros": 5}'})
        await client.next_message("confirm")
        if how == "spoken":
            await caller.ask_aloud()
        else:
            client.send({"type": "interrupt"})
            client.send({"type": "text", "data": "never mind"})
        words = "You said: " + ("I asked aloud" if how == "spoken" else "never mind")
        await client.wait_for(lambda: words in answers(caller).values())
        last = max(answers(caller))
        await client.wait_for(lambda: last in [one["turn"] for one in of_type(caller, "turn")])
        assert answers(caller) == {last: words}
        assert not of_type(caller, "turn")[-1]["interrupted"]
        assert not of_type(caller, "error")
        if how == "spoken":
            asked = [one["turn"] for one in of_type(caller, "transcript") if one["role"] == "user"]
            assert set(asked) == {last}
