"""The turn-taking of one call, as plain code: events in, messages and commands out.

It and its parts decide where an answer begins and ends, what was heard of it, what the
agent is doing and how long the user waited, whatever order of events the model has:

* Gemini says ``interrupted`` and then ``turn_complete`` of the same answer;
  ``CascadeLive`` says only ``interrupted``.
* A finished input transcript can come after the answer it led to.
* An answer is over for the model long before (or after) it is over for the listener;
  a turn ends when both are done, after its last packet.

Nothing here awaits, and time is an argument.  Each method returns what is to be done,
in order.  The playout buffer is written and flushed directly: it is plain code, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from .absence import NOTICE_TURN, Absence
from .actions import Action, InterruptModel, RenewModel, SendPrompt, SendText, Spoken
from .agent import live_events as live
from .answer import Answer
from .answer_details import AnswerPart, ToolEvent, about_agent, about_part, about_tool
from .answer_report import AnswerReport
from .answer_watch import watch_answer
from .caller_messages import caller_message
from .conversation_rules import ConversationRules
from .media.playout_buffer import PlayoutBuffer, PlayoutFrame
from .messages import Error, ServerMessage, State
from .open_answers import OpenAnswers
from .open_question import OpenQuestion, Prompt
from .queued_texts import QueuedTexts
from .speech_account import NOT_HEARD, SpeechAccount
from .turns import Turns
from .utterance import Utterance

__all__ = ["Conversation", "ConversationRules"]

StateName = Literal["initializing", "listening", "thinking", "speaking"]

_AGENT_TIMEOUT = Error(
    code="agent_timeout",
    message="The agent does not answer. You can go on, or ask again.",
    retryable=True,
)
_SAYS_NOTHING = Error(
    code="agent_timeout",
    message="The agent says nothing. You can speak to it, or call again.",
    retryable=True,
)
_BACKLOG_FULL = Error(
    code="backlog_full",
    message="The agent takes nothing now, and too much waits for it; this was dropped.",
    retryable=True,
)


@dataclass(slots=True)
class Conversation:
    """See the module. ``now`` is in monotonic seconds throughout.

    Args:
        playout: where the agent's audio goes; this object and its parts alone write and flush it.
        rules: what the operator decided.
        uplink_ms: asked when an answer's timings are told: how long the last uplink
            packet took to the agent, in milliseconds.
    """

    playout: PlayoutBuffer
    rules: ConversationRules
    uplink_ms: Callable[[], float | None] = lambda: None

    state: StateName = "initializing"
    last_activity_at: float = 0.0
    """When either side last spoke or wrote."""

    user_said_at: float = 0.0
    """When the user last wrote, or said what is more than a cough."""

    _absence: Absence = field(init=False)
    _report: AnswerReport = field(init=False)
    _open: OpenAnswers = field(init=False)
    _turns: Turns = field(init=False)
    _asked: OpenQuestion = field(default_factory=OpenQuestion)
    _utterance: Utterance = field(default_factory=Utterance)
    _speech: SpeechAccount = field(init=False)
    _started: bool = False
    _on_wire: bool = False
    _queued: QueuedTexts = field(init=False)
    _out: list[Action] = field(default_factory=list)
    """What is to be done, in order; the turns write to it, too."""

    def __post_init__(self) -> None:
        self._queued = QueuedTexts(self.rules.queued_texts)
        self._absence = Absence(self.playout, self.rules.away_notice)
        self._speech = SpeechAccount(self.rules)
        self._report = AnswerReport(self.playout, self.rules.modality, self.uplink_ms)
        self._open = OpenAnswers(self.playout, self._report, self._utterance)
        self._turns = Turns(self._open, self._asked, self._absence, self._out)

    @property
    def answers(self) -> int:
        """How many answers have begun."""
        return self._open.count

    @property
    def is_idle(self) -> bool:
        """The agent is there, and neither speaks nor thinks."""
        return self.state == "listening" and not self._absence.is_away

    @property
    def is_at_work(self) -> bool:
        """The agent owes an answer, or waits for one of its tools; bounded in time."""
        return self.state == "thinking" or self._turns.has_tools_at_work

    # ------------------------------------------------------------------
    # What happens
    # ------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """The live session is open: the agent listens."""
        self._started = True
        self.last_activity_at = now
        return self._done()

    def on_live_event(self, event: live.LiveEvent, now: float) -> list[Action]:
        """The agent said or did something."""
        turns = self._turns
        self._speech.note(event, now, is_between=turns.is_between, is_to_speech=turns.is_to_speech)
        match event:
            case live.AgentAudio():
                self._on_audio(event, now)
            case live.AgentText():
                self._on_text(event.text, now)
            case live.AgentTranscript():
                self._on_agent_transcript(event, now)
            case live.UserTranscript():
                self._on_user_transcript(event, now)
            case live.UserActivity(state):
                self._on_activity(state, now)
            case live.ModelTurnComplete():
                self._turns.on_turn_complete(now)
            case live.ModelInterrupted(ahead=True):
                self._turns.on_interrupted_ahead(now)
            case live.ModelInterrupted():
                self._turns.on_interrupted(now)
            case (
                live.ToolCalled()
                | live.ToolProgressed()
                | live.ToolReturned()
                | live.ToolCancelled()
            ):
                self._on_tool(event, now)
            case live.CallsTakenBack(ids):
                self._turns.on_taken_back(ids)
            case (
                live.AgentThought()
                | live.AgentPicture()
                | live.FileLinked()
                | live.PartRefused()
                | live.CodeWritten()
                | live.CodeExecuted()
            ):
                self._on_part(event, now)
            case live.SourcesFound() if self._turns.cut is not None:
                pass  # those of an answer that was cut off
            case (
                live.SourcesFound()
                | live.UsageReported()
                | live.ArtifactSaved()
                | live.AgentChanged()
                | live.StateChanged()
            ):
                allow_state = self.rules.allow_state
                self._tell(about_agent(event, self._turns.spoken_of, allow_state=allow_state))
            case live.InputRefused():
                self._out.append(_BACKLOG_FULL)
            case live.ModelAway():
                self._turns.on_away()
                self._absence.away(event.patience_s, now)
            case live.ModelBack():
                self._out += self._absence.back(event.name, now)
            case live.ConfirmationAsked() | live.ClientToolCalled():
                self.last_activity_at = now
                self._out.append(caller_message(event))
            case live.AgentFailed():
                self._on_failed(event, now)
        return self._done()

    def on_user_speech(self, arrived_at: float, duration_ms: int) -> None:
        """A piece of the uplink was judged to be speech."""
        self._asked.speak(arrived_at, duration_ms)
        if self._started:
            self._speech.speech(arrived_at, duration_ms, over_sound=self._on_wire)
        self.last_activity_at = arrived_at
        if self._asked.is_spoken:
            self.user_said_at = arrived_at

    def on_user_activity(self, state: Literal["start", "end"], now: float) -> list[Action]:
        """The user began or ended to speak, as he says himself (push-to-talk)."""
        self._speech.is_talking = state == "start"
        self._on_activity(state, now)
        return self._done()

    def on_prompt(self, text: str, now: float, *, is_greeting: bool = False) -> list[Action]:
        """A text that is not the user's goes to the agent: what it answers was not asked for."""
        self._asked.prompt = Prompt(text, is_greeting)
        self._asked.prompted_at = now
        self._out.append(SendPrompt(text, again=is_greeting))
        return self._done()

    def on_user_text(self, text: str, now: float) -> list[Action]:
        """The user typed a text turn."""
        self.last_activity_at = self.user_said_at = now
        queues = self.rules.text_during_speech == "queue"
        has_stalled = self._turns.end_stalled(now, self.rules)
        if queues and (self._open or self._asked.is_awaited):
            self._tell(self._queued.put(text, now))
            return self._done()
        # Where nothing was said yet there is nothing to discard; the model may answer both in one.
        is_silent, given = self._open.is_silent_so_far, self._open.given
        joins = is_silent and given is not None and not given.tools.running
        if self._open and not joins:
            self._turns.cut_off(now, discards=not is_silent)
            self._out.append(InterruptModel())
        elif has_stalled:
            self._out.append(InterruptModel())  # what it may still have to say is not wanted
        self._ask(text, now, joins=joins)
        return self._done()

    def on_user_interrupt(self, now: float) -> list[Action]:
        """The user wants the agent to stop; without an answer, the one to come is discarded."""
        self.last_activity_at = now
        has_begun = bool(self._open)
        if not has_begun:
            if not self._asked.is_asked or self._turns.cut is not None:
                return []
            self._turns.begin(now)
        self._turns.cut_off(now, has_begun=has_begun)
        if self._absence.is_away:
            self._turns.cut = None  # what was asked waits here, and does so no longer
            self._asked.withdraw()
        self._out.append(InterruptModel())
        return self._done()

    def on_frame_sent(self, frame: PlayoutFrame, at: float) -> list[Action]:
        """A 20 ms frame left for the listener."""
        if frame.turn == NOTICE_TURN:
            return []  # nobody speaks
        self._speech.sound(20)
        if (
            self._on_wire
            and frame.turn == self._report.timed_turn
            and not frame.closing
            and not self._open.playing
            and self.state == "speaking"
        ):
            # Nearly every frame: the answer goes on, and there is nothing to say.
            self.last_activity_at = at
            return []
        self._on_wire = not frame.closing
        if not frame.closing:
            self.last_activity_at = at
            answer = self._open.find(frame.turn)
            if answer is not None:
                if answer.first_packet_at is None:
                    answer.first_packet_at = at
                if frame.audible:
                    self._out += self._report.latency(answer, at)
        self._out += self._open.settle(at)
        return self._done()

    def end(self, now: float) -> list[Action]:
        """The call is over, and with it every answer; may be called twice."""
        self._queued.clear()
        self._close_utterance()
        self._out += self._open.flush(now)
        return self._taken()

    def tick(self, now: float) -> list[Action]:
        """Time went by; to be called a few times a second."""
        self._turns.tick(now, self.rules)
        asked = self._asked
        is_quiet = now - self.last_activity_at > self.rules.boundary_timeout_s
        if not self._open and asked.prompted_at is None and is_quiet:
            asked.give_up_joined()  # another answer would have begun by now
        if self._queued:
            self._turns.end_stalled(now, self.rules)
        if self._absence.is_away:
            is_silent = not self._on_wire and not self._open
            self._out += self._absence.tick(now, is_silent=is_silent)
        elif self._speech.is_lost(now):
            self._turns.on_speech_lost(now)
            self._out.append(NOT_HEARD)
        elif asked.prompted_at is not None and self._is_overdue(asked.prompted_at, now):
            self._give_up_prompt(now)
        elif self._open.given is not None:
            self._watch_answer(self._open.given, now)
        elif not asked.is_given_up:
            self._watch_question(now)
        self._out += self._open.settle(now)
        return self._done(now)

    # ------------------------------------------------------------------
    # The agent's side
    # ------------------------------------------------------------------

    def _on_audio(self, event: live.AgentAudio, now: float) -> None:
        if not event.pcm or self._turns.swallow(now):
            return
        answer = self._turns.begin(now)
        if self.rules.modality == "text":
            return  # a text call of an agent that only speaks: its transcript is its text
        if answer.first_audio_at is None:
            answer.first_audio_at = now
        self._out.append(Spoken(self.playout.write(answer.n, event.pcm, event.rate, now)))

    def _on_text(self, text: str, now: float) -> None:
        if not text or self._turns.swallow(now):
            return
        answer = self._turns.begin(now)
        answer.said_text = True
        self._send_text(answer, text, now)

    def _send_text(self, answer: Answer, text: str, now: float) -> None:
        self.last_activity_at = now
        self._out += self._report.text(answer, text, now)

    def _on_agent_transcript(self, event: live.AgentTranscript, now: float) -> None:
        if self._turns.swallow(now, event):
            return
        if self.rules.modality == "text":
            if event.delta:
                answer = self._turns.begin(now)
                if not answer.said_text:
                    self._send_text(answer, event.delta, now)
            return
        self._turns.on_transcript(event, now)

    def _on_user_transcript(self, event: live.UserTranscript, now: float) -> None:
        if not event.text.strip():
            return
        utterance = self._utterance
        n = utterance.turn
        if n is None:
            if event.final and utterance.is_copy(event.text, self._asked.question):
                return
            n = utterance.begin(self._open.latest, self._asked.question, self.answers)
        if event.final and n > self.answers and not self._on_wire and self.playout.is_empty:
            self._turns.on_user_spoke(now, self.rules)
        self.last_activity_at = self.user_said_at = now
        self._out.append(utterance.hear(event.text, final=event.final, language=event.language))
        if n > self.answers:  # it leads to an answer that has not begun
            self._asked.transcribe(now, final=event.final)

    def _on_activity(self, state: Literal["start", "end"], now: float) -> None:
        """Speech begins or ends, in the words of the model or of the user."""
        self.last_activity_at = now
        if state == "end":
            self._asked.end_speech(now)

    def _close_utterance(self) -> None:
        self._tell(self._utterance.close(self.answers + 1))

    def _on_tool(self, event: ToolEvent, now: float) -> None:
        self.last_activity_at = now
        self._turns.on_tool(event, now)
        self._tell(about_tool(event, show=self.rules.show_tools))

    def _on_part(self, event: AnswerPart, now: float) -> None:
        if self._turns.swallow(now):
            return
        turn = self._turns.begin(now).n
        self._tell(about_part(event, turn, show_thoughts=self.rules.show_thoughts))

    def _tell(self, message: ServerMessage | None) -> None:
        if message is not None:
            self._out.append(message)

    def _on_failed(self, event: live.AgentFailed, now: float) -> None:
        is_typed = self._asked.question.text_at is not None
        typed_since = event.at is not None and is_typed and self._asked.put_at > event.at
        keeps_question = event.keeps_question or (event.retryable and typed_since)
        is_told = self._is_heard or self._open.given is not None or self._asked.question.is_open
        if self._is_heard and not keeps_question:
            self._asked.end_speech(now)  # of which the model says no more
        if is_told and not keeps_question and not event.asks_again:
            self._speech.asks_again()
        self._turns.on_failed(now, keeps_question=keeps_question)
        self._close_utterance()
        self._out.append(Error(code=event.code, message=event.message, retryable=event.retryable))
        self._absence.known()
        if event.asks_again:
            self._asked.type(now)
        if event.prompts_again:
            self._asked.prompted_at = now

    # ------------------------------------------------------------------
    # Answers
    # ------------------------------------------------------------------

    def find_answer(self, n: int | None) -> Answer | None:
        """Answer ``n``, open or the last to end; None: the one that the model is giving."""
        if n is None:
            return self._open.given
        last = self._open.last_ended
        return self._open.find(n) or (last if last is not None and last.n == n else None)

    @property
    def spoken_turn(self) -> int | None:
        """The answer that the model's latest words are of; None where none has begun."""
        return self._turns.spoken

    def _watch_answer(self, answer: Answer, now: float) -> None:
        """Ends a turn that never ends, and one whose round of tools leads to no more words."""
        is_sounding = self._on_wire or self.playout.buffered_s > 0
        match watch_answer(answer, now, self.rules, is_sounding=is_sounding):
            case "is_overdue":
                self._time_out(now, is_owed=self._asked.question.is_open or self._is_heard)
            case "is_over":
                self._out += self._open.complete(now)

    def _watch_question(self, now: float) -> None:
        """Gives up a model that owes an answer, or a sign; its absence does not count."""
        since = self._asked.waiting_since(is_heard=self._is_heard)
        if since is None:
            if self._speech.is_overdue(now):
                self._time_out(now, is_owed=False)
            return
        if self._is_overdue(since, now):
            self._asked.is_given_up = True
            if not self.rules.may_stay_silent:
                self._time_out(now, is_owed=True)

    def _is_overdue(self, since: float, now: float) -> bool:
        return now - max(since, self._absence.back_at) > self.rules.answer_timeout_s

    def _give_up_prompt(self, now: float) -> None:
        """Nothing comes of it: a greeting is put once more, to a connection that is made anew."""
        asked = self._asked
        asked.prompted_at = None
        prompt = asked.prompt
        is_asked = asked.question.is_open or self._is_heard  # that has a time of its own
        if prompt is None or is_asked or self.rules.may_stay_silent:
            return
        if not prompt.is_greeting:
            self._out.append(RenewModel())
        elif prompt.is_first:
            prompt.is_first = False
            asked.prompted_at = now
            self._out.append(RenewModel(prompt.text))
        else:
            self._out += [_SAYS_NOTHING, RenewModel()]

    def _time_out(self, now: float, *, is_owed: bool) -> None:
        self._speech.asks_again()
        self._turns.give_up(now, is_owed=is_owed)
        self._out += [_AGENT_TIMEOUT, RenewModel()]

    # ------------------------------------------------------------------
    # The user's side
    # ------------------------------------------------------------------

    @property
    def _is_heard(self) -> bool:
        """The model has said what it understood of speech that it has not answered yet."""
        return self._utterance.turn is not None and self._utterance.turn > self.answers

    def _ask(
        self, text: str, now: float, *, came_at: float | None = None, joins: bool = False
    ) -> None:
        self._asked.type(now, came_at=came_at, joins=joins)
        self._out.append(SendText(text))

    # ------------------------------------------------------------------
    # What is to be done
    # ------------------------------------------------------------------

    def _done(self, now: float | None = None) -> list[Action]:
        if self._queued and not self._open and not self._asked.is_awaited:
            text, came_at = self._queued.take()
            self._ask(text, self.last_activity_at if now is None else now, came_at=came_at)
        state = self._state(now)
        if state != self.state:
            self.state = state
            self._out.append(State(state=state))
        return self._taken()

    def _taken(self) -> list[Action]:
        out = self._out.copy()
        self._out.clear()
        return out

    def _state(self, now: float | None) -> StateName:
        if not self._started:
            return "initializing"
        if self._on_wire:
            return "speaking"
        answer = self._open.given
        if answer is not None and not (answer.is_pausing and self.playout.is_empty):
            return "thinking"
        if self._asked.is_awaited or self._queued:
            return "thinking"
        speech_at = self._asked.question.speech_at
        is_heard = self._utterance.turn is not None and not self._asked.is_given_up
        if is_heard and speech_at is not None:
            paused = now is not None and now - speech_at > self.rules.pause_s
            if paused or (now is None and self.state == "thinking"):
                return "thinking"
        return "listening"
