"""Words of a model that has forgotten to say that its answer is over."""

from __future__ import annotations

from typing import Any

import pytest

from rtc_server.agent.live_event_mapper import LiveEventMapper
from rtc_server.agent.live_events import AgentText, AgentThought, AgentTranscript

from .scripted_llm import interrupted, said, text_piece, turn_complete
from .test_live_event_mapper import run


@pytest.mark.parametrize("thought", [False, True])
def test_whole_of_the_next_answer_does_not_repeat_its_pieces(*, thought: bool) -> None:
    """Nothing was said of the end of the answer before, of which there was no whole."""
    events = run(
        LiveEventMapper(),
        text_piece("half", thought=thought),
        text_piece("ne", thought=thought),
        text_piece("xt", thought=thought),
        text_piece("next.", partial=False, thought=thought),
    )
    kind: Any = AgentThought if thought else AgentText
    assert events == [kind("half"), kind("ne"), kind("xt"), kind(".")]


def test_same_answer_to_the_next_text_is_passed_on() -> None:
    """As a whole, without pieces, by a model that has not ended the one before."""
    mapper = LiveEventMapper()
    events = run(mapper, text_piece("Hi.", partial=False))
    mapper.asked()
    events += run(mapper, text_piece("Hi.", partial=False))
    assert events == [AgentText("Hi."), AgentText("Hi.")]


def test_utterance_that_was_left_open_ends_with_the_next_text() -> None:
    """The whole of the next one is no correction of it."""
    mapper = LiveEventMapper()
    run(mapper, said("half"))
    mapper.asked()
    events = run(mapper, said("next"), said("next one", finished=True))
    assert events == [
        AgentTranscript("half next", " next", final=False),
        AgentTranscript("half next one", " one", final=True),
    ]


@pytest.mark.parametrize("end", [[turn_complete()], [interrupted()], []])
def test_transcripts_say_whether_the_model_has_put_an_end_between_them(end: list[Any]) -> None:
    """What follows without an end has the words before it in its text; they are taken off."""
    events = run(LiveEventMapper(), said("half", finished=True), *end, said("half past"))
    first, *_, last = [one for one in events if isinstance(one, AgentTranscript)]
    assert (first.answer is last.answer) is (not end)
    assert last.text_after(first) == "half past"


def test_words_before_are_taken_off_a_text_that_begins_with_them() -> None:
    """In the words of the model; a text that begins anew is taken as it is."""
    first, *_, last = run(LiveEventMapper(), said("one"), said(" two"), said(" three"))
    assert isinstance(first, AgentTranscript)
    assert isinstance(last, AgentTranscript)
    assert last.text_after(first) == "two three"
    assert last.text_after(None) == "one two three"
