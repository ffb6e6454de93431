"""A real PostgreSQL for tests: a cluster of its own on a free port of loopback."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.held_port import hold_port
from tests.waiting import until

__all__ = ["PostgresProcess"]

_PASSWORD = "SENTINEL-of-the-database"
_START_S = 60.0
_STOP_S = 15.0


class PostgresProcess:
    """A server with one user and a password, from ``async with`` until its end.

    PostgreSQL does not run as root; the user that Debian's package made is taken then.
    """

    def __init__(self) -> None:
        self._bin = _find_bin()
        self._folder = Path(tempfile.mkdtemp(prefix="rtc-postgres-"))
        self._as_user = _as_unprivileged(self._folder)
        self._held = hold_port()
        self._port: int = self._held.getsockname()[1]
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """As an operator writes it, password included."""
        return f"postgresql://rtc:{_PASSWORD}@127.0.0.1:{self._port}/postgres"

    @property
    def password(self) -> str:
        return _PASSWORD

    async def __aenter__(self) -> PostgresProcess:
        try:
            await self._make()
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        with self._held:
            await self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self) -> None:
        """Start it, or start it again, and wait until it takes connections."""
        self._process = await self._run(
            "postgres", "-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1",
            "-k", str(self._folder), "-F",
        )  # fmt: skip
        async with asyncio.timeout(_START_S):
            while not await self._is_ready():
                assert self._process.returncode is None, "PostgreSQL has ended"
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[None]:
        """Meanwhile nothing can be read of a session or written to one: who tries waits."""
        connection = await asyncpg.connect(self.url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()

    async def until_waited_for(self) -> None:
        """Wait until somebody waits for a lock: a write is on its way."""
        connection = await asyncpg.connect(self.url)

        async def is_waited_for() -> bool:
            query = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
            return bool(await connection.fetchval(query))

        try:
            await until(is_waited_for)
        finally:
            await connection.close()

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """Meanwhile all can be read and nothing written, as while a standby is promoted."""
        await self._set_read_only("on")
        try:
            yield
        finally:
            await self._set_read_only("off")

    async def _set_read_only(self, value: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    async def stop(self) -> None:
        """End it at once; connections to it break."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_STOP_S):
            await process.wait()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    async def _make(self) -> None:
        secret = self._folder / "password"
        secret.write_text(_PASSWORD)
        secret.chmod(0o644)  # of a test
        made = await self._run(
            "initdb", "-D", str(self._data), "-U", "rtc", "--auth=scram-sha-256",
            f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C",
        )  # fmt: skip
        assert await made.wait() == 0, "initdb failed"

    async def _run(self, program: str, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._as_user,
            str(self._bin / program),
            *arguments,
            cwd=self._folder,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )

    async def _is_ready(self) -> bool:
        asked = await self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port))
        return await asked.wait() == 0


def _find_bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if found:
        return found[-1].parent
    if on_path is not None:
        return Path(on_path).parent
    pytest.skip("PostgreSQL is missing: apt-get install postgresql")


def _as_unprivileged(folder: Path) -> list[str]:
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
