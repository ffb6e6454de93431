"""The turn-taking of one call, as plain code: events in, messages and commands out.

It decides where an answer begins and ends, what was heard of it, what the agent is
doing and how long the user waited, whatever order of events the model has:

* Gemini says ``interrupted`` and then ``turn_complete`` of the same answer;
  ``CascadeLive`` says only ``interrupted``.
* A finished input transcript can come after the answer it led to.
* An answer is over for the model long before (or after) it is over for the listener;
  a turn ends when both are done, after its last packet.

Nothing here awaits, and time is an argument.  Each method returns what is to be done,
in order.  The playout buffer is written and flushed directly: it is plain code, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from .absence import NOTICE_TURN, Absence
from .actions import Action, InterruptModel, RenewModel, SendText, Spoken
from .agent import live_events as live
from .answer import Answer, CutAnswer, Question
from .answer_details import AnswerPart, ToolEvent, about_agent, about_part, about_tool
from .call_service import Modality
from .caller_messages import caller_message
from .media.away_notice import AwayNotice
from .media.playout_buffer import Heard, PlayoutBuffer, PlayoutFrame
from .messages import Error, ServerMessage, State, Text, Transcript, Turn
from .unheard_speech import UnheardSpeech
from .utterance import Utterance

__all__ = ["Conversation", "ConversationRules"]

StateName = Literal["initializing", "listening", "thinking", "speaking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRules:
    """What the operator decided about a call."""

    modality: Modality
    show_tools: bool = False
    show_thoughts: bool = False
    allow_state: frozenset[str] = frozenset()
    text_during_speech: Literal["interrupt", "queue"] = "interrupt"

    answer_timeout_s: float = 30.0
    """The agent has this long to begin an answer, or to go on with one."""

    tool_timeout_s: float = 150.0
    """So long a tool may hold up an answer; then the agent is given up as if it said nothing."""

    away_notice: AwayNotice | None = None
    """What is heard while the agent's model is away."""

    may_stay_silent: bool = False
    """The model decides whether to answer: no answer is none that is overdue."""

    owes_signs: bool = False
    """The model listens for speech and cannot but say something of what it heard."""

    boundary_timeout_s: float = 5.0
    """After an interruption the model has this long to say that the old answer is over."""

    pause_s: float = 0.4
    """Silence after recognised words that looks like the end of the user's turn."""

    queued_texts: int = 16
    """Texts that may wait for the end of an answer; more are refused."""


