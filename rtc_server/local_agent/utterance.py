"""When an utterance begins, pauses and ends: plain code over voice probabilities.

Time is counted in pieces of audio (32 ms), never on a clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Flag, auto

__all__ = ["EndpointRules", "Signal", "Utterance"]

_PIECE_MS = 32
_BYTES_PER_MS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRules:
    """How much voice and how much silence mean what."""

    voice_probability: float = 0.5
    """A piece at least this likely to be speech is voice."""

    still_voice_probability: float = 0.35
    """The same within voice: the detector's answer wavers at the ends of words."""

    least_voice_ms: int = 250
    """Less voice than this in an utterance is a cough or a click."""

    guess_ms: int = 190
    """After this silence the words are recognised, in case nothing follows."""

    end_ms: int = 280
    """After this silence the utterance has ended."""

    unfinished_end_ms: int = 900
    """The same, where the words so far ask for more ("what is seventeen times")."""

    partial_ms: int = 400
    """A hypothesis is wanted at most this often."""

    longest_ms: int = 20_000
    """An utterance is cut off here: recognising it takes about 1.5 s by then."""

    before_ms: int = 320
    """Audio kept from before the first voice, where soft consonants hide."""

    after_ms: int = 96
    """Silence after the last voice that is recognised with it."""


class Signal(Flag):
    """What :meth:`Utterance.push` says about the piece it was given."""

    NONE = 0
    PARTIAL = auto()
    """A hypothesis of the words so far is wanted."""
    GUESS = auto()
    """The utterance may have ended: recognise it."""
    RESUMED = auto()
    """Speech went on after a GUESS, which is void."""
    ENDED = auto()
    """The utterance has ended; repeated until :meth:`Utterance.reset`."""
    DISCARDED = auto()
    """What was heard was too short to be speech; it is forgotten already."""


class Utterance:
    """Follows one utterance at a time."""

    def __init__(self, rules: EndpointRules | None = None) -> None:
        self._rules = rules or EndpointRules()
        self._before: deque[bytes] = deque(maxlen=self._rules.before_ms // _PIECE_MS)
        self.reset()

    def reset(self) -> None:
        """Forget the utterance; the audio before the next one begins now."""
        self._audio = bytearray()
        self._voiced = False
        self._guessed = False
        self._since_partial_ms = self._rules.partial_ms
        self._before.clear()
        self.voice_ms = 0
        """Voice heard in this utterance."""
        self.silence_ms = 0
        """Silence since the last voice."""

    @property
    def is_active(self) -> bool:
        """Whether there has been voice that is not done with."""
        return self.voice_ms > 0

    @property
    def has_enough_voice(self) -> bool:
        """Whether there is enough voice for words."""
        return self.voice_ms >= self._rules.least_voice_ms

    @property
    def audio(self) -> bytes:
        """The utterance so far, with a little silence on both sides."""
        surplus_ms = max(0, self.silence_ms - self._rules.after_ms)
        return bytes(self._audio[: len(self._audio) - surplus_ms * _BYTES_PER_MS])

    def push(self, pcm: bytes, probability: float) -> Signal:
        """Take a piece of 32 ms and the probability that it is speech."""
        rules = self._rules
        least = rules.still_voice_probability if self._voiced else rules.voice_probability
        self._voiced = probability >= least
        if not self.is_active and not self._voiced:
            self._before.append(pcm)
            return Signal.NONE
        if not self.is_active:
            self._audio = bytearray(b"".join(self._before))
        self._audio += pcm
        return self._on_voice() if self._voiced else self._on_silence()

    def _on_voice(self) -> Signal:
        rules = self._rules
        signal = Signal.RESUMED if self._guessed else Signal.NONE
        self._guessed = False
        self.voice_ms += _PIECE_MS
        self.silence_ms = 0
        self._since_partial_ms += _PIECE_MS
        if len(self._audio) >= rules.longest_ms * _BYTES_PER_MS:
            return signal | Signal.ENDED
        if self.has_enough_voice and self._since_partial_ms >= rules.partial_ms:
            self._since_partial_ms = 0
            signal |= Signal.PARTIAL
        return signal

    def _on_silence(self) -> Signal:
        self.silence_ms += _PIECE_MS
        self._since_partial_ms += _PIECE_MS
        if not self.has_enough_voice:
            if self.silence_ms < self._rules.end_ms:
                return Signal.NONE
            self.reset()
            return Signal.DISCARDED
        if self.silence_ms >= self._rules.end_ms:
            return Signal.ENDED
        if self.silence_ms >= self._rules.guess_ms and not self._guessed:
            self._guessed = True
            return Signal.GUESS
        return Signal.NONE
