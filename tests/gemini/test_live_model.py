"""The stand-in's conversation, without a socket and without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gemini.live_model import LiveModel, Moment, Output, Pace
from tests.gemini.mind import EchoMind, Memory
from tests.gemini.speech import WORD_S, Ears, say_word
from tests.gemini.wire import (
    Activity,
    Audio,
    AudioStreamEnd,
    Content,
    Dialect,
    RealtimeText,
    Refused,
    Setup,
    ToolResult,
    read_client_message,
)

TWO, THREE = "models/gemini-2.5-flash-live", "models/gemini-3.1-flash-live-preview"

LOUD = Audio(b"\x00\x20" * 320, 16_000)
QUIET = Audio(bytes(640), 16_000)


def setup(model: str = TWO, **more: Any) -> Setup:
    return Setup.read(
        {
            "model": model,
            "generationConfig": {"responseModalities": ["AUDIO"]},
            "sessionResumption": {},
            "inputAudioTranscription": {},
            "outputAudioTranscription": {},
            **more,
        }
    )


class Line:
    """A model with what it has sent, and the handles that it gave."""

    def __init__(self, model: str = TWO, *, pace: Pace | None = None, **more: Any) -> None:
        self.kept: list[Memory] = []
        self.model = LiveModel(setup(model, **more), EchoMind(), self._keep, (), pace or Pace())
        self.model.open(0.0)
        self.sent(0.0)

    def _keep(self, memory: Memory) -> str:
        self.kept.append(memory)
        return f"handle-{len(self.kept)}"

    def sent(self, now: float) -> list[Output]:
        """What is due."""
        return self.model.poll(now)

    def said(self, now: float) -> str:
        """Of what is due, the transcript of the answer."""
        return words(self.sent(now), "outputTranscription")


def contents(outputs: list[Output], key: str) -> list[Any]:
    return [
        one["serverContent"][key]
        for one in outputs
        if not isinstance(one, Moment) and key in one.get("serverContent", {})
    ]


def words(outputs: list[Output], key: str) -> str:
    return "".join(one.get("text", "") for one in contents(outputs, key))


def typed(text: str) -> Content:
    return Content((("user", text),), True)


def test_setup_is_complete_and_the_session_can_be_resumed() -> None:
    model = LiveModel(setup(), EchoMind(), lambda memory: "h1", ())
    model.open(0.0)
    update = {"sessionResumptionUpdate": {"newHandle": "h1", "resumable": True}}
    assert model.poll(0.0) == [Moment.SETUP, {"setupComplete": {}}, update, Moment.READY]


def test_an_answer_is_sent_at_once_and_complete_when_it_was_heard() -> None:
    line = Line()
    line.model.receive(typed("hello"), 1.0)
    outputs = line.sent(1.0)
    assert words(outputs, "outputTranscription") == "You said: hello"
    assert len(contents(outputs, "modelTurn")) == 3
    assert contents(outputs, "generationComplete") == [True]
    assert contents(outputs, "turnComplete") == []
    assert line.model.next_at == pytest.approx(1.0 + 3 * WORD_S)
    outputs = line.sent(2.0)
    assert contents(outputs, "turnComplete") == [True]
    assert line.kept[-1] == (("user", "hello"), ("model", "You said: hello"))


def test_speech_is_transcribed_word_by_word_by_2_x_and_at_once_by_3_x() -> None:
    for model, pieces in ((TWO, ["I", " asked", " aloud"]), (THREE, ["I asked aloud"])):
        line = Line(model)
        for _ in range(20):
            line.model.receive(LOUD, 1.0)
        for _ in range(15):
            line.model.receive(QUIET, 1.0)
        outputs = line.sent(1.0)
        assert [one["text"] for one in contents(outputs, "inputTranscription")] == pieces
        assert words(outputs, "outputTranscription") == "You said: I asked aloud"


def test_speech_over_an_answer_interrupts_it_and_the_memory_keeps_what_was_heard() -> None:
    line = Line()
    line.model.receive(typed("count to 50"), 0.0)
    line.sent(0.0)
    for _ in range(3):
        line.model.receive(LOUD, 0.5)
    outputs = line.sent(0.5)
    assert [one for one in outputs if one == {"serverContent": {"interrupted": True}}]
    assert contents(outputs, "turnComplete") == [True]
    assert line.kept[-1][-1] == ("model", "1 2 3")
    assert line.sent(60.0) == []


def test_silence_after_the_microphone_is_off_need_not_be_heard() -> None:
    line = Line()
    for _ in range(20):
        line.model.receive(LOUD, 1.0)
    line.model.receive(AudioStreamEnd(), 1.0)
    assert line.said(1.0) == "You said: I asked aloud"


def test_no_interruption_where_the_setup_says_so() -> None:
    line = Line(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
    line.model.receive(typed("count to 50"), 0.0)
    line.sent(0.0)
    for _ in range(10):
        line.model.receive(LOUD, 0.5)
    assert line.sent(0.5) == []


def test_activity_is_refused_where_the_model_listens_and_heard_where_it_does_not() -> None:
    with pytest.raises(Refused, match="Explicit activity control"):
        Line().model.receive(Activity("start"), 0.0)
    off = {"automaticActivityDetection": {"disabled": True}}
    line = Line(realtimeInputConfig=off)
    line.model.receive(LOUD, 0.0)
    line.model.receive(Activity("start"), 0.0)
    line.model.receive(LOUD, 0.0)
    assert line.sent(0.0) == []
    line.model.receive(Activity("end"), 0.0)
    assert line.said(0.0) == "You said: I asked aloud"


def test_the_turn_of_a_tool_ends_in_2_x_and_goes_on_in_3_x() -> None:
    for model, completes in ((TWO, [True]), (THREE, [])):
        line = Line(model)
        line.model.receive(RealtimeText('use weather {"city": "Rome"}'), 0.0)
        outputs = line.sent(0.0)
        assert contents(outputs, "turnComplete") == completes
        assert outputs[-1] is Moment.TOOL
        line.model.receive(ToolResult("function-call-1", "weather", {"sky": "clear"}), 1.0)
        assert line.said(1.0) == 'weather says {"sky": "clear"}'


def test_a_tool_that_is_typed_over_is_cancelled_and_its_result_is_ignored() -> None:
    line = Line()
    line.model.receive(typed("use weather"), 0.0)
    line.sent(0.0)
    line.model.receive(typed("hello"), 1.0)
    assert {"toolCallCancellation": {"ids": ["function-call-1"]}} in line.sent(1.0)
    line.model.receive(ToolResult("function-call-1", "weather", {}), 2.0)
    assert line.said(2.0) == ""


def test_history_is_answered_where_the_user_had_the_last_word_and_not_else() -> None:
    line = Line()
    line.model.receive(Content((("user", "I am Ada"), ("model", "Hello")), False), 0.0)
    assert line.sent(0.0) == []
    line.model.receive(typed("what did I say"), 0.0)
    assert line.said(0.0) == "You said: I am Ada"


def test_3_x_takes_content_as_history_only_and_answers_it_when_something_is_said() -> None:
    line = Line(THREE)
    line.model.receive(typed("hello"), 0.0)
    assert line.sent(0.0) == []
    line.model.receive(RealtimeText("."), 0.0)
    assert line.said(0.0) == "You said: hello"
    with pytest.raises(Refused):
        line.model.receive(typed("again"), 9.0)


def test_a_model_of_speech_only_refuses_text() -> None:
    only = setup("gemini-2.5-native-audio", generationConfig={"responseModalities": ["TEXT"]})
    with pytest.raises(Refused, match="Cannot extract voices"):
        LiveModel(only, EchoMind(), lambda memory: "", ()).open(0.0)


def test_the_pace_of_a_slow_model() -> None:
    line = Line(pace=Pace(think_s=1.0, piece_s=0.5, playback=0.0))
    line.model.receive(typed("hello"), 0.0)
    assert line.sent(0.9) == [Moment.QUESTION]
    assert line.said(1.0) == "You"
    assert line.said(2.0) == " said: hello"
    assert contents(line.sent(2.5), "turnComplete") == [True]


@pytest.mark.parametrize(
    ("message", "dialect"),
    [
        ({"realtime_input": {"mediaChunks": []}}, Dialect.THREE),
        ({"realtime_input": {"noSuchThing": {}}}, Dialect.TWO),
        ({"no_such_message": {}}, Dialect.TWO),
    ],
)
def test_what_the_api_does_not_know_is_refused(message: Any, dialect: Dialect) -> None:
    with pytest.raises(Refused):
        read_client_message(message, dialect)


def test_ears_hear_what_is_loud_for_long_enough() -> None:
    ears = Ears()
    click = ears.hear(LOUD.pcm * 2, 16_000) + ears.hear(QUIET.pcm * 30, 16_000)
    assert click == []
    assert ears.hear(say_word(0)[:4800], 24_000) == ["start"]
    assert ears.hear(QUIET.pcm * 14, 16_000) == []
    assert ears.hear(QUIET.pcm, 16_000) == ["end"]
