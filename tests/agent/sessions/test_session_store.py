"""Conversations and who they belong to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.events.event import Event
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types

from rtc_server.agent.sessions.session_store import CUT_OFF, SessionStore
from rtc_server.errors import AgentUnreachable, BadRequest


async def test_new_session_gets_an_id_that_cannot_be_guessed() -> None:
    """128 random bits at least."""
    store = SessionStore("app")
    ids = {(await store.open("ann", None)).session_id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(one) >= 22 for one in ids)  # 6 bits a character


async def test_session_of_a_known_id_is_resumed_and_of_an_unknown_one_made() -> None:
    """The caller may choose the id."""
    store = SessionStore("app")
    first = await store.open("ann", "chosen")
    again = await store.open("ann", "chosen")
    assert (first.session_id, first.user_id, first.resumed) == ("chosen", "ann", False)
    assert again.resumed


async def test_session_of_another_user_is_not_reached() -> None:
    """The same id is another session for another user."""
    service = InMemorySessionService()
    store = SessionStore("app", service)
    await service.create_session(
        app_name="app", user_id="ann", session_id="s", state={"secret": "x"}
    )
    assert not (await store.open("bob", "s")).resumed
    session = await service.get_session(app_name="app", user_id="bob", session_id="s")
    assert session is not None
    assert "secret" not in session.state


@pytest.mark.parametrize("session_id", ["", "a" * 129, "a\n", "a\x00", "\x85", " s", "s ", "\xa0s"])
async def test_session_id_that_is_malformed_is_refused(session_id: str) -> None:
    """Printable characters without space around them, 128 at most."""
    with pytest.raises(BadRequest):
        await SessionStore("app").open("ann", session_id)


@pytest.mark.parametrize("user_id", ["", "a" * 129, "a\nb", "a\x00", "\x7f", "\x85"])
async def test_user_id_that_is_malformed_is_refused(user_id: str) -> None:
    """No control characters; else anything that a token's subject may be."""
    with pytest.raises(BadRequest):
        await SessionStore("app").open(user_id, None)


@pytest.mark.parametrize("user_id", ["user", "auth0|42", "ann@example.org", "Änn Ø"])
async def test_user_id_may_be_what_identity_providers_make(user_id: str) -> None:
    """Mail addresses and other scripts included."""
    assert (await SessionStore("app").open(user_id, None)).user_id == user_id


async def test_service_that_fails_is_told_without_its_words() -> None:
    """The text of the exception stays in the log."""

    class Broken(InMemorySessionService):
        async def get_session(self, **_: Any) -> Any:
            raise OSError("password=secret")

    with pytest.raises(AgentUnreachable) as raised:
        await SessionStore("app", Broken()).open("ann", "s")
    assert "secret" not in str(raised.value)


async def test_two_offers_at_once_for_a_new_session_share_it() -> None:
    """The one that comes second to the database takes what is there."""

    class Slow(InMemorySessionService):
        async def create_session(self, **keys: Any) -> Any:
            await asyncio.sleep(0)
            return await super().create_session(**keys)

    store = SessionStore("app", Slow())
    opened = await asyncio.gather(store.open("ann", "s"), store.open("ann", "s"))
    assert sorted(one.resumed for one in opened) == [False, True]


async def test_id_that_a_database_holds_for_another_user_is_an_error() -> None:
    """Where ids are unique over all users, the other's session is still not reached."""

    class Unique(InMemorySessionService):
        async def create_session(self, **_: Any) -> Any:
            raise AlreadyExistsError("exists")

    with pytest.raises(AgentUnreachable):
        await SessionStore("app", Unique()).open("bob", "s")


@pytest.mark.parametrize("resumed", [True, False])
async def test_only_a_session_made_for_this_call_is_discarded(resumed: bool) -> None:
    """A conversation that was there before a call that came to nothing stays."""
    store = SessionStore("app")
    stored = await store.open("user", "s1")
    if resumed:
        stored = await store.open("user", "s1")
    await store.discard(stored)
    assert (await store.open("user", "s1")).resumed is resumed


async def history_after_closing(*events: Event) -> list[str]:
    """The words of a session of ``events`` once its open turn was closed."""
    store = SessionStore("app")
    await store.open("user", "s")
    session = await store.service.get_session(app_name="app", user_id="user", session_id="s")
    assert session is not None
    for event in events:
        await store.service.append_event(session, event)
    await store.close_open_turn(session, "first")
    return [f"{one.author}: {words_of(one)}" for one in session.events]


def words_of(event: Event) -> str:
    for transcript in (event.input_transcription, event.output_transcription):
        if transcript is not None:
            return transcript.text or ""
    assert event.content is not None
    assert event.content.parts is not None
    return event.content.parts[0].text or ""


def spoken(text: str) -> Event:
    heard = types.Transcription(text=text, finished=True)
    return Event(author="user", invocation_id="run", input_transcription=heard)


async def test_a_spoken_question_that_nobody_answered_is_closed_as_a_typed_one() -> None:
    """ADK tells a model of transcripts, too, and it would answer."""
    said = types.Transcription(text="Hi.", finished=True)
    answer = Event(author="agent", invocation_id="run", output_transcription=said)
    assert await history_after_closing(spoken("hello"), answer) == ["user: hello", "agent: Hi."]
    assert await history_after_closing(spoken("hello"), answer, spoken("and?")) == [
        "user: hello",
        "agent: Hi.",
        "user: and?",
        f"agent: {CUT_OFF}",
    ]


def of_parts(*parts: types.Part, role: str = "model", **more: Any) -> Event:
    content = types.Content(role=role, parts=list(parts))
    return Event(author="agent", invocation_id="run", content=content, **more)


CALL = types.Part(function_call=types.FunctionCall(id="1", name="act", args={}))
RESULT = types.Part(function_response=types.FunctionResponse(id="1", name="act", response={}))
THOUGHT = types.Part(text="Hm.", thought=True)


@pytest.mark.parametrize("part", [CALL, THOUGHT], ids=["a call", "a thought"])
async def test_a_question_is_open_whose_answer_was_but_what_adk_leaves_out_of_the_history(
    part: types.Part,
) -> None:
    """A tool that has not returned, or a thought: a model would answer once more."""
    closed = await history_after_closing(spoken("Do it."), of_parts(part))
    assert closed[-1] == f"agent: {CUT_OFF}"


async def test_a_question_is_answered_by_a_tool_that_goes_on() -> None:
    """A long-running one is in the history although it has not returned."""
    working = of_parts(CALL, long_running_tool_ids={"1"})
    assert len(await history_after_closing(spoken("Do it."), working)) == 2


async def test_a_result_that_the_model_has_not_spoken_of_is_an_open_question() -> None:
    result = of_parts(RESULT, role="user")  # as ADK has it
    closed = await history_after_closing(spoken("Do it."), of_parts(CALL), result)
    assert closed[-1] == f"agent: {CUT_OFF}"
