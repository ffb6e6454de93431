"""What the stand-in knows and says: a memory, and answers that show what is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["EchoMind", "Memory", "Mind", "Reply", "spoken"]

Memory = tuple[tuple[str, str], ...]
"""The conversation so far: role (``user``, ``model``) and text of each turn."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model does next: a tool, or words."""

    words: str = ""
    tool: str | None = None
    args: Mapping[str, Any] | None = None
    thought: str | None = None
    grounding: Mapping[str, Any] | None = None


class Mind(Protocol):
    """Decides what is said."""

    def reply(self, memory: Memory, tools: Sequence[str]) -> Reply:
        """To the last turn of the memory, which is the user's."""

    def after_tool(self, memory: Memory, name: str, result: Any) -> Reply:
        """Once a tool has returned."""


def spoken(ms: float) -> str:
    """The transcript of so much speech."""
    return "I asked aloud" if ms < 2000 else "I told a long story aloud"


@dataclass(frozen=True, slots=True)
class EchoMind:
    """Says what was said to it.

    ``use NAME {json}`` uses a tool, ``search …`` names a source, ``think …`` thinks first,
    ``what did I say`` is answered with every user's turn that is remembered, ``count to N``
    with a long answer.
    """

    prefix: str = "You said"

    def reply(self, memory: Memory, tools: Sequence[str]) -> Reply:
        prompt = next((text for role, text in reversed(memory) if role == "user"), "")
        for pattern, make in _WAYS.items():
            if found := re.match(pattern, prompt, re.IGNORECASE):
                return make(found, memory)
        return Reply(f"{self.prefix}: {prompt}")

    def after_tool(self, memory: Memory, name: str, result: Any) -> Reply:
        return Reply(f"{name} says {json.dumps(result, sort_keys=True)}")


def _use(found: re.Match[str], memory: Memory) -> Reply:
    return Reply(tool=found[1], args=json.loads(found[2] or "{}"))


def _recall(found: re.Match[str], memory: Memory) -> Reply:
    turns = [text for role, text in memory[:-1] if role == "user"]
    return Reply("You said: " + "; ".join(turns) if turns else "You said nothing yet")


def _search(found: re.Match[str], memory: Memory) -> Reply:
    source = {"web": {"uri": "https://example.org/source", "title": "A source"}}
    grounding = {"groundingChunks": [source], "webSearchQueries": [found[1]]}
    return Reply(f"I found {found[1]}", grounding=grounding)


def _think(found: re.Match[str], memory: Memory) -> Reply:
    return Reply(f"I thought of {found[1]}", thought=f"Thinking of {found[1]}")


def _count(found: re.Match[str], memory: Memory) -> Reply:
    return Reply(" ".join(str(n) for n in range(1, int(found[1]) + 1)))


_WAYS: dict[str, Callable[[re.Match[str], Memory], Reply]] = {
    r"use (\w+) ?(\{.*\})?": _use,
    r"what did i say": _recall,
    r"search (.+)": _search,
    r"think (.+)": _think,
    r"count to (\d+)": _count,
}
