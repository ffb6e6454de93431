"""The embedded agent put together: an ``LlmAgent`` like any other."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from google.adk.agents import LlmAgent
from google.adk.agents.readonly_context import ReadonlyContext

from .cascade import LocalCascade
from .inference import SpeechModels
from .language_model import RuleBasedLlm
from .speech_to_text import SpeechToText
from .text_to_speech import TextToSpeech
from .timers import STATE_KEY, instruction_line, read_timers
from .tools import Tools

__all__ = ["AGENT_NAME", "create_local_agent", "shared_models"]

AGENT_NAME = "local_agent"

_DESCRIPTION = (
    "Answers by voice without the internet: the time, the date, sums, units, what it was told, "
    "timers and stories."
)


@functools.cache
def shared_models() -> SpeechModels:
    """Return the models of this process; nothing is loaded before they are used."""
    return SpeechModels()


def create_local_agent(
    models: SpeechModels | None = None, clock: Callable[[], float] = time.time
) -> LlmAgent:
    """Create the agent on ``models``, those of the process if None.

    ``clock`` gives the seconds since the epoch, by which timers are due.
    """
    models = models or shared_models()
    return LlmAgent(
        name=AGENT_NAME,
        description=_DESCRIPTION,
        model=LocalCascade(
            model=RuleBasedLlm(),
            stt=SpeechToText(models),
            tts=TextToSpeech(models.voice),
            clock=clock,
        ),
        instruction=_instruction,
        tools=list(Tools(clock).as_adk_tools()),
    )


def _instruction(context: ReadonlyContext) -> str:
    """Tell the model of the session's timers: ADK asks for this whenever a run begins."""
    return f"{_DESCRIPTION}\n{instruction_line(read_timers(context.state.get(STATE_KEY)))}"
