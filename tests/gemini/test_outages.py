"""An outage of the stand-in: nobody is served, and each attempt is counted where that is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.gemini.server import StandIn
from tests.waiting import until


async def knock(api: StandIn) -> None:
    """Connect, and shake hands."""
    port = urlsplit(api.environment["GOOGLE_GEMINI_BASE_URL"]).port
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anybody)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def test_who_connects_in_an_outage_is_reset_and_counted(tmp_path: Path) -> None:
    async with StandIn.running(tmp_path, counts_refused=True) as api:
        await api.refuse_for(60.0, drop=True)
        await until(lambda: api.is_resetting)
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                await knock(api)
        assert len(api.refused_at) == 2
        assert api.attempts == 0


async def test_nothing_listens_in_an_outage_of_a_stand_in_that_does_not_count(
    tmp_path: Path,
) -> None:
    async with StandIn.running(tmp_path) as api:
        await api.refuse_for(60.0)

        async def is_refused() -> bool:
            try:
                await knock(api)
            except ConnectionError as error:  # a reset, if it came while the port was closed
                return isinstance(error, ConnectionRefusedError)
            return False

        await until(is_refused)
        assert api.refused_at == []


@pytest.mark.parametrize("counts_refused", [False, True])
async def test_it_serves_again_after_an_outage(counts_refused: bool, tmp_path: Path) -> None:
    async with StandIn.running(tmp_path, counts_refused=counts_refused) as api:
        await api.refuse_for(0.05)

        async def is_served() -> bool:
            try:
                await knock(api)
            except ConnectionError:
                return False
            return True

        await until(lambda: bool(api.outages))
        await until(is_served)
