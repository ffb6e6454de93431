"""A session description as lines: parsed within limits, edited, written again.

Only the grammar of RFC 8866 that offers and answers need; nothing here knows aiortc.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Description", "Section", "SdpError", "parse_description"]

MAX_CHARACTERS = 64 * 1024
MAX_LINES = 1500
MAX_LINE_CHARACTERS = 2048
MAX_SECTIONS = 8

_LINE = re.compile(r"[a-z]=[^\x00-\x08\x0a-\x1f\x7f]*")
_MEDIA = re.compile(r"m=([A-Za-z0-9!#$%&'*+.^_`{|}~-]+) (\d{1,5})(?:/\d+)? ([A-Za-z/]+) (\S.*)")


class SdpError(ValueError):
    """The text is no session description; the message is one sentence."""


@dataclass(slots=True)
class Attributes:
    """The lines below ``v=`` or below an ``m=`` line, in order."""

    lines: list[str] = field(default_factory=list)

    def values(self, name: str) -> Iterator[str]:
        """The values of ``a=<name>:<value>`` lines."""
        start = f"a={name}:"
        for line in self.lines:
            if line.startswith(start):
                yield line.removeprefix(start).strip()

    def first(self, name: str) -> str | None:
        """The first value of that attribute."""
        return next(self.values(name), None)

    def has(self, name: str) -> bool:
        """Whether there is an ``a=<name>`` line without a value."""
        return f"a={name}" in self.lines


@dataclass(slots=True)
class Section(Attributes):
    """One media description (RFC 8866 section 5.14)."""

    kind: str = ""
    port: int = 0
    profile: str = ""
    formats: list[str] = field(default_factory=list)

    @property
    def mid(self) -> str | None:
        """The media identification tag (RFC 5888)."""
        return self.first("mid")

    @property
    def is_rejected(self) -> bool:
        """Port 0 without ``bundle-only`` (RFC 9143 section 6) is a section not offered."""
        return self.port == 0 and not self.has("bundle-only")

    @property
    def direction(self) -> str | None:
        """``sendrecv``, ``sendonly``, ``recvonly``, ``inactive``, or None where none is said."""
        return next((one for one in _DIRECTIONS if self.has(one)), None)

    def to_lines(self) -> list[str]:
        """The ``m=`` line and those below it."""
        formats = " ".join(self.formats)
        return [f"m={self.kind} {self.port} {self.profile} {formats}", *self.lines]


_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(slots=True)
class Description(Attributes):
    """A session description: the session's own lines and its media sections."""

    sections: list[Section] = field(default_factory=list)

    @property
    def bundle(self) -> list[str]:
        """The mids of the first BUNDLE group (RFC 9143); empty without one."""
        for value in self.values("group"):
            semantics, *mids = value.split()
            if semantics == "BUNDLE":
                return mids
        return []

    def __str__(self) -> str:
        lines = self.lines + [line for one in self.sections for line in one.to_lines()]
        return "".join(f"{line}\r\n" for line in lines)


def parse_description(text: str) -> Description:
    """Parse a session description.

    Raises:
        SdpError: it is none, or larger than anybody needs.
    """
    if len(text) > MAX_CHARACTERS:
        raise SdpError(f"The SDP is longer than {MAX_CHARACTERS} characters.")
    # Not splitlines(): that also splits at separators which are text in SDP.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0].strip() != "v=0":
        raise SdpError("The offer is not SDP: it does not begin with v=0.")
    if len(lines) > MAX_LINES:
        raise SdpError(f"The SDP has more than {MAX_LINES} lines.")

    description = Description()
    current: Attributes = description
    for line in lines:
        if len(line) > MAX_LINE_CHARACTERS:
            raise SdpError(f"The SDP has a line of more than {MAX_LINE_CHARACTERS} characters.")
        if _LINE.fullmatch(line) is None:
            raise SdpError("The offer is not SDP: a line is not of the form letter=value.")
        if not line.startswith("m="):
            current.lines.append(line.rstrip())
            continue
        if len(description.sections) == MAX_SECTIONS:
            raise SdpError(f"The SDP has more than {MAX_SECTIONS} media sections.")
        current = _parse_section(line)
        description.sections.append(current)
    return description


def _parse_section(line: str) -> Section:
    match = _MEDIA.fullmatch(line)
    if match is None or int(match[2]) > 65535:
        raise SdpError("The SDP has a malformed media line.")
    return Section(
        kind=match[1], port=int(match[2]), profile=match[3].upper(), formats=match[4].split()
    )
