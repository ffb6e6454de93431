"""A test on both sides of a call: the page that places it and the stand-in that takes it."""

from __future__ import annotations

import asyncio

from tests.browser.chromium import CallPage
from tests.browser.stand_in_server import StandInCall, StandInServer

__all__ = ["TIMEOUT_S", "take_audio_call", "take_call"]

TIMEOUT_S = 45
"""Long enough for a connection that fails, and the next one, on a machine that is busy."""


async def take_call(server: StandInServer, page: CallPage) -> StandInCall:
    """The call that the page has placed, shown as connected."""
    async with asyncio.timeout(TIMEOUT_S):
        call = await server.next_call()
    await page.wait_connected()
    return call


async def take_audio_call(server: StandInServer, page: CallPage) -> StandInCall:
    """An audio call that the person has started, after the text call of every page."""
    await take_call(server, page)
    await page.start_audio.click()
    return await take_call(server, page)
