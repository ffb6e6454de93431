"""A model of several agents: it knows its colleagues' words, which ADK quotes, from the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.genai import types

from tests.gemini.mind import EchoMind, Memory, Reply

__all__ = ["Colleague", "voice"]

_OF_OTHERS = ("For context:", "(", "use ")
"""How ADK begins what another agent said or did, parts without words, and what calls a tool."""


@dataclass(frozen=True, slots=True)
class Colleague(EchoMind):
    """Takes the word when the last that happened is a colleague's doing; else as its parent."""

    def reply(self, memory: Memory, tools: Sequence[str]) -> Reply:
        prompt = memory[-1][1]
        if prompt.startswith(_OF_OTHERS[:2]):
            return Reply("I take over")
        if prompt == "What did I say?":
            users = [text for role, text in memory[:-1] if role == "user"]
            return Reply("; ".join(one for one in users if not one.startswith(_OF_OTHERS)))
        return EchoMind.reply(self, memory, tools)


def voice(name: str) -> types.SpeechConfig:
    """A voice of that name."""
    prebuilt = types.PrebuiltVoiceConfig(voice_name=name)
    return types.SpeechConfig(voice_config=types.VoiceConfig(prebuilt_voice_config=prebuilt))
