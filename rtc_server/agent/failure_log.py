"""What the log says of runs that fail: a line each, and where from only once in a while.

When a model is down for fifty calls, the same traceback of a hundred lines comes fifty times over;
to format them all holds the event loop up, and nobody reads them.
"""

from __future__ import annotations

import logging
import time

from .failures import NoLiveConnection

__all__ = ["RareTracebacks", "log_failure"]

_EVERY_S = 60.0
_MOST_KINDS = 64


class RareTracebacks:
    """Which of many failures is shown with its traceback: the first of its kind in a minute."""

    def __init__(self, every_s: float = _EVERY_S, most_kinds: int = _MOST_KINDS) -> None:
        self._every_s = every_s
        self._most_kinds = most_kinds
        self._shown: dict[tuple[str, type], float] = {}

    def is_due(self, code: str, error: BaseException, now: float) -> bool:
        """Whether this one is to be shown; then the next ones of its kind are not."""
        kind = (code, type(error))
        shown_at = self._shown.pop(kind, None)
        is_due = shown_at is None or now - shown_at >= self._every_s
        self._shown[kind] = now if shown_at is None or is_due else shown_at
        while len(self._shown) > self._most_kinds:
            del self._shown[next(iter(self._shown))]
        return is_due


_tracebacks = RareTracebacks()  # the log is the process's, and so is what it has room for


def log_failure(
    log: logging.LoggerAdapter[logging.Logger], code: str, error: BaseException
) -> None:
    """Log that an agent's run failed, with the traceback if it is the first such in a minute.

    At DEBUG every one is shown.
    """
    if isinstance(error, NoLiveConnection):
        log.error("the model %s has no live connection: the call ends", error)
        return
    is_shown = _tracebacks.is_due(code, error, time.monotonic())
    is_shown = is_shown or log.isEnabledFor(logging.DEBUG)
    log.warning(
        "the agent's run failed: %s (%s)",
        code,
        type(error).__name__,
        exc_info=error if is_shown else None,
    )
