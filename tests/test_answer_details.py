"""What the agent does beside talking, in its place in the conversation."""

from __future__ import annotations

import base64
import json

import pytest

from rtc_server.agent import live_events as live
from rtc_server.messages import MAX_MESSAGE_BYTES, ServerMessage

from .conversation_stage import Stage

SOURCES = live.SourcesFound(("weather",), ({"uri": "https://a.example/", "title": "A"},))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_thoughts_are_told_only_where_they_are_shown(stage: Stage) -> None:
    """And are in no text, no transcript, and not in what was heard."""
    shown = Stage(rules={"show_thoughts": True})
    for one in (stage, shown):
        one.agent(live.AgentThought("Hm."))
        one.speak(400)
        one.say("Yes.")
        one.play(100)
        one.agent(live.ModelInterrupted())
    assert stage.sent("thought") == []
    assert shown.sent("thought") == [{"type": "thought", "text": "Hm.", "turn": 1}]
    for one in (stage, shown):
        assert one.sent("text") == []
        assert one.sent("transcript")[0]["text"] == "Yes."
        assert "Hm" not in one.sent("turn")[0]["heard_text"]


def test_a_picture_is_told_in_base64_and_belongs_to_its_answer(stage: Stage) -> None:
    """The turn of the words that come with it."""
    stage.agent(live.AgentPicture("image/png", b"\x89PNG"))
    stage.speak(100)
    assert stage.sent("image") == [
        {
            "type": "image",
            "turn": 1,
            "mime_type": "image/png",
            "data": base64.b64encode(b"\x89PNG").decode(),
        }
    ]


def test_a_picture_that_no_message_can_hold_is_told_as_an_error(stage: Stage) -> None:
    """The largest one fits into a message of the contract."""
    largest = (MAX_MESSAGE_BYTES - 256) * 3 // 4
    stage.agent(live.AgentPicture("image/png", bytes(largest)))
    stage.agent(live.AgentPicture("image/png", bytes(largest + 3)))
    (message,) = [one for one in stage.actions if getattr(one, "type", "") == "image"]
    assert isinstance(message, ServerMessage)
    assert len(message.to_json().encode()) <= MAX_MESSAGE_BYTES
    assert [one["code"] for one in stage.sent("error")] == ["picture_too_large"]


def test_code_is_told_and_shortened(stage: Stage) -> None:
    """16 KiB of each, in whole characters."""
    stage.agent(live.CodeWritten("python", "print(1)"), live.CodeExecuted("ok", "é" * 20_000))
    call, result = stage.sent("code")
    assert call == {
        "type": "code",
        "turn": 1,
        "phase": "call",
        "language": "python",
        "code": "print(1)",
    }
    assert (result["phase"], result["outcome"], result["truncated"]) == ("result", "ok", True)
    assert result["output"] == "é" * 8192


def test_what_belongs_to_an_answer_that_was_cut_off_is_discarded(stage: Stage) -> None:
    """Text, pictures, code, files, thoughts and sources; usage, tools and artifacts are told."""
    stage.rules["show_thoughts"] = True
    stage.speak(400)
    stage.play(40)
    stage.types("No.")
    stage.agent(
        live.AgentText("more"),
        live.AgentPicture("image/png", b"x"),
        live.CodeWritten("python", "1"),
        live.CodeExecuted("ok", "1"),
        live.FileLinked("https://a.example/", None, None),
        live.PartRefused("video/mp4"),
        live.AgentThought("hm"),
        SOURCES,
        live.UsageReported(1, 2, 3),
        live.ArtifactSaved("a.txt", 1),
        live.ToolCalled("1", "look", {}),
        live.ToolReturned("1", "look", {}),
    )
    for kind in ("text", "image", "code", "file", "thought", "grounding", "error"):
        assert stage.sent(kind) == [], kind
    assert [one["turn"] for one in stage.sent("usage")] == [1]
    assert stage.sent("artifact") == [{"type": "artifact", "name": "a.txt", "version": 1}]
    assert [one["phase"] for one in stage.sent("tool")] == ["call", "result"]
    assert stage.conversation.answers == 1


def test_sources_that_come_after_the_last_word_belong_to_that_answer(stage: Stage) -> None:
    """They begin no answer of their own."""
    stage.speak(100)
    stage.agent(live.ModelTurnComplete(), SOURCES)
    stage.play(400)
    assert [one["turn"] for one in stage.sent("grounding")] == [1]
    assert stage.turns() == [(1, False)]


def test_usage_of_an_answer_without_a_word_has_that_answers_number(stage: Stage) -> None:
    """The model counts its tokens before it ends the turn."""
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    stage.types("Say nothing.")
    stage.agent(live.UsageReported(1, 0, 1), live.ModelTurnComplete())
    assert [one["turn"] for one in stage.sent("usage")] == [2]
    assert stage.turns() == [(1, False), (2, False)]


def test_usage_of_an_interrupted_answer_has_that_answers_number(stage: Stage) -> None:
    """Also where the user has already asked again."""
    stage.speak(400)
    stage.play(40)
    stage.user_speaks()
    stage.agent(live.ModelInterrupted())
    stage.user_says("No, stop.")
    stage.agent(live.UsageReported(1, 2, 3), live.ModelTurnComplete())
    assert [one["turn"] for one in stage.sent("usage")] == [1]


