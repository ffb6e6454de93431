"""Mapping of ADK events, in Gemini's order and in CascadeLive's."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.events.event import Event, NodeInfo
from google.adk.events.event_actions import EventActions
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from rtc_server.agent.live_event_mapper import LiveEventMapper, rate_of
from rtc_server.agent.live_events import (
    AgentAudio,
    AgentChanged,
    AgentFailed,
    AgentText,
    AgentThought,
    AgentTranscript,
    LiveEvent,
    ModelInterrupted,
    ModelTurnComplete,
    StateChanged,
    ToolCalled,
    ToolReturned,
    UsageReported,
    UserTranscript,
)

from .scripted_llm import (
    audio_piece,
    heard,
    interrupted,
    said,
    text_piece,
    tone,
    tool_call,
    turn_complete,
    usage,
)


def event_of(response: LlmResponse, author: str = "agent", **more: Any) -> Event:
    """``response`` as ADK hands it on."""
    if response.input_transcription is not None:
        author = "user"
    return Event(author=author, **response.model_dump(exclude_none=True), **more)


def run(mapper: LiveEventMapper, *responses: LlmResponse) -> list[LiveEvent]:
    return [event for one in responses for event in mapper.map(event_of(one))]


def tool_result(name: str, call_id: str, **response: Any) -> LlmResponse:
    part = types.Part(
        function_response=types.FunctionResponse(id=call_id, name=name, response=response)
    )
    return LlmResponse(content=types.Content(role="user", parts=[part]))


def texts(events: list[LiveEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, AgentText))


def parts(*some: types.Part, partial: bool | None = None) -> LlmResponse:
    return LlmResponse(content=types.Content(role="model", parts=list(some)), partial=partial)


# Text ---------------------------------------------------------------------


def test_text_pieces_and_their_whole_give_each_character_once() -> None:
    """Pieces are passed on as they come, the whole that repeats them is not."""
    events = run(
        LiveEventMapper(),
        text_piece("Hel"),
        text_piece("lo."),
        text_piece("Hello.", partial=False),
        turn_complete(),
    )
    assert events == [AgentText("Hel"), AgentText("lo."), ModelTurnComplete()]


def test_text_tail_that_is_only_in_the_whole_is_passed_on() -> None:
    """The tail of an answer can come only in the event with partial=False."""
    events = run(LiveEventMapper(), text_piece("Hello"), text_piece("Hello, world.", partial=False))
    assert events == [AgentText("Hello"), AgentText(", world.")]


def test_text_that_comes_whole_only_is_passed_on_once() -> None:
    """Without pieces the whole is new; its repetition is not."""
    mapper = LiveEventMapper()
    events = run(mapper, text_piece("Hi.", partial=False), text_piece("Hi.", partial=False))
    assert events == [AgentText("Hi.")]


def test_text_whole_that_grows_is_passed_on_by_its_growth() -> None:
    """A model without pieces may repeat what it said and go on."""
    events = run(
        LiveEventMapper(), text_piece("One", partial=False), text_piece("One two", partial=False)
    )
    assert events == [AgentText("One"), AgentText(" two")]


def test_text_of_several_segments_of_an_answer_is_not_mixed_up() -> None:
    """Each whole repeats only the pieces since the whole before it."""
    events = run(
        LiveEventMapper(),
        text_piece("A b."),
        text_piece("A b.", partial=False),
        text_piece(" C"),
        text_piece(" C d.", partial=False),
    )
    assert texts(events) == "A b. C d."


def test_text_whole_with_other_space_around_it_is_known_again() -> None:
    """White space around the repetition makes no new text of it."""
    events = run(LiveEventMapper(), text_piece(" Hello. "), text_piece("Hello.", partial=False))
    assert texts(events) == " Hello. "


def test_text_whole_that_revises_the_pieces_adds_only_what_is_longer() -> None:
    """What was shown cannot be taken back, and is not shown twice."""
    events = run(
        LiveEventMapper(), text_piece("It is 3 pm"), text_piece("It is 4 pm now", partial=False)
    )
    assert texts(events) == "It is 3 pm now"


def test_text_whole_of_another_text_is_passed_on() -> None:
    """A whole that has nothing to do with the pieces is text of its own."""
    events = run(LiveEventMapper(), text_piece("Hmm"), text_piece("Yes, sure.", partial=False))
    assert texts(events) == "HmmYes, sure."


def test_text_same_answer_again_in_the_next_turn_is_passed_on() -> None:
    """Repetition counts within an answer only."""
    hello = [text_piece("Hi."), text_piece("Hi.", partial=False), turn_complete()]
    assert texts(run(LiveEventMapper(), *hello, *hello)) == "Hi.Hi."


def test_text_before_and_after_a_tool_is_passed_on_once_each() -> None:
    """A round of tools begins a new text."""
    events = run(
        LiveEventMapper(),
        text_piece("Wait."),
        text_piece("Wait.", partial=False),
        tool_call("f"),
        tool_result("f", "call-1", ok=True),
        text_piece("Wait."),
        text_piece("Wait. Done.", partial=False),
    )
    assert texts(events) == "Wait.Wait. Done."


def test_text_thoughts_are_no_text() -> None:
    """Thought parts are told apart from the answer, each once, in pieces and in wholes."""
    whole = parts(types.Part(text="Hm", thought=True), types.Part(text="Hi"), partial=False)
    events = run(
        LiveEventMapper(), text_piece("Hm", thought=True), whole, text_piece("Hm", thought=True)
    )
    assert events == [AgentThought("Hm"), AgentText("Hi"), AgentThought("Hm")]


def test_content_of_every_part_is_read() -> None:
    """Text, audio and a call in one event all come out, in their order."""
    call = types.FunctionCall(id="c", name="f", args={"x": 1})
    events = run(
        LiveEventMapper(),
        parts(
            types.Part(text="One "),
            types.Part(text="two"),
            types.Part(inline_data=types.Blob(data=b"\0\0", mime_type="audio/pcm;rate=16000")),
            types.Part(function_call=call),
        ),
    )
    assert events == [
        AgentText("One two"),
        AgentAudio(b"\0\0", 16_000),
        ToolCalled("c", "f", {"x": 1}),
    ]


def test_content_of_the_user_is_no_answer() -> None:
    """An echo of the user's own words is not the agent's text."""
    assert LiveEventMapper().map(event_of(text_piece("me"), author="user")) == []


def test_text_that_is_said_again_whole_behind_a_tool_is_passed_on_once() -> None:
    """The whole of a model may be that of its turn, with what it said before the tool."""
    round_of_tools = (tool_call("f"), tool_result("f", "call-1", ok=True))
    events = run(
        LiveEventMapper(),
        text_piece("Let me see. "),
        *round_of_tools,
        text_piece("It is"),
        text_piece("Let me see. It is 3.", partial=False),
        turn_complete(),
        text_piece("Let me see. ", partial=False),
    )
    assert texts(events) == "Let me see. It is 3.Let me see. "


def test_tool_that_returns_amid_an_answer_does_not_disturb_its_pieces() -> None:
    """It was interrupted and worked on, and the model has turned to something else."""
    events = run(
        LiveEventMapper(),
        tool_call("f"),
        text_piece("Never "),
        tool_result("f", "call-1", ok=True),
        text_piece("mind"),
        text_piece("Never mind", partial=False),
        turn_complete(),
    )
    assert texts(events) == "Never mind"


def test_message_of_a_streaming_tool_is_text_beside_the_answer() -> None:
    """What a tool yields for the user does not disturb the pieces of the answer."""
    mapper = LiveEventMapper()
    message = LlmResponse(content=types.Content(role="user", parts=[types.Part(text="50 %")]))
    events = run(mapper, text_piece("Work"), message, text_piece("Working", partial=False))
    assert events == [AgentText("Work"), AgentText("50 %"), AgentText("ing")]


# Audio --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mime_type", "rate"),
    [
        ("audio/pcm;rate=24000", 24_000),
        ("audio/pcm; rate=8000", 8_000),
        ("audio/pcm;RATE=48000;channels=1", 48_000),
        ("audio/pcm", 24_000),
        ("audio/pcm;rate=", 24_000),
        ("audio/pcm;rate=fast", 24_000),
        ("audio/pcm;rate=0", 24_000),
        ("audio/pcm;rate=999999", 24_000),
        ("audio/pcm;rate=-8000", 24_000),
    ],
)
def test_audio_rate_is_read_or_24000(mime_type: str, rate: int) -> None:
    """A missing or garbled rate is 24 kHz."""
    assert rate_of(mime_type) == rate
    assert run(LiveEventMapper(), audio_piece(b"\1\0", mime_type)) == [AgentAudio(b"\1\0", rate)]


def test_audio_of_odd_length_is_passed_on_and_empty_audio_is_not() -> None:
    """The playout buffer deals with odd bytes."""
    events = run(LiveEventMapper(), audio_piece(b"\1\2\3"), audio_piece(b""))
    assert events == [AgentAudio(b"\1\2\3", 24_000)]


# Transcripts ----------------------------------------------------------------


def test_agent_transcript_of_gemini_grows_by_deltas_and_ends_with_the_whole() -> None:
    """Deltas carry their own leading space; the finished whole adds nothing."""
    events = run(
        LiveEventMapper(), said("Hello"), said(" there."), said("Hello there.", finished=True)
    )
    assert events == [
        AgentTranscript("Hello", "Hello", final=False),
        AgentTranscript("Hello there.", " there.", final=False),
        AgentTranscript("Hello there.", "", final=True),
    ]


def test_agent_transcript_whose_tail_is_only_in_the_whole_is_completed() -> None:
    """The finished whole may be longer than its deltas."""
    events = run(LiveEventMapper(), said("Hello"), said("Hello there.", finished=True))
    assert events[-1] == AgentTranscript("Hello there.", " there.", final=True)


def test_agent_transcript_of_cascade_is_cut_to_what_was_heard() -> None:
    """On barge-in the finished text is shorter than what came before."""
    events = run(
        LiveEventMapper(),
        said("Once upon a time. "),
        said("There was a king."),
        said("Once upon", finished=True),
        interrupted(),
    )
    assert events[1:] == [
        AgentTranscript("Once upon a time. There was a king.", "There was a king.", final=False),
        AgentTranscript("Once upon", "", final=True),
        ModelInterrupted(),
    ]


def test_agent_transcript_goes_on_over_a_round_of_tools() -> None:
    """A tool belongs to the answer: the transcript so far is kept, joined with a space."""
    events = run(
        LiveEventMapper(),
        said("Let me see.", finished=True),
        tool_call("f"),
        turn_complete(),
        tool_result("f", "call-1"),
        said("It is four."),
        said("It is four.", finished=True),
        turn_complete(),
        said("Bye"),
    )
    transcripts = [one for one in events if isinstance(one, AgentTranscript)]
    assert [one.text for one in transcripts] == [
        "Let me see.",
        "Let me see. It is four.",
        "Let me see. It is four.",
        "Bye",
    ]
    assert "".join(one.delta for one in transcripts[:3]) == "Let me see. It is four."


def test_agent_transcript_left_open_is_finished_with_the_turn() -> None:
    """A model that never says finished still gets one final transcript."""
    events = run(LiveEventMapper(), said("Hi."), turn_complete())
    assert events[1:] == [AgentTranscript("Hi.", "", final=True), ModelTurnComplete()]


def test_agent_transcript_copied_after_the_end_of_its_answer_is_not_of_the_next() -> None:
    """It would stand before the next answer's words; the same words spoken anew are passed on."""
    mapper = LiveEventMapper()
    run(mapper, audio_piece(b"\0\0"), said("Yes."), turn_complete())
    assert run(mapper, said("Yes.", finished=True)) == []
    events = run(mapper, audio_piece(b"\0\0"), said("Yes.", finished=True), turn_complete())
    spoken = [event for event in events if isinstance(event, AgentTranscript)]
    assert spoken == [AgentTranscript("Yes.", "Yes.", final=True)]


