"""Whether an answer goes on, by the time that went by since its last word; plain code."""

from __future__ import annotations

from typing import Literal

from .answer import Answer
from .conversation_rules import ConversationRules

__all__ = ["watch_answer"]


def watch_answer(
    answer: Answer, now: float, rules: ConversationRules, *, is_sounding: bool
) -> Literal["goes_on", "is_over", "is_overdue"]:
    """To be asked a few times a second of the answer that the model is giving.

    ``is_over``: its round of tools leads to no more words.  ``is_overdue``: the model has
    forgotten to go on with it, or to end it.

    Args:
        is_sounding: some of it is being heard, or will be.
    """
    running = bool(answer.tools.running)
    if not running:
        answer.at_work_since = None
    elif answer.at_work_since is None:
        answer.at_work_since = now
    at_work_s = 0.0 if answer.at_work_since is None else now - answer.at_work_since
    if is_sounding or (running and at_work_s <= rules.tool_timeout_s):
        answer.last_output_at = now
        return "goes_on"
    if now - answer.last_output_at > rules.answer_timeout_s:
        return "is_overdue"
    completed_at = answer.said_complete_at
    if completed_at is not None and now - completed_at > rules.boundary_timeout_s:
        return "is_over"
    return "goes_on"
