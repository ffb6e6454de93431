"""The exceptions of the harness, one tree.  Each message is one sentence for a person.

* :exc:`HarnessError`

  * :exc:`WavError` (a file that cannot be spoken)
  * :exc:`ServerUnreachable` (nothing answers at the URL)
  * :exc:`CallRefused` (the server answered the offer with an HTTP error)
  * :exc:`NeverConnected` (the offer was accepted and no call came of it)
  * :exc:`CallEndedEarly` (the call was over before the conversation was)
  * :exc:`Unanswered` (the agent did not answer a turn in time)
"""

from __future__ import annotations

__all__ = [
    "CallEndedEarly",
    "CallRefused",
    "HarnessError",
    "NeverConnected",
    "ServerUnreachable",
    "Unanswered",
    "WavError",
]


class HarnessError(Exception):
    """Root of everything the harness raises on purpose."""


class WavError(HarnessError):
    """A file is not a WAV file that can be spoken."""


class PictureFileError(HarnessError):
    """A file is no picture or video that can be shown."""


class ServerUnreachable(HarnessError):
    """Nothing answers HTTP at the URL."""


class CallRefused(HarnessError):
    """The server refused the offer; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NeverConnected(HarnessError):
    """The server took the offer, but no connection or no ``ready`` came of it."""


class CallEndedEarly(HarnessError):
    """The server ended the call, or its connection was lost."""


class Unanswered(HarnessError):
    """A turn was not answered within the time allowed."""