def test_user_transcript_of_gemini_is_put_together_from_deltas() -> None:
    """Deltas become the whole so far."""
    mapper = LiveEventMapper(cumulative_input=False)
    events = run(mapper, heard(" What"), heard(" is"), heard(" it?"))
    assert [one.text for one in events if isinstance(one, UserTranscript)] == [
        "What",
        "What is",
        "What is it?",
    ]


def test_user_transcript_of_cascade_replaces_its_hypothesis() -> None:
    """Each hypothesis is whole and may take words back."""
    mapper = LiveEventMapper(cumulative_input=True)
    events = run(
        mapper, heard("I"), heard("Eye want"), heard("I want"), heard("I want.", finished=True)
    )
    assert events == [
        UserTranscript("I", final=False),
        UserTranscript("Eye want", final=False),
        UserTranscript("I want", final=False),
        UserTranscript("I want.", final=True),
    ]


@pytest.mark.parametrize(
    "pieces",
    [["what", "What is", "What  is it"], ["what", " is", " it"]],
    ids=["hypotheses", "deltas"],
)
def test_user_transcript_of_an_unknown_model_is_found_out(pieces: list[str]) -> None:
    """Growing texts are hypotheses, others are deltas."""
    events = run(LiveEventMapper(), *map(heard, pieces))
    last = events[-1]
    assert isinstance(last, UserTranscript)
    assert last.text.lower().split() == ["what", "is", "it"]


