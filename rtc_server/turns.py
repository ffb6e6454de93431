"""Where an answer of the agent begins and ends, by what its model says and does; plain code.

Models do not name the answer that a word is of, and each has an order of its own for saying
that one is over or was interrupted.  What is decided here is told in messages, in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .absence import Absence
from .actions import Action
from .agent import live_events as live
from .answer import Answer
from .answer_details import ToolEvent
from .conversation_rules import ConversationRules
from .cut_answer import CutAnswer
from .open_answers import OpenAnswers
from .open_question import OpenQuestion

__all__ = ["Turns"]


@dataclass(slots=True)
class Turns:
    """Of one call; ``now`` is in monotonic seconds.

    Args:
        answers: those that have begun and are not over.
        asked: what an answer that begins is to.
        absence: its notice gives way to an answer.
        out: takes the messages.
    """

    answers: OpenAnswers
    asked: OpenQuestion
    absence: Absence
    out: list[Action]

    cut: CutAnswer | None = None
    """The answer that was cut off and that the model still speaks of, as far as is known."""

    _late_complete: bool = False
    """A bare ``turn_complete`` would be that of the answer interrupted last."""

    _doubtful: int = 0
    """The answer that follows one that fell silent, and may turn out to be the rest of that."""

    _held_transcript: live.AgentTranscript | None = None
    """A transcript that came ahead of its audio."""

    _at_work: set[str] = field(default_factory=set)
    """The ids of the tools that have been called and have not answered."""

    def begin(self, now: float) -> Answer:
        """The answer that is being given; a new one if there is none.

        Or if the model, while a tool works for that one, turns to what was asked meanwhile, or
        has taken its tools back for that.
        """
        answer = self.answers.given
        if answer is not None and self._is_left(answer):
            self.out += self.answers.flush(now)
        elif answer is not None:
            answer.last_output_at = now
            answer.tools.go_on()
            answer.said_complete_at = None
            return answer
        self.absence.hush()
        if self.answers.is_spoken_over(self.asked.question):
            self.out += self.answers.flush(now)
        answer = self.answers.begin(self.asked.take(now), now)
        self._late_complete = False
        held, self._held_transcript = self._held_transcript, None
        if held is not None:
            self.out += self.answers.report.transcript(answer, held)
        return answer

    def _is_left(self, answer: Answer) -> bool:
        """Whether what the model says now is to something that was asked since."""
        is_asked = self.asked.question.is_open
        if answer.tools.is_taken_back:
            return is_asked or self.asked.is_spoken
        return is_asked and bool(answer.tools.running)

    def end_stalled(self, now: float, rules: ConversationRules) -> bool:
        """Ends an answer that its model has left in the middle; whether there was one.

        It was heard to its last word, and nothing has come since: what comes next is the next
        answer.  One that was cut off, and that the model says nothing of, is waited for no more.
        """
        for_s = rules.stall_s
        if rules.text_during_speech == "queue":
            for_s = rules.boundary_timeout_s  # the text can wait, and is not to cut anything off
        if self.cut is not None and self.cut.has_stalled(now, for_s=for_s):
            self._forget_cut()
        answer = self.answers.given
        if answer is None or not self.answers.playout.is_empty:
            return False
        if not answer.has_stalled(now, for_s=for_s, after_tool_s=rules.boundary_timeout_s):
            return False
        self._end_forgotten(now)
        return True

    def _end_forgotten(self, now: float) -> None:
        """The model has said all that it says of this answer, as far as is known."""
        self.out += self.answers.complete(now)
        self._late_complete = True
        self._doubtful = self.answers.count + 1

    def _forget_cut(self) -> None:
        self.cut = None
        self._late_complete = True
        self._doubtful = self.answers.count + 1

    def swallow(self, now: float, said: live.AgentTranscript | None = None) -> bool:
        """Whether what the model says now belongs to the answer that was cut off."""
        if self.cut is None:
            return False
        if self.cut.is_held_up and (self.asked.question.is_open or self.asked.is_spoken):
            self._forget_cut()
            return False
        self.cut.swallow(now)
        if said is not None:
            self.answers.report.swallowed(said)
        return True

    def cut_off(self, now: float, *, has_begun: bool = True, discards: bool = True) -> None:
        """Ends every open answer here, and ``discards`` what the model still says about it."""
        given = self.answers.given
        if given is not None and discards:
            self.cut = CutAnswer(now, has_begun, given.tools, said_at=given.last_output_at)
            self.cut.round_has_ended = given.said_complete_at is not None
        elif given is not None and given.tools.is_on:
            # Models that end the turn of a tool call may have done so behind ADK's waiting for it.
            self._late_complete = given.said_complete_at is None
        self._held_transcript = None
        self.out += self.answers.flush(now)

    def tick(self, now: float, rules: ConversationRules) -> None:
        """Time went by: an answer that was cut off is forgotten, if the model has done so."""
        if self.cut is not None and self.cut.is_forgotten(self.asked.question, now, rules):
            self._forget_cut()

    @property
    def spoken(self) -> int | None:
        """The answer that the model's latest words are of; None where none has begun."""
        if self.cut is not None:
            return self.answers.count
        latest = self.answers.latest
        return None if latest is None else latest.n

    @property
    def spoken_of(self) -> int:
        """The answer that a word of the model about its answer is about."""
        of_the_last = self.answers.given or self.cut is not None or self._late_complete
        if not of_the_last and self.asked.question.is_open:
            return self.answers.count + 1  # it will end without a word
        return max(1, self.answers.count)

    @property
    def is_between(self) -> bool:
        """No answer is being given, nor the end of one awaited."""
        return self.answers.given is None and self.cut is None and not self._late_complete

    @property
    def is_to_speech(self) -> bool:
        """What the model says now is to what it heard, and to no text, as far as is known."""
        given, asked = self.answers.given, self.asked
        if given is None:
            return asked.question.text_at is None and asked.prompted_at is None
        return given.question.text_at is None and given.question.speech_at is not None

    @property
    def has_tools_at_work(self) -> bool:
        """A tool that was called works, also where its answer was cut off long ago."""
        return bool(self._at_work)

    # ------------------------------------------------------------------
    # What the model says and does
    # ------------------------------------------------------------------

    def on_transcript(self, event: live.AgentTranscript, now: float) -> None:
        """What the model says in its audio, which may come before, with or after it."""
        latest = self.answers.latest
        if latest is None:
            # A transcript alone begins no answer: it may be a late copy of the last one's.
            if event.delta:
                self._held_transcript = event
            return
        if self.answers.given is not None:
            self.answers.given.last_output_at = now
        self.out += self.answers.report.transcript(latest, event)

    def on_turn_complete(self, now: float) -> None:
        """The model has said all: of its answer, of a round of tools, or of what was cut off."""
        if self.cut is not None:
            if self.cut.is_over(self.asked.question, now):
                self.cut = None
            return
        if self.answers.given is None:
            late, self._late_complete = self._late_complete, False
            prompted, self.asked.prompted_at = self.asked.prompted_at, None
            is_due = self._held_transcript is not None or self.asked.question.is_open
            if late or not is_due or prompted:
                return
            self.begin(now)  # an answer without a word is still an answer, and ends
        answer = self.answers.given
        assert answer is not None
        if answer.tools.is_on:
            # The model closes a round of tools; what it says next belongs to this answer.
            answer.said_complete_at = now
            return
        self.out += self.answers.complete(now)

    def on_user_spoke(self, now: float, rules: ConversationRules) -> None:
        """Ends an answer that was heard to its end, and that the model forgot to end."""
        answer = self.answers.given
        if answer is None:
            return
        patience_s = rules.boundary_timeout_s
        is_left = answer.has_stalled(now, for_s=rules.stall_s, after_tool_s=patience_s)
        if answer.is_pausing or is_left:
            self._end_forgotten(now)

    def on_interrupted(self, now: float) -> None:
        """The model was interrupted, and says no more of its answer."""
        self._late_complete = True
        self._held_transcript = None
        self.asked.prompted_at = None
        if self.cut is not None:
            self.cut = None
            return
        given = self.answers.given
        self.out += self.answers.flush(now)
        if given is not None:
            # Its words may have been the rest of the answer before.
            is_doubtful = given.n == self._doubtful
            self.asked.reopen(given.question if is_doubtful else None, now)

    def on_interrupted_ahead(self, now: float) -> None:
        """The model was interrupted, and ADK will say so when its tool has returned."""
        if self.cut is None:
            self.cut_off(now)
        if self.cut is not None:
            self.cut.interrupted_ahead = True

    def on_tool(self, event: ToolEvent, now: float) -> None:
        """A tool was called or does something; that of a cut answer works on."""
        if self.cut is not None:
            self.cut.since = now
        given = self.answers.given
        rounds = [one.tools for one in (given, self.cut) if one is not None]
        match event:
            case live.ToolCalled():
                served = self.begin(now) if self.cut is None else self.cut
                if not event.long_running:
                    served.tools.running.add(event.id)
                    self._at_work.add(event.id)
            case live.ToolReturned():
                self._at_work.discard(event.id)
                for one in rounds:
                    one.give_back(event.id)
                if given is not None:
                    given.last_output_at = now
            case live.ToolCancelled():
                self._at_work.discard(event.id)
                for one in rounds:
                    one.cancel(event.id)

    def on_taken_back(self, ids: tuple[str, ...]) -> None:
        """The model wants no more of these calls: of what was cut off with them it says nothing.

        Models of 2.x end the turn of a tool call; that end has come, or is still to come.
        """
        if self.cut is not None and self.cut.take_back(ids):
            self._late_complete = not self.cut.round_has_ended
            self.cut = None

    def on_failed(self, now: float, *, keeps_question: bool) -> None:
        """The model is lost, and with it what it was saying, or owed."""
        if not keeps_question:
            self.asked.prompted_at = None
        if self.answers.given is None and self.asked.question.is_open and not keeps_question:
            self.begin(now)  # the turn that was asked for is lost, and ends
        if self.answers.given is not None:
            self.out += self.answers.flush(now)  # one that is complete is played to its end
        if not keeps_question:
            self.asked.beside.clear()
        self.on_away()

    def give_up(self, now: float, *, is_owed: bool) -> None:
        """The model has had its time: what it was saying ends, and what it ``is_owed`` to say."""
        self.asked.prompted_at = None
        if self.answers.given is not None:
            self.cut_off(now)
        if is_owed:
            self.begin(now)
            self.cut_off(now, has_begun=False)
        self.asked.beside.clear()

    def on_away(self) -> None:
        """The connection is gone: nothing of what it was saying is still to come."""
        self.cut = None
        self._late_complete = False
        self._held_transcript = None
        self._doubtful = 0

    def on_speech_lost(self, now: float) -> None:
        """What the user said has reached nobody: his turn ends, if it was known to be one."""
        is_typed = self.asked.question.text_at is not None or self.asked.prompted_at is not None
        if not self.answers and self.asked.question.is_open and not is_typed:
            self.begin(now)
            self.out += self.answers.flush(now)
        self.asked.lose_speech()
