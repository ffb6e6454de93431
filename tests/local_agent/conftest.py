"""The models, loaded once for all tests of the embedded agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rtc_server.local_agent.inference import SpeechModels


@pytest.fixture(scope="session")
def models() -> Iterator[SpeechModels]:
    """The recogniser, the voice and the voice detection, warm."""
    models = SpeechModels()
    asyncio.run(models.warm_up())
    yield models
    models.close()