def test_user_transcript_finished_copy_is_not_reported_again() -> None:
    """A copy that comes after the answer's audio says nothing new."""
    mapper = LiveEventMapper(cumulative_input=False)
    events = run(
        mapper,
        heard("Hi"),
        heard("Hi", finished=True),
        audio_piece(b"\0\0"),
        heard("Hi", finished=True),
    )
    assert [one for one in events if isinstance(one, UserTranscript)] == [
        UserTranscript("Hi", final=False),
        UserTranscript("Hi", final=True),
    ]


def test_user_transcript_of_the_same_words_in_the_next_exchange_is_reported() -> None:
    """Newer models send only final texts: a second "Yes" is not a copy."""
    yes = [heard("Yes", finished=True), audio_piece(b"\0\0"), turn_complete()]
    events = run(LiveEventMapper(), *yes, *yes)
    assert events.count(UserTranscript("Yes", final=True)) == 2


def test_user_transcript_cut_by_the_interruption_goes_on() -> None:
    """ADK finishes the transcript at the interruption, in mid-sentence."""
    mapper = LiveEventMapper(cumulative_input=False)
    events = run(
        mapper,
        audio_piece(b"\0\0"),
        heard("Hold"),
        heard("Hold", finished=True),
        said("Once", finished=True),
        interrupted(),
        turn_complete(),
        heard(" on"),
        heard("on", finished=True),
        audio_piece(b"\0\0"),
        heard("Thanks", finished=True),
    )
    assert [one.text for one in events if isinstance(one, UserTranscript)] == [
        "Hold",
        "Hold",
        "Hold on",
        "Hold on",
        "Thanks",
    ]


