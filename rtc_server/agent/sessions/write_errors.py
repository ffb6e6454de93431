"""Whether a failed write is the fault of what was to be written; plain code."""

from __future__ import annotations

import sqlite3

from google.genai.errors import APIError

__all__ = ["blames_the_event"]

_OF_THE_DATA = ("22", "23", "54")
"""Classes of SQLSTATE: data, integrity, a limit of the program (a row that is too long)."""

_STATUSES = (400, 413, 422)


def blames_the_event(error: BaseException) -> bool:
    """Whether the service would not take this event on a good day either.

    Else it is the service: read-only, locked, full, away, and may be well again.  ADK's
    drivers are told apart by SQLSTATE, by DB-API's kinds of errors, or by HTTP status.
    """
    if isinstance(error, APIError):
        return error.code in _STATUSES
    orig = getattr(error, "orig", None)
    if isinstance(orig, BaseException):  # SQLAlchemy's, around the driver's
        return blames_the_event(orig)
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_OF_THE_DATA)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"DataError", "IntegrityError"}:
        return True
    if isinstance(error, sqlite3.Error):
        return "binding parameter" in str(error)
    # What cannot be made JSON, or text of the database; a driver of SQLAlchemy's wraps it.
    cause = error.__cause__ if "EmulatedDBAPIException" in kinds else error
    return isinstance(cause, ValueError | TypeError | RecursionError)
