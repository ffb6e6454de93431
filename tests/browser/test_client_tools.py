"""Tools that a page declares and the agent calls, and questions that a person answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.library_client import Client, open_client, received
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]

CONSTRUCT = """() => {
  const schema = { type: "object", properties: { a: { type: "number" } }, required: ["a"] };
  const never = (args, { signal }) => new Promise(() => {
    signal.addEventListener("abort", () => aborted.push(signal.reason.name));
  });
  globalThis.aborted = [];
  call.close();
  construct({
    modality: "text",
    clientTools: [
      { name: "double", description: "2a.", parameters: schema, run: ({ a }) => ({ b: 2 * a }) },
      { name: "name", description: "Your name.", run: async () => "Ada" },
      { name: "fail", description: "Fails.", run: () => { throw new Error("No luck."); } },
      { name: "huge", description: "Says much.", run: () => "x".repeat(70_000) },
      { name: "odd", description: "No JSON.", run: () => 10n },
      { name: "never", description: "Never ends.", run: never },
    ],
  });
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def client(browser: Browser, server: StandInServer) -> AsyncIterator[Client]:
    async with open_client(browser, server, modality="text") as client:
        await client.run(CONSTRUCT)
        yield client
        await client.run("call.close()")


def ask(call: Any, id: str, name: str, args: Any = None, seconds: float = 30) -> None:
    call.send("client_tool", id=id, name=name, args=args or {}, seconds=seconds)


async def test_tools_are_declared_in_the_offer_as_they_were_given(client: Client) -> None:
    call = await client.start()
    declared = call.offer["client_tools"]
    assert [one["name"] for one in declared] == ["double", "name", "fail", "huge", "odd", "never"]
    schema = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}
    assert declared[0] == {"name": "double", "description": "2a.", "parameters": schema}
    assert declared[1] == {"name": "name", "description": "Your name."}


async def test_call_without_tools_declares_none(client: Client) -> None:
    await client.run("call.close()")
    await client.construct(modality="text")
    assert "client_tools" not in (await client.start()).offer


async def test_result_goes_back_as_an_object(client: Client) -> None:
    """What is none is put into one; the page is told of the call as well."""
    call = await client.start()
    ask(call, "1", "double", {"a": 21})
    answer = {"type": "client_tool_result", "id": "1", "result": {"b": 42}}
    assert await received(call) == answer
    ask(call, "2", "name")
    assert await received(call) == {**answer, "id": "2", "result": {"result": "Ada"}}
    assert [one["name"] for one in await client.said("client_tool")] == ["double", "name"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fail", "No luck."),
        ("huge", "too large"),
        ("odd", "BigInt"),
        ("unheard_of", "There is no tool unheard_of."),
    ],
)
async def test_what_goes_wrong_is_said_to_the_agent(client: Client, name: str, words: str) -> None:
    call = await client.start()
    ask(call, "1", name)
    answer = await received(call)
    assert set(answer) == {"type", "id", "error"}
    assert words in answer["error"]


async def test_tool_that_takes_too_long_is_stopped_and_said_to_have(client: Client) -> None:
    call = await client.start()
    ask(call, "1", "never", seconds=0.2)
    answer = await received(call)
    assert (answer["id"], answer["error"]) == ("1", "never took too long.")
    assert await client.run("aborted") == ["TimeoutError"]


async def test_tool_that_the_agent_takes_back_is_stopped_and_answers_nothing(
    client: Client,
) -> None:
    """Nor one whose call is over; an id may come again."""
    call = await client.start()
    ask(call, "1", "never")
    ask(call, "1", "never")  # the same call, said twice
    call.send("tool", phase="cancelled", id="1", name="never")
    ask(call, "1", "name")
    assert (await received(call))["result"] == {"result": "Ada"}
    ask(call, "2", "never")
    await client.seen("client_tool", 4)
    await client.run("call.hangUp()")
    assert await client.run("aborted") == ["AbortError", "AbortError"]
    assert call.received.empty()


async def test_question_is_answered_with_yes_or_no_and_what_was_asked_for(client: Client) -> None:
    call = await client.start()
    call.send("confirm", id="7", name="pay", hint="Pay 5 euros?", payload={"tip": 0}, seconds=60)
    assert (await client.seen("confirm"))["hint"] == "Pay 5 euros?"
    assert await client.run("call.confirm('7', true, { tip: 1 })") is True
    yes = {"type": "confirm", "id": "7", "confirmed": True, "payload": {"tip": 1}}
    assert await received(call) == yes
    await client.run("call.confirm('8', false)")
    assert await received(call) == {"type": "confirm", "id": "8", "confirmed": False}