def test_user_transcript_without_words_is_left_out() -> None:
    """Silence is no utterance."""
    assert run(LiveEventMapper(), heard(""), heard(" ", finished=True)) == []


# Tools ----------------------------------------------------------------------


def test_tools_are_called_and_return() -> None:
    """Calls and results come with id, name and values."""
    events = run(LiveEventMapper(), tool_call("add", a=1, b=2), tool_result("add", "call-1", sum=3))
    assert events == [
        ToolCalled("call-1", "add", {"a": 1, "b": 2}),
        ToolReturned("call-1", "add", {"sum": 3}),
    ]


def test_tool_that_runs_long_is_marked() -> None:
    """ADK names the calls that answer at some later time."""
    event = event_of(tool_call("book"), long_running_tool_ids={"call-1"})
    assert LiveEventMapper().map(event) == [ToolCalled("call-1", "book", {}, long_running=True)]


def test_tool_call_of_a_fragment_is_not_reported() -> None:
    """The arguments of a partial call may still be arriving."""
    call = types.Part(function_call=types.FunctionCall(id="c", name="f", args={}))
    assert run(LiveEventMapper(), parts(call, partial=True)) == []


# The rest -------------------------------------------------------------------


def test_order_within_an_event_is_content_then_interruption_then_end() -> None:
    """One event may say everything at once."""
    response = text_piece("Hi", partial=False)
    response.interrupted = response.turn_complete = True
    response.usage_metadata = usage(1, 2).usage_metadata
    actions = EventActions(state_delta={"k": 1, "temp:x": 2})
    assert LiveEventMapper().map(event_of(response, actions=actions)) == [
        AgentText("Hi"),
        UsageReported(1, 2, 3),
        StateChanged({"k": 1}),
        ModelInterrupted(),
        ModelTurnComplete(),
    ]