@dataclass(slots=True)
class Conversation:
    """See the module. ``now`` is in monotonic seconds throughout.

    Args:
        playout: where the agent's audio goes; this object alone writes and flushes it.
        rules: what the operator decided.
        uplink_ms: asked when an answer's timings are told: how long the last uplink
            packet took to the agent, in milliseconds.
    """

    playout: PlayoutBuffer
    rules: ConversationRules
    uplink_ms: Callable[[], float | None] = lambda: None

    state: StateName = "initializing"
    answers: int = 0
    """How many answers have begun."""

    last_activity_at: float = 0.0
    """When either side last spoke or wrote."""

    user_said_at: float = 0.0
    """When the user last wrote, or said what is more than a cough."""

    last_ended: Answer | None = None
    """The answer that ended last."""

    _absence: Absence = field(init=False)
    _unheard: UnheardSpeech = field(default_factory=UnheardSpeech)
    _started: bool = False
    _answer: Answer | None = None
    """The answer that the model is giving."""
    _playing: deque[Answer] = field(default_factory=deque)
    """Answers that are complete for the model and not yet for the listener."""
    _question: Question = field(default_factory=Question)
    _utterance: Utterance = field(default_factory=Utterance)
    _held_transcript: live.AgentTranscript | None = None
    """A transcript that came ahead of its audio."""
    _cut: CutAnswer | None = None
    """The answer that was cut off and that the model still speaks of, as far as is known."""
    _prompted_at: float | None = None
    """When a text that is not the user's was put to the agent, which has not answered it yet."""
    _late_complete: bool = False
    """A bare ``turn_complete`` would be that of the answer interrupted last."""
    _on_wire: bool = False
    _told_turn: int = 0
    """The answer whose latency was told last."""
    _timed_out: bool = False
    _queued: deque[str] = field(default_factory=deque)
    _out: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._absence = Absence(self.playout, self.rules.away_notice)

    @property
    def is_idle(self) -> bool:
        """The agent is there, and neither speaks nor thinks."""
        return self.state == "listening" and not self._absence.is_away

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
        self._unheard.sign()
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
                self._on_turn_complete(now)
            case live.ModelInterrupted(ahead=True):
                if self._cut is None:
                    self._cut_off(now)
                if self._cut is not None:
                    self._cut.interrupted_ahead = True
            case live.ModelInterrupted():
                self._on_interrupted(now)
            case (
                live.ToolCalled()
                | live.ToolProgressed()
                | live.ToolReturned()
                | live.ToolCancelled()
            ):
                self._on_tool(event, now)
            case (
                live.AgentThought()
                | live.AgentPicture()
                | live.FileLinked()
                | live.PartRefused()
                | live.CodeWritten()
                | live.CodeExecuted()
            ):
                self._on_part(event, now)
            case live.SourcesFound() if self._cut is not None:
                pass  # those of an answer that was cut off
            case (
                live.SourcesFound()
                | live.UsageReported()
                | live.ArtifactSaved()
                | live.AgentChanged()
                | live.StateChanged()
            ):
                allow_state = self.rules.allow_state
                self._tell(about_agent(event, self._turn_spoken_of, allow_state=allow_state))
            case live.ModelAway():
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
        self._question.speech_at = arrived_at
        self._question.speech_ms += duration_ms
        self._unheard.speech(arrived_at, duration_ms)
        self.last_activity_at = arrived_at
        if self._question.speech_ms >= Question.SPEECH_MS:
            self.user_said_at = arrived_at

    def on_user_activity(self, state: Literal["start", "end"], now: float) -> list[Action]:
        """The user began or ended to speak, as he says himself (push-to-talk)."""
        self._on_activity(state, now)
        return self._done()

    def on_prompt(self, text: str, now: float) -> list[Action]:
        """A text that is not the user's goes to the agent: what it answers was not asked for."""
        self._prompted_at = now
        self._out.append(SendText(text))
        return self._done()

    def on_user_text(self, text: str, now: float) -> list[Action]:
        """The user typed a text turn."""
        self.last_activity_at = self.user_said_at = now
        if self._open_answers():
            if self.rules.text_during_speech == "queue":
                return self._queue_text(text)
            if self._playing or (self._answer is not None and self._answer.has_spoken):
                self._cut_off(now)
                self._out.append(InterruptModel())
            else:
                # Nothing was said yet, so nothing is cut off; the model may answer both in one.
                self._question.joined = True
        self._ask(text, now)
        return self._done()

    def on_user_interrupt(self, now: float) -> list[Action]:
        """The user wants the agent to stop; without an answer, the one to come is discarded."""
        self.last_activity_at = now
        has_begun = bool(self._open_answers())
        if not has_begun:
            is_asked = self._question.is_open or self._prompted_at is not None
            if not is_asked or self._cut is not None:
                return []
            self._begin(now)
        self._cut_off(now, has_begun=has_begun)
        self._out.append(InterruptModel())
        return self._done()

    def on_frame_sent(self, frame: PlayoutFrame, at: float) -> list[Action]:
        """A 20 ms frame left for the listener."""
        if frame.turn == NOTICE_TURN:
            return []  # nobody speaks
        if (
            self._on_wire
            and frame.turn == self._told_turn
            and not frame.closing
            and not self._playing
            and self.state == "speaking"
        ):
            # Nearly every frame: the answer goes on, and there is nothing to say.
            self.last_activity_at = at
            return []
        self._on_wire = not frame.closing
        if not frame.closing:
            self.last_activity_at = at
            answer = self._find(frame.turn)
            if answer is not None:
                if answer.first_packet_at is None:
                    answer.first_packet_at = at
                if frame.audible:
                    self._tell_latency(answer, at)
        self._settle(at)
        return self._done()

    def end(self, now: float) -> list[Action]:
        """The call is over, and with it every answer; may be called twice."""
        self._queued.clear()
        self._close_utterance(self.answers + 1)
        self._flush(now)
        out, self._out = self._out, []
        return out

    def tick(self, now: float) -> list[Action]:
        """Time went by; to be called a few times a second."""
        cut = self._cut
        if (
            cut is not None
            and not cut.interrupted_ahead
            and now - cut.since > self._boundary_timeout_s(cut)
        ):
            self._cut = None
            self._late_complete = True
        if self._prompted_at is not None and now - self._prompted_at > self.rules.answer_timeout_s:
            self._prompted_at = None
        answer = self._answer
        if self._absence.is_away:
            is_silent = not self._on_wire and not self._open_answers()
            self._out += self._absence.tick(now, is_silent=is_silent)
        elif answer is not None:
            self._watch_answer(answer, now)
        elif not self._timed_out:
            self._watch_question(now)
        self._settle(now)
        return self._done(now)

    # ------------------------------------------------------------------
    # The agent's side
    # ------------------------------------------------------------------

    def _on_audio(self, event: live.AgentAudio, now: float) -> None:
        if not event.pcm or self._swallow(now):
            return
        answer = self._begin(now)
        if self.rules.modality == "text":
            return  # a text call of an agent that only speaks: its transcript is its text
        if answer.first_audio_at is None:
            answer.first_audio_at = now
        self._out.append(Spoken(self.playout.write(answer.n, event.pcm, event.rate, now)))

    def _on_text(self, text: str, now: float) -> None:
        if not text or self._swallow(now):
            return
        answer = self._begin(now)
        answer.said_text = True
        self._send_text(answer, text, now)

    def _send_text(self, answer: Answer, text: str, now: float) -> None:
        if answer.first_audio_at is None:
            answer.first_audio_at = now
        answer.text += text
        self._out.append(Text(data=text, turn=answer.n))
        self.last_activity_at = now
        if self.rules.modality == "text":
            self._tell_latency(answer, now)

    def _on_agent_transcript(self, event: live.AgentTranscript, now: float) -> None:
        if self._swallow(now):
            return
        if self.rules.modality == "text":
            if event.delta:
                answer = self._begin(now)
                if not answer.said_text:
                    self._send_text(answer, event.delta, now)
            return
        answer_or_none = self._answer or (self._playing[-1] if self._playing else None)
        if answer_or_none is None:
            # A transcript alone begins no answer: it may be a late copy of the last one's.
            if event.delta:
                self._held_transcript = event
            return
        if self._answer is not None:
            self._answer.last_output_at = now
        self._tell_transcript(answer_or_none, event)

    def _tell_transcript(self, answer: Answer, event: live.AgentTranscript) -> None:
        # A shorter one is the model's own guess of what was heard before an interruption;
        # the ledger knows better.
        text = event.text
        if len(text) <= len(answer.transcript):
            return
        answer.transcript = text
        self.playout.mark_text(answer.n, text)
        self._out.append(
            Transcript(role="agent", text=text, final=False, turn=answer.n, language=event.language)
        )

    def _on_user_transcript(self, event: live.UserTranscript, now: float) -> None:
        if not event.text.strip():
            return
        utterance = self._utterance
        n = utterance.turn
        if n is None:
            if event.final and utterance.is_copy(event.text, self._question):
                return
            given = self._answer or (self._playing[-1] if self._playing else None)
            n = utterance.begin(given, self._question, self.answers)
        if event.final and n > self.answers:
            self._complete_heard(now)
        self.last_activity_at = self.user_said_at = now
        self._out.append(utterance.hear(event.text, final=event.final, language=event.language))
        if n > self.answers:  # it leads to an answer that has not begun
            self._question.transcribed = True
            self._prompted_at = None  # the model has turned to the user
            self._timed_out = False
            if event.final:
                self._question.end(now)

    def _on_activity(self, state: Literal["start", "end"], now: float) -> None:
        """Speech begins or ends, in the words of the model or of the user; a cough asks nothing."""
        self.last_activity_at = now
        if state == "end" and self._question.speech_ms >= Question.SPEECH_MS:
            self._timed_out = False
            self._question.end(now)

    def _complete_heard(self, now: float) -> None:
        """Ends an answer that was heard to its end, and that the model forgot to end."""
        answer = self._answer
        silent = not self._on_wire and self.playout.is_empty
        if answer is not None and answer.is_pausing and silent:
            self._complete(answer, now)
            self._late_complete = True

    def _close_utterance(self, n: int) -> None:
        told = self._utterance.close(n)
        if told is not None:
            self._out.append(told)

    def _on_turn_complete(self, now: float) -> None:
        cut = self._cut
        if cut is not None:
            cut.since = now
            if cut.interrupted_ahead:
                return
            # The model closes a round of tools, unless it has something else to answer.
            if not cut.in_tool_round or self._question.is_open:
                self._cut = None
            return
        if self._answer is None:
            late, self._late_complete = self._late_complete, False
            prompted, self._prompted_at = self._prompted_at, None
            if late or not (self._held_transcript or self._question.is_open) or prompted:
                return
            self._begin(now)  # an answer without a word is still an answer, and ends
        answer = self._answer
        assert answer is not None
        if answer.tools_running or answer.after_tool:
            # The model closes a round of tools; what it says next belongs to this answer.
            answer.said_complete_at = now
            return
        self._complete(answer, now)

    def _complete(self, answer: Answer, now: float) -> None:
        answer.model_done = True
        self._answer = None
        self.playout.finish(answer.n)
        self._playing.append(answer)
        self._settle(now)

    def _on_interrupted(self, now: float) -> None:
        self._late_complete = True
        self._held_transcript = None
        self._prompted_at = None
        if self._cut is not None:
            self._cut = None
            return
        self._flush(now)

    def _on_tool(self, event: ToolEvent, now: float) -> None:
        self.last_activity_at = now
        if self._cut is not None:
            self._cut.since = now
        open_answers = [one for one in (self._answer, self._cut) if one is not None]
        match event:
            case live.ToolCalled():
                # The tool of an answer that was cut off works on, and is told of.
                served = self._begin(now) if self._cut is None else self._cut
                if not event.long_running:
                    served.tools_running.add(event.id)
            case live.ToolReturned():
                for one in open_answers:
                    if event.id in one.tools_running:
                        one.tools_running.discard(event.id)
                        one.after_tool = True
                if self._answer is not None:
                    self._answer.last_output_at = now
            case live.ToolCancelled():
                for one in open_answers:
                    one.tools_running.discard(event.id)
        self._tell(about_tool(event, show=self.rules.show_tools))

    def _on_part(self, event: AnswerPart, now: float) -> None:
        if self._swallow(now):
            return
        turn = self._begin(now).n
        self._tell(about_part(event, turn, show_thoughts=self.rules.show_thoughts))

    def _tell(self, message: ServerMessage | None) -> None:
        if message is not None:
            self._out.append(message)

    @property
    def _turn_spoken_of(self) -> int:
        """The answer that a word of the model about its answer is about."""
        of_the_last = self._answer is not None or self._cut is not None or self._late_complete
        if not of_the_last and self._question.is_open:
            return self.answers + 1  # it will end without a word
        return max(1, self.answers)

    def _on_failed(self, event: live.AgentFailed, now: float) -> None:
        text_at = self._question.text_at
        typed_since = event.at is not None and text_at is not None and text_at > event.at
        keeps_question = event.keeps_question or (event.retryable and typed_since)
        if not keeps_question:
            self._prompted_at = None
        if self._answer is None and self._question.is_open and not keeps_question:
            self._begin(now)  # the turn that was asked for is lost, and ends
        if self._answer is not None:
            self._flush(now)  # an answer that is complete is played to its end
        self._cut = None
        self._late_complete = False
        self._held_transcript = None
        self._close_utterance(self.answers + 1)
        self._out.append(Error(code=event.code, message=event.message, retryable=event.retryable))
        if event.asks_again:
            self._question.text_at = now
            self._timed_out = False

    # ------------------------------------------------------------------
    # Answers
    # ------------------------------------------------------------------

    def find_answer(self, n: int | None) -> Answer | None:
        """Answer ``n``, open or the last to end; None: the one that the model is giving."""
        if n is None:
            return self._answer
        last = self.last_ended
        return self._find(n) or (last if last is not None and last.n == n else None)

    @property
    def spoken_turn(self) -> int | None:
        """The answer that the model's latest words are of; None where none has begun."""
        if self._cut is not None:
            return self.answers
        given = self._answer or (self._playing[-1] if self._playing else None)
        return None if given is None else given.n

    def _open_answers(self) -> list[Answer]:
        return [*self._playing, *([self._answer] if self._answer else [])]

    def _find(self, n: int) -> Answer | None:
        return next((one for one in self._open_answers() if one.n == n), None)

    def _begin(self, now: float) -> Answer:
        """The answer that is being given; a new one if there is none."""
        answer = self._answer
        if answer is not None:
            answer.last_output_at = now
            answer.after_tool = False
            answer.said_complete_at = None
            return answer
        self._absence.hush()
        if self._was_spoken_over():
            self._flush(now)
        self.answers += 1
        question = Question() if self._question.is_stale(now) else self._question
        if self._prompted_at is None:
            self._question = Question()
        else:  # what the user has asked since then is answered after this
            question = Question()
            self._prompted_at = None
        answer = Answer(self.answers, question, now, now)
        self._answer = answer
        self._late_complete = False
        self._timed_out = False
        held, self._held_transcript = self._held_transcript, None
        if held is not None:
            self._tell_transcript(answer, held)
        return answer

    def _was_spoken_over(self) -> bool:
        """Whether what is still playing was answered by the user: the model has moved on.

        A model that takes its answer for over when it has sent it says of no interruption.
        """
        spoken_at = self._question.speech_at if self._question.endpoint_at is not None else None
        heard_at = self._playing[0].first_packet_at if self._playing else None
        return spoken_at is not None and heard_at is not None and spoken_at > heard_at

    def _swallow(self, now: float) -> bool:
        """Whether what the model says now belongs to the answer that was cut off."""
        cut = self._cut
        if cut is None:
            return False
        cut.since = now
        cut.after_tool = False
        cut.has_begun = True
        return True

    def _boundary_timeout_s(self, cut: CutAnswer) -> float:
        """How long the model is waited for to say that the answer is over, or to go on with it."""
        asked_anew = self._question.is_open or self._question.speech_ms >= Question.SPEECH_MS
        is_at_work = bool(cut.tools_running) or not cut.has_begun
        if is_at_work and not asked_anew:
            return self.rules.answer_timeout_s
        return self.rules.boundary_timeout_s

    def _cut_off(self, now: float, *, has_begun: bool = True) -> None:
        """Ends every open answer here and discards what the model still says about it."""
        answer = self._answer
        if answer is not None:
            self._cut = CutAnswer(now, has_begun, set(answer.tools_running), answer.after_tool)
        self._held_transcript = None
        self._flush(now)

    def _flush(self, now: float) -> None:
        """Ends every open answer as interrupted, by the ledger of the playout buffer."""
        heard = {one.turn: one for one in self.playout.flush()}
        for answer in self._open_answers():
            self._end(answer, heard.get(answer.n) or self.playout.heard(answer.n), now)
        self._answer = None
        self._playing.clear()

    def _settle(self, now: float) -> None:
        """Ends the answers that are complete for the model and for the listener."""
        while self._playing:
            answer = self._playing[0]
            if self.rules.modality == "audio" and not self.playout.drained(answer.n):
                return
            self._playing.popleft()
            self._end(answer, None, now)

    def _end(self, answer: Answer, heard: Heard | None, now: float) -> None:
        """Says that an answer is over; ``heard`` is what was heard of an interrupted one."""
        self._close_utterance(answer.n)
        if answer.text and not answer.latency_told:
            self._tell_latency(answer, answer.first_audio_at or now)
        heard_text = None
        if heard is not None:
            heard_text = heard.text if self.rules.modality == "audio" else answer.text
        if answer.transcript:
            said = answer.transcript if heard_text is None else heard_text
            self._out.append(Transcript(role="agent", text=said, final=True, turn=answer.n))
        self._out.append(
            Turn(
                turn=answer.n,
                turn_complete=True,
                interrupted=heard is not None,
                heard_ms=None if heard is None else heard.ms,
                heard_text=heard_text,
            )
        )
        self.playout.forget(answer.n)
        self.last_ended = answer

    def _tell_latency(self, answer: Answer, sent_at: float) -> None:
        if not answer.latency_told:
            answer.latency_told = True
            self._told_turn = answer.n
            self._out.append(answer.latency(sent_at, self.uplink_ms()))

    def _watch_answer(self, answer: Answer, now: float) -> None:
        """Ends a turn that never ends, and one whose round of tools leads to no more words."""
        if not answer.tools_running:
            answer.at_work_since = None
        elif answer.at_work_since is None:
            answer.at_work_since = now
        at_work_s = 0.0 if answer.at_work_since is None else now - answer.at_work_since
        is_at_work = bool(answer.tools_running) and at_work_s <= self.rules.tool_timeout_s
        if is_at_work or self._on_wire or self.playout.buffered_s > 0:
            answer.last_output_at = now
            return
        if now - answer.last_output_at <= self.rules.answer_timeout_s:
            if answer.said_complete_at is None:
                return
            if now - answer.said_complete_at <= self.rules.boundary_timeout_s:
                return
        else:
            self._time_out()
        self._complete(answer, now)

    def _watch_question(self, now: float) -> None:
        """Gives up a model that owes an answer, or a sign; its absence does not count."""
        since = self._waiting_since()
        if since is None:
            if self.rules.owes_signs and self._unheard.is_overdue(now, self.rules.answer_timeout_s):
                self._time_out()
            return
        if now - max(since, self._absence.back_at) > self.rules.answer_timeout_s:
            self._timed_out = True
            if not self.rules.may_stay_silent:
                self._time_out()

    def _time_out(self) -> None:
        self._out += [_timeout_error(), RenewModel()]

    # ------------------------------------------------------------------
    # The user's side
    # ------------------------------------------------------------------

    def _ask(self, text: str, now: float) -> None:
        self._question.text_at = now
        self._timed_out = False
        self._out.append(SendText(text))

    def _waiting_since(self) -> float | None:
        """When the user ended a turn that nothing has answered yet, as far as is known."""
        question = self._question
        if question.is_open:
            return question.asked_at if question.asked_at is not None else question.endpoint_at
        # Models that finish a transcript with their answer only are known by silence.
        is_heard = self._utterance.turn is not None and self._utterance.turn > self.answers
        return question.speech_at if is_heard else None

    def _queue_text(self, text: str) -> list[Action]:
        if len(self._queued) >= self.rules.queued_texts:
            self._out.append(
                Error(
                    code="too_many_texts",
                    message="Too many texts wait for the end of this answer.",
                    retryable=True,
                )
            )
        else:
            self._queued.append(text)
        return self._done()

    # ------------------------------------------------------------------
    # What is to be done
    # ------------------------------------------------------------------

    def _done(self, now: float | None = None) -> list[Action]:
        is_answered = self._timed_out or not self._question.is_open
        if self._queued and not self._open_answers() and is_answered:
            self._ask(self._queued.popleft(), self.last_activity_at if now is None else now)
        state = self._state(now)
        if state != self.state:
            self.state = state
            self._out.append(State(state=state))
        out, self._out = self._out, []
        return out

    def _state(self, now: float | None) -> StateName:
        if not self._started:
            return "initializing"
        if self._on_wire:
            return "speaking"
        answer = self._answer
        if answer is not None and not (answer.is_pausing and self.playout.is_empty):
            return "thinking"
        if self._prompted_at is not None or (self._question.is_open and not self._timed_out):
            return "thinking"
        is_heard = self._utterance.turn is not None and not self._timed_out
        if is_heard and self._question.speech_at is not None:
            paused = now is not None and now - self._question.speech_at > self.rules.pause_s
            if paused or (now is None and self.state == "thinking"):
                return "thinking"
        return "listening"


def _timeout_error() -> Error:
    return Error(
        code="agent_timeout",
        message="The agent does not answer. You can go on, or ask again.",
        retryable=True,
    )
