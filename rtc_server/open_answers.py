"""The answers that are not over: the one that the model gives, and those that still play.

An answer is complete for the model long before it is for the listener, so several may be
open.  Nothing here awaits; ``turns.py`` decides when an answer begins, is complete or is
interrupted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .answer import Answer, Question
from .answer_report import AnswerReport
from .media.playout_buffer import Heard, PlayoutBuffer
from .messages import ServerMessage
from .utterance import Utterance

__all__ = ["OpenAnswers"]


@dataclass(slots=True)
class OpenAnswers:
    """Of one call; times are monotonic seconds.  What ends an answer returns what is to be told.

    Args:
        playout: is told where an answer's audio ends, and flushed.
        report: puts an answer's end into messages.
        utterance: of the user; it is told to its end before the turn that it led to.
    """

    playout: PlayoutBuffer
    report: AnswerReport
    utterance: Utterance

    count: int = 0
    """How many answers have begun."""

    given: Answer | None = None
    """The answer that the model is giving."""

    last_ended: Answer | None = None

    playing: deque[Answer] = field(default_factory=deque)
    """Answers that are complete for the model and not yet for the listener."""

    def __bool__(self) -> bool:
        return self.given is not None or bool(self.playing)

    @property
    def latest(self) -> Answer | None:
        """The one that the model is giving, or gave last, if it is not over."""
        return self.given or (self.playing[-1] if self.playing else None)

    @property
    def is_silent_so_far(self) -> bool:
        """Nothing that the user could cut off was said of any."""
        return not self.playing and (self.given is None or not self.given.has_spoken)

    def find(self, n: int) -> Answer | None:
        """Answer ``n``, if it is open."""
        return next((one for one in self._all() if one.n == n), None)

    def is_spoken_over(self, question: Question) -> bool:
        """Whether what is still playing was answered by the user: the model has moved on.

        A model that takes its answer for over when it has sent it says of no interruption.
        """
        spoken_at = question.speech_at if question.endpoint_at is not None else None
        heard_at = self.playing[0].first_packet_at if self.playing else None
        return spoken_at is not None and heard_at is not None and spoken_at > heard_at

    def begin(self, question: Question, now: float) -> Answer:
        """The model begins an answer to ``question``."""
        self.count += 1
        self.given = Answer(self.count, question, now, now)
        return self.given

    def complete(self, now: float) -> list[ServerMessage]:
        """The model has given its answer to the end."""
        answer, self.given = self.given, None
        assert answer is not None
        self.playout.finish(answer.n)
        self.playing.append(answer)
        return self.settle(now)

    def settle(self, now: float) -> list[ServerMessage]:
        """Ends the answers that are complete for the model and for the listener."""
        out: list[ServerMessage] = []
        while self.playing:
            answer = self.playing[0]
            if self.report.modality == "audio" and not self.playout.drained(answer.n):
                break
            self.playing.popleft()
            out += self._end(answer, None, now)
        return out

    def flush(self, now: float) -> list[ServerMessage]:
        """Ends every answer as interrupted, by the ledger of the playout buffer."""
        heard = {one.turn: one for one in self.playout.flush()}
        out: list[ServerMessage] = []
        for answer in self._all():
            out += self._end(answer, heard.get(answer.n) or self.playout.heard(answer.n), now)
        self.given = None
        self.playing.clear()
        return out

    def _all(self) -> list[Answer]:
        return [*self.playing, *([self.given] if self.given else [])]

    def _end(self, answer: Answer, heard: Heard | None, now: float) -> list[ServerMessage]:
        utterance = self.utterance.close(answer.n)
        out: list[ServerMessage] = [] if utterance is None else [utterance]
        out += self.report.end(answer, heard, now)
        self.playout.forget(answer.n)
        self.last_ended = answer
        return out
