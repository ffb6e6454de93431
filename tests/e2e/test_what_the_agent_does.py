"""What the agent does beside talking, in calls through real WebRTC."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from rtc_server.settings import Settings
from tests.agent.gemini_stand_in import Connection, gemini_stand_in
from tests.agent.scripted_llm import (
    ScriptedConnection,
    ScriptedLlm,
    text_piece,
    tone,
    tool_call,
    turn_complete,
    usage,
)
from tests.e2e.gemini import MODELS, answers, ask, gemini_server, of_type
from tests.e2e.server import Server
from tests.gemini.live_model import Pace

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

both_dialects = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(100_000)


def parts(*some: types.Part) -> LlmResponse:
    return LlmResponse(content=types.Content(role="model", parts=list(some)), partial=False)


async def shows_everything(connection: ScriptedConnection) -> None:
    """One answer with all that an answer can hold."""
    await connection.receive_text()
    source = types.GroundingChunkWeb(uri="https://a.example/", title="A")
    connection.emit(
        text_piece("Hm, let me see", thought=True),
        parts(types.Part(inline_data=types.Blob(data=PICTURE, mime_type="image/png"))),
        parts(types.Part(inline_data=types.Blob(data=b"x", mime_type="video/mp4"))),
        parts(
            types.Part(
                executable_code=types.ExecutableCode(code="6*7", language=types.Language.PYTHON)
            )
        ),
        parts(
            types.Part(
                code_execution_result=types.CodeExecutionResult(
                    outcome=types.Outcome.OUTCOME_OK, output="42"
                )
            )
        ),
        parts(types.Part(file_data=types.FileData(file_uri="https://a.example/a.pdf"))),
        text_piece("Look."),
        text_piece("Look.", partial=False),
        LlmResponse(
            grounding_metadata=types.GroundingMetadata(
                grounding_chunks=[types.GroundingChunk(web=source)], web_search_queries=["a"]
            )
        ),
        usage(10, 20),
        turn_complete(),
    )


async def test_all_that_an_answer_holds_reaches_the_caller() -> None:
    """Each once, with the number of its turn; a picture byte for byte."""
    settings = Settings(port=0, show_thoughts=True)
    llm = ScriptedLlm(scripts=[shows_everything])
    async with Server.running(llm, settings) as server, server.call(audio=None) as caller:
        turn = await ask(caller, "Show me")
        assert turn["turn"] == 1
        kinds = ("thought", "image", "error", "code", "file", "text", "grounding", "usage")
        told = [one for one in caller.client.messages if one["type"] in kinds]
        assert [one["type"] for one in told] == [
            "thought",
            "image",
            "error",
            "code",
            "code",
            "file",
            "text",
            "grounding",
            "usage",
        ]
        assert {one["turn"] for one in told if one["type"] != "error"} == {1}
        (picture,) = of_type(caller, "image")
        assert base64.b64decode(picture["data"]) == PICTURE
        assert of_type(caller, "error")[0]["code"] == "part_refused"


async def test_thoughts_stay_in_the_server_where_they_are_not_shown() -> None:
    """The default."""
    llm = ScriptedLlm(scripts=[shows_everything])
    async with Server.running(llm) as server, server.call(audio=None) as caller:
        await ask(caller, "Show me")
        assert of_type(caller, "thought") == []
        assert "let me see" not in str(caller.client.messages)


async def test_an_artifact_and_the_progress_of_tools_reach_the_caller() -> None:
    """A tool saves a file; a streaming one says how far it is, beside the answer."""

    async def save(tool_context: ToolContext) -> dict[str, str]:
        """Saves a note."""
        await tool_context.save_artifact("note.txt", types.Part(text="a note"))
        return {"saved": "note.txt"}

    async def watch() -> AsyncGenerator[Any, None]:
        """Watches."""
        yield {"at": 50}
        yield {"at": 100}

    async def use(connection: ScriptedConnection) -> None:
        await connection.receive_text()
        connection.emit(tool_call("save", "call-1"))
        await connection.receive_content()
        connection.emit(tool_call("watch", "call-2"))
        for _ in range(3):  # the notice that results are pending, and both of them
            await connection.receive_content()
        connection.emit(text_piece("Done."), text_piece("Done.", partial=False), turn_complete())

    llm = ScriptedLlm(scripts=[use])
    async with (
        Server.running(llm, tools=[save, watch]) as server,
        server.call(audio=None) as caller,
    ):
        await ask(caller, "Save it")
        assert of_type(caller, "artifact") == [
            {"type": "artifact", "name": "note.txt", "version": 0}
        ]
        phases = [(one["name"], one["phase"]) for one in of_type(caller, "tool")]
        assert phases == [
            ("save", "call"),
            ("save", "result"),
            ("watch", "call"),
            ("watch", "progress"),
            ("watch", "progress"),
            ("watch", "result"),
        ]


@both_dialects
async def test_a_tool_is_cancelled_when_the_caller_speaks(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task is stopped, the caller told, and what was said is answered."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def search() -> dict[str, str]:
        """Searches for ever."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return {}

    async with (
        gemini_server(
            tmp_path, monkeypatch, model=model, tools=[search], pace=Pace(playback=0)
        ) as (server, _),
        server.call() as caller,
    ):
        caller.client.send({"type": "text", "data": "use search {}"})
        await started.wait()
        await caller.ask_aloud()
        await cancelled.wait()
        await caller.client.wait_for(
            lambda: "You said: I asked aloud" in answers(caller).values(), 10
        )
        await caller.client.next_message("turn")
        phases = [(one["name"], one["phase"]) for one in of_type(caller, "tool")]
        assert phases == [("search", "call"), ("search", "cancelled")]
        assert of_type(caller, "error") == []


async def test_a_slow_tool_delays_no_barge_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sound of the answer stops although ADK waits for the tool; the turn ends once."""
    release = asyncio.Event()

    async def slow() -> dict[str, str]:
        """Waits."""
        await release.wait()
        return {"done": "yes"}

    async def speaks_and_works(connection: Connection) -> None:
        await connection.accept()
        sound = base64.b64encode(tone(8.0)).decode()
        blob = {"mimeType": "audio/pcm;rate=24000", "data": sound}
        turn = {"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}}
        await connection.receive("realtime_input")
        await connection.send({"serverContent": turn})
        call = {"id": "1", "name": "slow", "args": {}}
        await connection.send({"toolCall": {"functionCalls": [call]}})
        await interrupt.wait()
        await connection.send({"serverContent": {"interrupted": True}})
        await connection.receive("tool_response")
        await connection.speech("Yes.")

    interrupt = asyncio.Event()
    async with gemini_stand_in([speaks_and_works], tmp_path, monkeypatch):
        llm = Gemini(model=MODELS["3.x"])
        async with (
            Server.running(ScriptedLlm(), model=llm, tools=[slow]) as server,
            server.call() as caller,
        ):
            await caller.client.wait_for(lambda: len(caller.client.packets) > 25)
            interrupt.set()
            cut = await caller.client.next_message("turn")
            assert (cut["turn"], cut["interrupted"]) == (1, True)
            assert cut["heard_ms"] < 8000
            assert not release.is_set()
            release.set()
            turn = await caller.client.next_message("turn")
            assert (turn["turn"], turn["interrupted"]) == (2, False)
            assert answers(caller)[2] == "Yes."
        await llm.api_client.aio.aclose()
        await llm._live_api_client.aio.aclose()
