"""What the history of a session holds of the agent's answers: what was heard of them."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.events.event import Event
from google.genai import types

from rtc_server.agent.sessions.heard_history import HeardHistory, is_speech, spread
from rtc_server.agent.sessions.session_journal import SessionJournal
from rtc_server.messages import Text, Transcript, Turn


def said(text: str, author: str = "agent") -> Event:
    return Event(
        author=author,
        invocation_id="run",
        output_transcription=types.Transcription(text=text, finished=True),
    )


def content(author: str, role: str, *parts: types.Part, **more: Any) -> Event:
    return Event(
        author=author,
        invocation_id="run",
        content=types.Content(role=role, parts=list(parts)),
        **more,
    )


def typed(text: str) -> Event:
    return content("user", "user", types.Part(text=text))


def tool_call() -> Event:
    call = types.FunctionCall(id="1", name="look_up", args={})
    return content("agent", "model", types.Part(function_call=call))


class Log:
    """A call's history over a journal, whose writer takes what is ready at once."""

    def __init__(self, modality: Any = "audio") -> None:
        self.journal = SessionJournal(100, on_ready=lambda: None, on_lost=lambda: None)
        self.history = HeardHistory(self.journal, modality, "first")
        self.written: list[Event] = []

    def add(self, event: Event, turn: int | None = None, *, seen: bool = True) -> Event:
        self.journal.add(event)
        if seen and is_speech(event, self.history.modality):
            self.history.belongs(event.id, turn)
        return event

    def tell(self, turn: int, text: str) -> None:
        self.history.told(Transcript(role="agent", text=text, final=False, turn=turn))

    def end(self, turn: int, heard: str | None = None) -> None:
        self.history.told(
            Turn(
                turn=turn,
                turn_complete=True,
                interrupted=heard is not None,
                heard_ms=None if heard is None else 100,
                heard_text=heard,
            )
        )

    def words(self) -> list[tuple[str, str]]:
        """Who said what, of all that a writer would have stored by now."""
        while (place := self.journal.head()) is not None:
            self.written.append(place.event)
            self.journal.written(place)
        return [(event.author, text_of(event)) for event in self.written]


def text_of(event: Event) -> str:
    if event.output_transcription is not None:
        return event.output_transcription.text or ""
    parts = event.content.parts if event.content is not None else None
    return "".join(part.text or part.function_call.name for part in parts or [])  # type: ignore[union-attr,misc]


def test_an_answer_is_stored_when_it_is_over_and_as_a_whole() -> None:
    log = Log()
    log.add(typed("hi"))
    log.add(said("one two three"), 1)
    assert log.words() == [("user", "hi")]
    log.end(1)
    assert log.words() == [("user", "hi"), ("agent", "one two three")]


def test_of_an_interrupted_answer_what_was_heard_is_stored() -> None:
    log = Log()
    event = log.add(said("one two three"), 1)
    log.end(1, heard="one two")
    log.add(typed("stop"))
    assert log.words() == [("agent", "one two"), ("user", "stop")]
    assert event.interrupted


def test_an_answer_of_which_nothing_was_heard_leaves_no_trace() -> None:
    log = Log()
    log.add(said("one two three"), 1)
    log.add(typed("stop"))
    log.end(1, heard="")
    assert log.words() == [("user", "stop")]


def test_what_comes_after_an_answer_waits_for_its_place() -> None:
    log = Log()
    log.add(said("one"), 1)
    log.add(typed("next"))
    assert log.words() == []
    log.end(1)
    assert log.words() == [("agent", "one"), ("user", "next")]


def test_tools_keep_their_order_among_the_words_that_were_heard() -> None:
    log = Log()
    log.add(said("Let me see."), 1)
    log.add(tool_call())
    log.add(said("It is sunny today."), 1)
    log.end(1, heard="Let me see. It is")
    assert log.words() == [("agent", "Let me see."), ("agent", "look_up"), ("agent", "It is")]


def test_an_answer_that_the_model_never_finished_is_stored_where_it_was_cut() -> None:
    """The connection broke, or the user was faster than the model."""
    log = Log()
    log.add(tool_call())
    log.tell(1, "one two three")
    log.end(1, heard="one two")
    log.add(typed("and?"))
    assert log.words() == [("agent", "look_up"), ("agent", "one two"), ("user", "and?")]


