"""What becomes of the user's speech, as far as the model shows it; plain code."""

from __future__ import annotations

from dataclasses import dataclass, field

from .agent import live_events as live
from .conversation_rules import ConversationRules
from .lost_speech import LostSpeech
from .messages import Error
from .unheard_speech import UnheardSpeech

__all__ = ["NOT_HEARD", "SpeechAccount"]

NOT_HEARD = Error(
    code="speech_not_heard",
    message="The agent has not heard what you said. Please say it again.",
    retryable=True,
)

_SIGNS_OF_HEARING = (
    live.AgentAudio,
    live.AgentText,
    live.AgentTranscript,
    live.UserTranscript,
    live.ToolCalled,
    live.AgentThought,
    live.AgentPicture,
    live.FileLinked,
    live.PartRefused,
    live.CodeWritten,
    live.CodeExecuted,
    live.SourcesFound,
    live.AgentChanged,
)
"""What a model does once it has made something of what it heard."""

_SIGNS_OF_LIFE = (
    *_SIGNS_OF_HEARING,
    live.UserActivity,
    live.ModelInterrupted,
    live.ModelTurnComplete,
)
"""What shows that there is somebody at the other end; tools at work, say, do not."""


@dataclass(slots=True)
class SpeechAccount:
    """Of one call; ``now`` is in monotonic seconds."""

    rules: ConversationRules
    is_talking: bool = False
    """The user says so himself (push-to-talk)."""

    _unheard: UnheardSpeech = field(init=False)
    _lost: LostSpeech = field(init=False)
    _back_at: float = 0.0

    def __post_init__(self) -> None:
        self._lost = LostSpeech(self.rules.kept_sound_s)
        self._unheard = UnheardSpeech(2 if self.rules.passes_over_voice else 1)

    def speech(self, at: float, duration_ms: float, *, over_sound: bool) -> None:
        """A piece of the uplink was judged to be speech, ``over_sound`` of the agent's."""
        is_meant = self.is_talking and not self.rules.may_stay_silent
        owes = self.rules.owes_signs or is_meant
        self._unheard.speech(at, duration_ms)
        self._lost.speech(at, duration_ms, owes=owes, over_sound=over_sound and not self.is_talking)

    def sound(self, duration_ms: float) -> None:
        """So much of the agent's voice left."""
        self._lost.sound(duration_ms)

    def note(
        self, event: live.LiveEvent, now: float, *, is_between: bool, is_to_speech: bool
    ) -> None:
        """The agent said or did something.

        Args:
            is_between: the end of an answer would be that of none that is known.
            is_to_speech: what it says is to no text that it was given.
        """
        if isinstance(event, _SIGNS_OF_LIFE):
            self._unheard.sign()
        if self._is_heard(event, is_between=is_between, is_to_speech=is_to_speech):
            self._lost.settle()
        match event:
            case live.ModelInterrupted():
                self._lost.interrupted()
            case live.ModelAway():
                self._lost.away(now)
            case live.ModelBack():
                self._back_at = now
                self._lost.back(now)
                if self._lost.is_any:
                    self._unheard.settle()
            case live.AgentFailed():
                self._lost.failed()

    def _is_heard(self, event: live.LiveEvent, *, is_between: bool, is_to_speech: bool) -> bool:
        """Whether the model shows by ``event`` that it has heard the user."""
        if isinstance(event, live.UserTranscript):
            return True
        # The answer to a text that waited for a connection says nothing of what went with the last.
        if self._lost.is_any and not is_to_speech:
            return False
        is_bare_end = is_between and isinstance(event, live.ModelTurnComplete)
        return is_bare_end or isinstance(event, _SIGNS_OF_HEARING)

    def asks_again(self) -> None:
        """The user was told that he is to: nothing more need be said of what is lost."""
        self._lost.settle()

    def is_lost(self, now: float) -> bool:
        """Whether the user is to be told that something has reached nobody; once."""
        is_due = self._lost.is_due(now)
        if is_due:
            self._unheard.settle()
        return is_due

    def is_overdue(self, now: float) -> bool:
        """Whether a model that owes a sign of what it hears gives none; once for what was said."""
        timeout_s, back_at = self.rules.answer_timeout_s, self._back_at
        is_overdue = self._unheard.is_overdue(now, timeout_s, back_at=back_at)
        return self.rules.owes_signs and is_overdue
