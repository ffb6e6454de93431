"""The JSON report of a call: each turn's words and timings, measured from outside.

* ``response_ms``: from the packet that carried the last of the caller's speech (or from the
  text) leaving, to the packet with the first audible sample of the answer arriving; in a
  text call to the first piece of text.  The harness's own clock, the audio alone.
* ``mouth_to_ear_ms``: the same to the sample: from the last sample spoken to the first one
  that a player without a buffer would have played.
* ``received_audio_ms``: the audio that was received of the answer.  A server that sends
  nothing while its agent is silent says the same in ``heard_ms``.
* ``barge_in_ms``: from the packet with the first of the interrupting speech (or the text)
  leaving, to the end of the last sound of the answer that it interrupted.
* ``parts``: the messages about what an answer holds beside words and sound; a picture's
  ``file`` lies beside the report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .conversation import Answer, Question
from .errors import HarnessError
from .pictures import save_pictures

__all__ = [
    "answer_report",
    "audible_ms",
    "barge_in_ms",
    "mouth_to_ear_ms",
    "other_answers",
    "response_ms",
    "turn_report",
    "write_report",
]


def response_ms(question: Question, answer: Answer) -> float | None:
    """From the end of the question to the answer's first packet of speech, or first text."""
    sound = answer.sound_after(question.ended_at)
    if sound is not None:
        return _ms(sound.arrived_at - question.ended_at)
    if answer.first_text_at is not None:
        return _ms(answer.first_text_at - question.ended_at)
    return None


def mouth_to_ear_ms(question: Question, answer: Answer) -> float | None:
    """From the question's last sample to the answer's first; None if either was text."""
    sound = answer.sound_after(question.ended_at)
    if sound is None or question.last_sample_at is None:
        return None
    return _ms(sound.began_at - question.last_sample_at)


def barge_in_ms(question: Question, interrupted: Answer) -> float | None:
    """From the beginning of ``question`` to the last sound of the answer it interrupted."""
    if not interrupted.interrupted or not interrupted.sounds:
        return None
    return _ms(max(0.0, interrupted.sounds[-1].ended_at - question.began_at))


def audible_ms(answer: Answer) -> float:
    """How long it was audible; pauses of 200 ms and more are left out."""
    return _ms(sum(one.ended_at - one.began_at for one in answer.sounds))


def turn_report(
    question: Question, *, interrupted_answer: Answer | None, failure: str | None
) -> dict[str, Any]:
    """One turn of the caller and its answer.

    Args:
        question: the turn.
        interrupted_answer: the answer that this turn spoke into, if it did.
        failure: why it was not answered.
    """
    answer = question.answer
    report: dict[str, Any] = {
        "kind": question.kind,
        "input": question.input,
        "answered": answer is not None,
        "failure": failure,
        "barge_in_ms": interrupted_answer and barge_in_ms(question, interrupted_answer),
    }
    if answer is not None:
        report |= {
            "response_ms": response_ms(question, answer),
            "mouth_to_ear_ms": mouth_to_ear_ms(question, answer),
        } | answer_report(answer)
    return report


def answer_report(answer: Answer) -> dict[str, Any]:
    """What was received of an answer."""
    return {
        "turn": answer.turn,
        "user_text": answer.user_text,
        "agent_text": answer.said,
        "server_latency": answer.latency,
        "usage": answer.usage,
        "tools": answer.tools,
        "parts": answer.parts,
        "received_audio_ms": round(answer.audio_ms, 1),
        "audible_ms": audible_ms(answer),
        "interrupted": answer.interrupted,
        "heard_ms": answer.heard_ms,
        "heard_text": answer.heard_text,
    }


def write_report(path: str | Path, report: dict[str, Any]) -> None:
    """Write the report, and the pictures in it to files beside it.

    Raises:
        HarnessError: a file cannot be written.
    """
    try:
        save_pictures(report, Path(path))
        Path(path).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise HarnessError(f"{path} cannot be written: {reason}.") from None


def other_answers(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The answers that served no turn as a whole: greetings, timers, what was begun before,
    and what was said to the first half of a turn."""
    return [
        answer_report(one) | {"unasked": one.is_unasked} for one in answers if one.question is None
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