def test_temporary_state_alone_is_not_reported() -> None:
    """Keys with temp: do not leave the invocation."""
    event = event_of(LlmResponse(), actions=EventActions(state_delta={"temp:x": 1}))
    assert LiveEventMapper().map(event) == []


def test_agent_that_takes_over_is_reported_and_the_first_is_not() -> None:
    """The user is no agent, either."""
    mapper = LiveEventMapper()
    for author in ("root", "user", "root"):
        assert AgentChanged(author) not in mapper.map(event_of(text_piece("x"), author=author))
    assert mapper.map(event_of(text_piece("y"), author="sub"))[0] == AgentChanged("sub")
    assert mapper.map(event_of(text_piece("z"), author="root"))[0] == AgentChanged("root")


def test_error_event_is_a_failure_and_ends_the_turn() -> None:
    """CascadeLive reports a failed turn so; nothing of its text reaches the caller."""
    response = LlmResponse(
        error_code="CASCADE_TURN_FAILED", error_message="secret", turn_complete=True
    )
    failed, complete = run(LiveEventMapper(), response)
    assert isinstance(failed, AgentFailed)
    assert failed.code == "answer_failed"
    assert failed.retryable
    assert "secret" not in failed.message
    assert complete == ModelTurnComplete()


def test_error_event_of_a_node_is_told_only_if_the_workflow_goes_on() -> None:
    """Else its run fails by the same, which is told then."""
    failed = event_of(LlmResponse(error_code="APIError", error_message="secret"))
    failed.node_info = NodeInfo(path="root@1/one@1")
    mapper = LiveEventMapper()
    assert mapper.map(failed) == []
    told = mapper.map(event_of(audio_piece(tone(0.1))))
    assert [type(one) for one in told] == [AgentFailed, AgentAudio]
    assert mapper.map(failed) == []
    mapper.reset()
    assert [type(one) for one in mapper.map(event_of(audio_piece(tone(0.1))))] == [AgentAudio]


def test_error_event_of_a_blocked_answer_has_its_own_code() -> None:
    """Safety is no malfunction."""
    (failed,) = run(LiveEventMapper(), LlmResponse(error_code="SAFETY"))
    assert isinstance(failed, AgentFailed)
    assert failed.code == "answer_blocked"


def test_answering_lasts_from_the_first_output_to_the_end_of_the_turn() -> None:
    """A lost connection matters only in between."""
    mapper = LiveEventMapper()
    answering = []
    for response in (heard("Hi", finished=True), audio_piece(b"\0\0"), turn_complete()):
        run(mapper, response)
        answering.append(mapper.is_answering)
    assert answering == [False, True, False]


def test_reset_forgets_what_the_old_run_left_unfinished() -> None:
    """A new run begins with a clean sheet."""
    mapper = LiveEventMapper()
    run(mapper, text_piece("Hel"), said("Hel"), heard("wh"))
    mapper.reset()
    assert not mapper.is_answering
    events = run(mapper, text_piece("Hello", partial=False), said("Ok"), heard("So"))
    assert events == [
        AgentText("Hello"),
        AgentTranscript("Ok", "Ok", final=False),
        UserTranscript("So", final=False),
    ]
