"""Which models of a text call only speak, so that their transcript is the text; plain code."""

from __future__ import annotations

from ..call_service import Modality
from .models.agent_models import AgentModels

__all__ = ["TextAnswers"]


class TextAnswers:
    """Of one call, whose agent's own model and fallback need not be alike.

    Args:
        modality: of the call.
        own_speaks_only: the agent's own model is known to refuse text.
    """

    def __init__(self, modality: Modality, *, own_speaks_only: bool) -> None:
        self._is_text = modality == "text"
        self._own_speaks_only = own_speaks_only
        self._refused: set[bool] = set()
        """Who has refused text in this call: the fallback (True), the agent's own (False)."""
        self._answered: set[bool] = set()
        """Who has said something, and takes its modality; likewise."""
        self._failures = 0
        """In a row, before the model was chosen that is asked now."""

    def speaks_only(self, models: AgentModels) -> bool:
        """Whether the transcript of what these say is the text of the call."""
        known = models.speaks_only if models.is_fallback else self._own_speaks_only
        return self._is_text and (known or models.is_fallback in self._refused)

    def chosen(self, failures: int) -> None:
        """The next run asks another model than the last, after so many failures in a row."""
        self._failures = failures

    def answered(self, models: AgentModels) -> None:
        """It has said something."""
        self._answered.add(models.is_fallback)

    def refused(self, models: AgentModels, failures: int) -> bool:
        """What was asked for was refused; whether that was text, and it is now asked to speak.

        Args:
            failures: in a row until now; one that comes after others of the same model may be
                a refusal of anything.
        """
        if not self._is_text or self.speaks_only(models):
            return False
        if failures > self._failures or models.is_fallback in self._answered:
            return False
        self._refused.add(models.is_fallback)
        return True