def test_usage_has_all_counts(stage: Stage) -> None:
    """What the model does not report is absent."""
    stage.agent(
        live.UsageReported(1, 2, 3, thoughts_tokens=4, cached_tokens=5, prompt_details={"audio": 1})
    )
    (told,) = stage.sent("usage")
    assert told["thoughts_tokens"] == 4
    assert told["cached_tokens"] == 5
    assert told["prompt_details"] == {"audio": 1}
    assert "tool_tokens" not in told
    assert "response_details" not in told


def test_progress_and_failure_of_tools_are_told(stage: Stage) -> None:
    """With what they hold only where it may be shown."""
    shown = Stage(rules={"show_tools": True})
    for one in (stage, shown):
        one.agent(
            live.ToolCalled("1", "watch", {}, long_running=True),
            live.ToolProgressed("1", "watch", {"at": 50}),
            live.ToolReturned("1", "watch", {"error": "No."}),
        )
    call, progress, result = stage.sent("tool")
    assert (call["phase"], call["long_running"]) == ("call", True)
    assert (progress["phase"], "result" in progress) == ("progress", False)
    assert (result["phase"], result["failed"], "result" in result) == ("result", True, False)
    assert [one.get("result") for one in shown.sent("tool")] == [None, {"at": 50}, {"error": "No."}]


def test_a_tool_of_the_background_does_not_hold_its_answer_open(stage: Stage) -> None:
    """The model goes on without it, and its result leads to words of their own."""
    stage.agent(live.ToolCalled("1", "watch", {}, long_running=True))
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    assert stage.turns() == [(1, False)]
    stage.agent(live.ToolProgressed("1", "watch", {"at": 50}))
    assert stage.conversation.answers == 1


def test_a_file_and_what_cannot_be_carried_are_told(stage: Stage) -> None:
    """A link has its address; a refusal is an error in words."""
    stage.agent(
        live.FileLinked("https://a.example/a.pdf", "application/pdf", "x" * 1000),
        live.PartRefused("video/mp4"),
    )
    (file,) = stage.sent("file")
    assert (file["uri"], file["mime_type"], len(file["name"])) == (
        "https://a.example/a.pdf",
        "application/pdf",
        300,
    )
    assert [one["code"] for one in stage.sent("error")] == ["part_refused"]


def test_the_language_of_a_transcript_is_told(stage: Stage) -> None:
    """Where the model says it."""
    stage.agent(live.UserTranscript("Guten Tag", True, "de-DE"))
    stage.speak(100)
    stage.agent(live.AgentTranscript("Hallo", "Hallo", False, "de"))
    assert [one.get("language") for one in stage.sent("transcript")] == ["de-DE", "de"]


def test_every_message_is_json(stage: Stage) -> None:
    """Tuples and mappings of the events, too."""
    stage.agent(SOURCES, live.UsageReported(1, 2, 3, prompt_details={"text": 1}))
    for one in stage.actions:
        if isinstance(one, ServerMessage):
            assert json.loads(one.to_json())["type"] == one.type


# Interrupted while a tool is at work ----------------------------------------------


def test_an_interruption_known_ahead_silences_the_answer_at_once(stage: Stage) -> None:
    """And once only: what ADK holds back of that answer is discarded, to its interruption."""
    stage.speak(2000)
    stage.agent(live.ToolCalled("1", "look", {}))
    stage.play(100)
    stage.agent(live.ModelInterrupted(ahead=True))
    assert stage.turns() == [(1, True)]
    assert stage.play(100) == 0
    stage.wait(40.0)  # as long as the tool takes
    stage.agent(live.ToolReturned("1", "look", {}))
    stage.speak(100)
    stage.say("The cat")
    stage.agent(live.ModelTurnComplete(), live.ModelInterrupted(), live.ModelTurnComplete())
    assert stage.turns() == [(1, True)]
    assert stage.play(200) == 0
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    assert stage.turns() == [(1, True), (2, False)]


def test_an_interruption_known_ahead_ends_what_the_user_has_cut_off_already(stage: Stage) -> None:
    """The user typed over it first."""
    stage.speak(2000)
    stage.agent(live.ToolCalled("1", "look", {}))
    stage.play(100)
    stage.types("No.")
    stage.agent(live.ModelInterrupted(ahead=True))
    stage.agent(live.ToolReturned("1", "look", {}), live.ModelInterrupted())
    assert stage.turns() == [(1, True)]
    stage.speak(100)
    stage.agent(live.ModelTurnComplete())
    stage.play(400)
    assert stage.turns() == [(1, True), (2, False)]


def test_a_cancelled_tool_does_not_hold_its_answer_open(stage: Stage) -> None:
    """Nothing is to come of it."""
    stage.agent(live.ToolCalled("1", "look", {}), live.ModelTurnComplete())
    stage.agent(live.ToolCancelled("1", "look"))
    stage.wait(6.0)
    assert stage.turns() == [(1, False)]
    assert [one["phase"] for one in stage.sent("tool")] == ["call", "cancelled"]
