"""The user's utterances: which turn each leads to, and when it has been told to its end."""

from __future__ import annotations

from dataclasses import dataclass

from .answer import Answer, Question
from .messages import Transcript

__all__ = ["Utterance"]


@dataclass(slots=True)
class Utterance:
    """The user's latest utterance; one object serves all of a call.

    A finished transcript may come after the answer that it led to, twice, or never.
    """

    turn: int | None = None
    """The turn that the utterance leads to, while it is not finished."""

    text: str = ""
    """What was said in it."""

    last_turn: int = 0
    """The latest turn that an utterance led to."""

    def is_copy(self, text: str, since: Question) -> bool:
        """Whether a finished transcript repeats what was told to its end.

        Args:
            since: what the user has said since the agent last began to answer.
        """
        spoke_since = since.speech_ms >= Question.SPEECH_MS
        return text.split() == self.text.split() and not spoke_since

    def begin(self, given: Answer | None, since: Question, answers: int) -> int:
        """A new utterance leads to the next turn, or to the one that is being given.

        A transcript may come after the audio of the answer it led to.  So an answer that
        nobody typed for, and for which no words were reported yet, takes it.

        Args:
            given: the answer that is being given or played, if there is one.
            since: what the user has said since it began.
            answers: how many answers have begun.
        """
        self.turn = answers + 1
        if given is not None and given.question.kind != "text" and self.last_turn < given.n:
            # Words too short or too soft for our detector may have asked for it, too.
            asked_aloud = given.question.kind == "speech"
            if since.speech_ms < (Question.SPEECH_MS if asked_aloud else 1):
                self.turn = given.n
        return self.turn

    def hear(self, text: str, *, final: bool, language: str | None = None) -> Transcript:
        """The whole of the begun utterance so far, as the client is told of it."""
        assert self.turn is not None
        self.text = text
        self.last_turn = self.turn
        told = Transcript(role="user", text=text, final=final, turn=self.turn, language=language)
        if final:
            self.turn = None
        return told

    def close(self, n: int) -> Transcript | None:
        """The turn ``n`` is over: an utterance that led to it and has no end ends here."""
        if self.turn is None or self.turn > n:
            return None
        return self.hear(self.text, final=True)
