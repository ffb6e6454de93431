"""Text and transcripts so far, from the pieces that live models send; plain code.

Every model says the same thing more than once, each in a way of its own.  These small
accumulators make of it "each character once" (text) and "the whole so far" (transcripts).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, takewhile

__all__ = ["AgentSpeech", "AnswerText", "UserSpeech"]


@dataclass(slots=True)
class AnswerText:
    """The new characters of a text answer.

    Models send pieces and then the whole of them again; the tail of an answer may be in
    that whole only.  A segment is what lies between two wholes.
    """

    _pieces: list[str] = field(default_factory=list)
    """Since the last whole."""
    _last_whole: str = ""
    _before_tools: str = ""
    """Pieces that rounds of tools came behind, before any whole: one may come of all of them."""

    def piece(self, text: str) -> str:
        """A piece of the answer is new throughout."""
        self._pieces.append(text)
        return text

    def whole(self, text: str) -> str:
        """What of the whole segment ``text`` has not been passed on as pieces."""
        pieces, self._pieces = self._pieces, []
        before, self._before_tools = self._before_tools, ""
        segment = "".join(pieces)
        if before and text.startswith(before + segment):
            self._last_whole = text
            return text[len(before + segment) :]
        if not segment:
            if text == self._last_whole:
                return ""
            last, self._last_whole = self._last_whole, text
            # A model without pieces may send an answer that grows.
            return text[len(last) :] if last and text.startswith(last) else text
        self._last_whole = text
        if text.startswith(segment):
            return text[len(segment) :]
        bare = segment.strip()
        if bare and text.strip().startswith(bare):  # the same but for space around it
            return text[text.index(bare) + len(bare) :].rstrip() if text.strip() != bare else ""
        same = takewhile(lambda pair: pair[0] == pair[1], zip(segment, text, strict=False))
        if 2 * sum(1 for _ in same) >= len(
            segment
        ):  # a revision: what was shown cannot be taken back
            return text[len(segment) :]
        # Another text than that of all pieces: the first may be of an answer without an end.
        return text[len(_tail_that_begins(text, pieces)) :]

    def reset(self) -> None:
        """A new answer."""
        self._pieces.clear()
        self._last_whole = self._before_tools = ""

    def called(self) -> None:
        """A tool is called: what follows may have a whole of its own."""
        self._before_tools += "".join(self._pieces)
        self._pieces.clear()
        self._last_whole = ""

    def returned(self) -> None:
        """A tool has answered; one that worked beside the model may do so amid its words."""
        self._last_whole = ""

    def asked(self) -> None:
        """A new answer is due, though the model may not have said that the last one is over."""
        self._last_whole = ""


@dataclass(slots=True)
class AgentSpeech:
    """The transcript of an answer so far, from deltas and finished wholes of its utterances.

    An answer has several utterances where a tool is called between them; they are joined
    with a space.
    """

    _before: str = ""
    """Finished utterances of this answer."""
    _utterance: str = ""
    is_open: bool = field(default=False)
    """Whether there is an utterance that was not finished."""
    _last: str = ""
    """The whole of the answer before."""
    answer: object = field(default_factory=object)
    """Another one for each answer."""

    def is_copy(self, text: str) -> bool:
        """Whether ``text``, between two answers, is that of the one before once more."""
        return not self.text and bool(text.strip()) and self._last.strip().endswith(text.strip())

    @property
    def text(self) -> str:
        """The whole so far."""
        return self._before + self._utterance

    def delta(self, text: str) -> str:
        """Append ``text``; returns what was appended, with the space that joins it."""
        if not self._utterance and _needs_space(self._before, text):
            text = " " + text
        self._utterance += text
        self.is_open = True
        return text

    def finish(self, text: str) -> str:
        """The utterance is over and was ``text``; returns what of it is new.

        It may be shorter than what came before: what was heard before an interruption.
        An empty ``text`` leaves what came before.
        """
        space = " " if _needs_space(self._before, text) else ""
        new = ""
        if text:
            whole = space + text
            if whole.startswith(self._utterance):
                new = whole[len(self._utterance) :]
            elif whole.strip().startswith(self._utterance.strip()):
                new = whole.strip()[len(self._utterance.strip()) :]
            self._utterance = whole
        self._before += self._utterance
        self._utterance = ""
        self.is_open = False
        return new

    def reset(self) -> None:
        """A new answer."""
        self.answer = object()
        self._last = self.text or self._last
        self._before = self._utterance = ""
        self.is_open = False


@dataclass(slots=True)
class UserSpeech:
    """The user's utterance so far.

    Args:
        cumulative: every text is the whole hypothesis so far (CascadeLive); False: every
            text is a delta with its own leading space (Gemini); None: found out from the
            second text of an utterance, for good.
    """

    cumulative: bool | None = None
    _utterance: str = ""
    _carried: str = ""
    """The beginning of this utterance, which the model finished where it was interrupted."""
    _last_final: str | None = None
    """The final text of this exchange, until the agent's turn is over."""
    _just_finished: bool = False

    def hypothesis(self, text: str) -> str | None:
        """The whole so far with ``text`` in it; None if it says nothing new."""
        if not text:
            return None
        if self.cumulative is None and self._utterance:
            grows = _plain(text).startswith(_plain(self._utterance))
            self.cumulative = grows and len(text) > len(self._utterance)
        whole = text if self.cumulative else self._utterance + text
        if whole == self._utterance:
            return None
        self._utterance = whole
        self._just_finished = False
        return self._with_carried(whole)

    def finish(self, text: str) -> str | None:
        """The final text; None for an empty one and for a copy of the last one."""
        final = (text or self._utterance).strip()
        had_words, self._utterance = bool(self._utterance), ""
        if not final or (not had_words and final == self._last_final):
            return None
        self._last_final = final
        self._just_finished = True
        return self._with_carried(final)

    def answered(self) -> None:
        """The agent speaks: what the user says from here on is another utterance."""
        if not self._utterance:
            self._carried = ""
        self._just_finished = False

    def interrupted(self) -> None:
        """The user spoke over the agent; an utterance finished just now goes on.

        ADK finishes the user's transcript at the interruption, in mid-sentence.
        """
        if self._just_finished and self._last_final is not None:
            self._carried = self._with_carried(self._last_final)
        self.end_of_exchange()

    def end_of_exchange(self) -> None:
        """The agent's turn is over: the same words are said anew from here on."""
        self._last_final = None
        self._just_finished = False

    def reset(self) -> None:
        """Forget an unfinished utterance."""
        self._utterance = ""
        self.answered()
        self.end_of_exchange()

    def _with_carried(self, text: str) -> str:
        space = " " if _needs_space(self._carried, text) else ""
        return (self._carried + space + text).strip()


def _tail_that_begins(text: str, pieces: list[str]) -> str:
    """The longest row of the last ``pieces`` that ``text`` begins with."""
    segment = "".join(pieces)
    begins = accumulate(len(piece) for piece in pieces)
    return next((segment[at:] for at in begins if text.startswith(segment[at:])), "")


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


def _needs_space(before: str, text: str) -> bool:
    return bool(before and text) and not before[-1].isspace() and not text[0].isspace()
