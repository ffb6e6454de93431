"""How much of a turn was heard, in milliseconds and in words.

An agent says when a piece of transcript is there, not which audio it belongs to. Two ways
are in use, told apart by the first mark of a turn:

* text first (a voice that is given sentences): the mark lies before any audio; each piece
  is spoken in the audio that follows its mark, up to the next;
* audio first (a model that transcribes itself): each piece was spoken in the audio that
  precedes its mark, back to the one before.

Between these points the words are spread evenly over the audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import east_asian_width

__all__ = ["TICK_RATE", "Heard", "TurnLedger"]

TICK_RATE = 48_000
"""Ticks a second: the least common multiple of all rates Opus takes."""

_FASTEST_SPEECH = 20
"""Characters a second that no voice exceeds: bounds what was said of text whose audio is
still being made."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was sent of a turn."""

    turn: int
    ms: int
    text: str
    """Whole words, without space at the end."""


class TurnLedger:
    """One turn's account; ticks are of audio without padding."""

    def __init__(self) -> None:
        self.written_ticks = 0
        self.read_ticks = 0
        self.complete = False
        """No more audio is to come."""
        self._text = ""
        self._marks: list[tuple[int, int]] = []  # ticks written, characters known by then

    def mark(self, text: str) -> None:
        """Takes the whole transcript up to the audio written so far; it replaces the one before.

        A copy that adds nothing (the final one) moves no mark.
        """
        known = self._marks[-1][1] if self._marks else 0
        self._text = text
        if len(text) <= known:
            self._marks = [(ticks, min(length, len(text))) for ticks, length in self._marks]
            return
        if self._marks and self._marks[-1][0] == self.written_ticks:
            self._marks.pop()
        self._marks.append((self.written_ticks, len(text)))

    def heard(self, turn: int) -> Heard:
        """The milliseconds and words that were read."""
        return Heard(turn, self.read_ticks * 1000 // TICK_RATE, self._text_heard())

    def _text_heard(self) -> str:
        if not self.read_ticks:
            return ""
        if self.complete and self.read_ticks >= self.written_ticks:
            return self._text.rstrip()
        return _whole_words(self._text, self._characters_heard())

    def _characters_heard(self) -> int:
        before_ticks, before_length = 0, 0
        for ticks, length in self._points():
            if self.read_ticks < ticks:
                share = (self.read_ticks - before_ticks) / (ticks - before_ticks)
                return int(before_length + share * (length - before_length))
            before_ticks, before_length = ticks, length
        return before_length

    def _points(self) -> list[tuple[int, int]]:
        """Where in the audio how many characters have been spoken, ascending in both."""
        marks = self._marks
        if not marks or marks[0][0] > 0:
            return marks
        starts = [ticks for ticks, _ in marks[1:]]
        return list(zip((*starts, self._end_ticks()), (length for _, length in marks), strict=True))

    def _end_ticks(self) -> int:
        """Where the text of the last mark has been spoken, when it came before its audio."""
        ticks, length = self._marks[-1]
        before = self._marks[-2][1] if len(self._marks) > 1 else 0
        if self.complete:
            return max(ticks + 1, self.written_ticks)
        return max(self.written_ticks, ticks + (length - before) * TICK_RATE // _FASTEST_SPEECH)


def _whole_words(text: str, length: int) -> str:
    """The longest beginning of at most ``length`` characters that ends with a word."""
    while 0 < length < len(text) and not _is_boundary(text[length - 1], text[length]):
        length -= 1
    return text[:length].rstrip()


def _is_boundary(before: str, after: str) -> bool:
    """Between words: at white space, and beside each character of a script that has none."""
    pair = (before, after)
    return any(each.isspace() or east_asian_width(each) in "WF" for each in pair)