def test_the_model_s_own_word_on_a_cut_answer_comes_too_late() -> None:
    """It is a guess by the wall clock, or the whole of what was generated."""
    log = Log()
    log.tell(1, "one two three")
    log.end(1, heard="one")
    log.add(said("one two three"), 1)
    log.add(typed("and?"))
    assert log.words() == [("first", "one"), ("user", "and?")]


def test_words_that_come_again_after_their_answer_are_a_copy() -> None:
    log = Log()
    log.tell(1, "one two three")
    log.end(1)
    log.add(said("one two three"), None)
    log.history.close()
    assert log.words() == [("first", "one two three")]


def test_words_ahead_of_their_answer_are_of_the_next_that_ends() -> None:
    log = Log()
    log.add(said("one two"), None)
    log.end(1, heard="one")
    assert log.words() == [("agent", "one")]


def test_the_guess_of_the_model_gives_way_to_a_longer_truth() -> None:
    """CascadeLive cuts by the wall clock, which may run behind what was sent."""
    log = Log()
    log.add(said("one"), 1)
    log.end(1, heard="one two")
    assert log.words() == [("agent", "one two")]


def test_the_end_of_the_call_lets_nothing_wait() -> None:
    log = Log()
    log.add(said("never begun"), None, seen=False)
    log.add(typed("bye"))
    log.history.close()
    log.history.close()
    log.add(said("after the call"), 1)
    assert log.words() == [("user", "bye"), ("agent", "after the call")]


def test_the_session_of_the_live_run_is_corrected_along() -> None:
    """A sub-agent that takes over in the same run is told what was heard."""
    from google.adk.sessions.session import Session

    log = Log()
    session = log.journal.session = Session(id="s", app_name="a", user_id="u")
    for event in (said("one two"), said("never heard")):
        session.events.append(log.add(event, 1))
    log.end(1, heard="one")
    log.tell(2, "cut before the model said so")
    log.end(2, heard="cut")
    assert [text_of(event) for event in session.events] == ["one", "cut"]


def test_in_a_text_call_what_was_sent_is_stored() -> None:
    log = Log("text")
    whole = content("agent", "model", types.Part(text="You said: hello"))
    log.history.told(Text(data="You said:", turn=1))
    log.history.told(Text(data=" hello", turn=1))
    log.add(whole, 1)
    log.end(1)
    log.history.told(Text(data="You", turn=2))
    log.history.told(Text(data=" may", turn=2))
    log.end(2, heard="You may")
    assert log.words() == [("agent", "You said: hello"), ("agent", "You may")]
    assert log.written[1].content == types.Content(role="model", parts=[types.Part(text="You may")])


def test_thoughts_stay_beside_the_words_that_were_heard() -> None:
    log = Log("text")
    thought = types.Part(text="hm", thought=True)
    log.add(content("agent", "model", thought, types.Part(text="one two")), 1)
    log.end(1, heard="one")
    log.words()
    kept = log.written[0].content
    assert kept is not None
    assert kept.parts == [thought, types.Part(text="one")]


@pytest.mark.parametrize(
    ("event", "modality", "held"),
    [
        (said("one"), "audio", True),
        (said("one"), "text", True),
        (said(""), "audio", False),
        (typed("one"), "text", False),
        (tool_call(), "text", False),
        (content("agent", "model", types.Part(text="one")), "text", True),
        (content("agent", "model", types.Part(text="one")), "audio", False),
        (content("agent", "model", types.Part(text="one"), partial=True), "text", False),
        (content("agent", "model", types.Part(text="one", thought=True)), "text", False),
        (content("agent", "user", types.Part(text="one")), "text", False),
        (Event(author="agent", turn_complete=True), "audio", False),
    ],
)
def test_words_of_an_answer_are_told_from_all_else(event: Event, modality: Any, held: bool) -> None:
    assert is_speech(event, modality) is held


@pytest.mark.parametrize(
    ("texts", "heard", "parts"),
    [
        (["one two"], "one", ["one"]),
        (["one", "two"], "one two", ["one", "two"]),
        (["one ", "two three"], "one two", ["one ", "two"]),
        (["one", "two"], "on", ["on", ""]),
        (["one", "two"], "", ["", ""]),
        (["one", "two"], "one two three", ["one", "two three"]),
        (["one", "two"], "uno", ["uno", ""]),
    ],
)
def test_what_was_heard_is_shared_out_among_the_pieces(
    texts: list[str], heard: str, parts: list[str]
) -> None:
    assert spread(texts, heard) == parts
