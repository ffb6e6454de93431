"""A WebRTC media server that puts a person in a call with an ADK live agent."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
