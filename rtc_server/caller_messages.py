"""What the caller is asked on behalf of a tool, as messages, and a word on a late answer."""

from __future__ import annotations

from .agent.live_events import ClientToolCalled, ConfirmationAsked
from .messages import ClientTool, Confirm, Error, Tool

__all__ = ["NOBODY_ASKED", "NO_SUCH_TOOL_CALL", "caller_message"]

MAX_HINT_CHARACTERS = 4096

NOBODY_ASKED = Error(
    code="unknown_confirmation",
    message="Nothing waits for this answer; it may have come too late.",
    retryable=False,
)

NO_SUCH_TOOL_CALL = Error(
    code="unknown_client_tool",
    message="No tool call waits for this result; it may have come too late.",
    retryable=False,
)


def caller_message(event: ConfirmationAsked | ClientToolCalled) -> Confirm | ClientTool:
    """The message that asks; arguments are shown always: the caller is to know what he does."""
    if isinstance(event, ClientToolCalled):
        return ClientTool(
            id=event.id, name=event.name, args=dict(event.args), seconds=event.seconds
        )
    args, args_cut = Tool.shortened(dict(event.args))
    payload, payload_cut = Tool.shortened(event.payload)
    return Confirm(
        id=event.id,
        name=event.name,
        hint=event.hint[:MAX_HINT_CHARACTERS] if event.hint else None,
        args=args,
        payload=payload,
        seconds=event.seconds,
        truncated=(args_cut or payload_cut) or None,
    )
