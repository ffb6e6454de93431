"""Where sessions, memories and artifacts are kept: ADK's services, by their URLs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from google.adk.artifacts.base_artifact_service import BaseArtifactService
from google.adk.memory.base_memory_service import BaseMemoryService
from google.adk.sessions.base_session_service import BaseSessionService

from ...errors import ConfigurationError
from ...settings import Settings

__all__ = ["AdkServices", "open_services", "shown_url"]

logger = logging.getLogger(__name__)

S = TypeVar("S")

_TRY_S = 10.0
"""A database that does not answer within this is not there."""

_TRIES = 3
"""Several processes may make the tables at once, and all but one fail."""

_TRY_AGAIN_S = 0.3
_CLOSE_S = 2.0

_OF_ADK = ("agentengine", "memory", "sqlite")
"""Schemes of services that have no engine of SQLAlchemy's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdkServices:
    """What an agent's runner is given; None: ADK's own in memory."""

    sessions: BaseSessionService | None = None
    memory: BaseMemoryService | None = None
    artifacts: BaseArtifactService | None = None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[AdkServices]:
    """The services that the operator named, connected to and with their tables made.

    Leaving the context closes them.

    Raises:
        ConfigurationError: one cannot be used; no password is in what it says.
    """
    async with AsyncExitStack() as stack:
        sessions = memory = artifacts = None
        folder = _folder(settings.agent)
        if settings.session_db is not None:
            sessions = _made("session", settings.session_db, lambda url: _sessions(url, folder))
            stack.push_async_callback(_close, sessions)
            await _try(sessions, settings.session_db)
        if settings.memory_service is not None:
            memory = _made("memory", settings.memory_service, lambda url: _memory(url, folder))
            stack.push_async_callback(_close, memory)
        if settings.artifact_service is not None:
            artifacts = _made(
                "artifact", settings.artifact_service, lambda url: _artifacts(url, folder)
            )
            stack.push_async_callback(_close, artifacts)
        yield AdkServices(sessions=sessions, memory=memory, artifacts=artifacts)


def shown_url(url: str) -> str:
    """``url`` without user, password and parameters, for people and logs."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
    except ValueError:
        return "(no URL)"


def _folder(agent: str) -> Path:
    """Where ADK looks for an ``.env`` with the project of a service of Google's."""
    folder = Path(agent)
    return folder if folder.is_dir() else Path.cwd()


def _made(kind: str, url: str, make: Callable[[str], S]) -> S:
    if "://" not in url:
        raise ConfigurationError(
            f"The {kind} service is named by a URL, such as sqlite:///file.db or memory://."
        )
    try:
        return make(url)
    except Exception as error:  # whatever a factory of ADK's or of an agent's raises
        raise ConfigurationError(
            f"The {kind} service {shown_url(url)} cannot be used ({_reason(error)})."
        ) from None


def _sessions(url: str, folder: Path) -> BaseSessionService:
    from google.adk.cli.utils.service_factory import create_session_service_from_options

    uri = _with_driver(url)
    return create_session_service_from_options(
        base_dir=folder,
        session_service_uri=uri,
        session_db_kwargs=_engine_options(uri),
        use_local_storage=False,
    )


def _memory(url: str, folder: Path) -> BaseMemoryService:
    from google.adk.cli.utils.service_factory import create_memory_service_from_options

    return create_memory_service_from_options(base_dir=folder, memory_service_uri=url)


def _artifacts(url: str, folder: Path) -> BaseArtifactService:
    from google.adk.cli.utils.service_factory import create_artifact_service_from_options

    return create_artifact_service_from_options(
        base_dir=folder, artifact_service_uri=url, strict_uri=True, use_local_storage=False
    )


def _with_driver(url: str) -> str:
    """A PostgreSQL URL as everybody writes it, as SQLAlchemy and asyncpg take it."""
    scheme, rest = url.split("://", 1)
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+asyncpg"
    if scheme == "postgresql+asyncpg":
        rest = rest.replace("?sslmode=", "?ssl=").replace("&sslmode=", "&ssl=")
    return f"{scheme}://{rest}"


def _engine_options(url: str) -> dict[str, Any]:
    """For services on SQLAlchemy: what was said is in no error and no log."""
    scheme = url.split("://", 1)[0]
    if scheme == "postgresql+asyncpg":
        timeouts = {"timeout": _TRY_S, "command_timeout": _TRY_S}
        return {"hide_parameters": True, "connect_args": timeouts}
    if scheme not in _OF_ADK and _is_of_sqlalchemy(url):
        return {"hide_parameters": True}
    return {}


def _is_of_sqlalchemy(url: str) -> bool:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        make_url(url).get_dialect()
    except (ArgumentError, NoSuchModuleError):
        return False
    except Exception:  # whatever a dialect raises when it is imported: it will say so again
        return True
    return True


async def _try(service: BaseSessionService, url: str) -> None:
    reason = ""
    for _ in range(_TRIES):
        try:
            async with asyncio.timeout(_TRY_S):
                await service.list_sessions(app_name="rtc_server", user_id="nobody")
            return
        except Exception as error:  # whatever a driver raises
            reason = _reason(error)
        # After the last one, too: a driver's thread that ends still tells the event loop.
        await asyncio.sleep(_TRY_AGAIN_S)
    raise ConfigurationError(f"The session service {shown_url(url)} cannot be used ({reason}).")


async def _close(service: object) -> None:
    close = getattr(service, "close", None)
    if close is None:
        return
    try:
        async with asyncio.timeout(_CLOSE_S):
            await close()
    except Exception as error:  # whatever a driver raises; the server is closing
        logger.warning("a service does not close: %s", type(error).__name__)


def _reason(error: BaseException) -> str:
    """The kind of an error: what a driver says may hold a password."""
    if isinstance(error, TimeoutError):
        return f"no answer within {_TRY_S:g} s"
    cause = getattr(error, "orig", None) or error.__cause__ or error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, ImportError) and cause.name:
        return f"its package {cause.name} is not installed"
    return type(cause).__name__
