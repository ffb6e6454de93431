"""Session, memory and artifact services by their URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.adk.artifacts.file_artifact_service import FileArtifactService
from google.adk.memory.in_memory_memory_service import InMemoryMemoryService
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from rtc_server.agent.sessions.adk_services import _engine_options, open_services, shown_url
from rtc_server.errors import ConfigurationError
from rtc_server.settings import Settings


async def test_without_urls_all_is_left_to_the_default() -> None:
    async with open_services(Settings()) as services:
        assert (services.sessions, services.memory, services.artifacts) == (None, None, None)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", InMemorySessionService),
        ("sqlite:///{folder}/s.db", SqliteSessionService),
        ("sqlite+aiosqlite:///{folder}/a.db", DatabaseSessionService),
    ],
)
async def test_a_session_url_opens_the_service_of_its_scheme(
    url: str, kind: type[Any], tmp_path: Path
) -> None:
    """With its tables made: a second server finds a session of the first."""
    settings = Settings(session_db=url.format(folder=tmp_path))
    async with open_services(settings) as services:
        assert isinstance(services.sessions, kind)
        await services.sessions.create_session(app_name="a", user_id="u", session_id="s")
        if kind is InMemorySessionService:
            return
    async with open_services(settings) as services:
        assert services.sessions is not None
        assert await services.sessions.get_session(app_name="a", user_id="u", session_id="s")


async def test_memory_and_artifact_services_have_urls_too(tmp_path: Path) -> None:
    settings = Settings(memory_service="memory://", artifact_service=f"file://{tmp_path}")
    async with open_services(settings) as services:
        assert isinstance(services.memory, InMemoryMemoryService)
        assert isinstance(services.artifacts, FileArtifactService)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"session_db": "file.db"}, "named by a URL"),
        ({"session_db": "sqlite:////no/such/folder/x.db"}, "sqlite:////no/such/folder/x.db"),
        ({"session_db": "postgresql://bob:SENTINEL@127.0.0.1:1/x"}, "postgresql://127.0.0.1:1/x"),
        ({"session_db": "nosuch://bob:SENTINEL@host/x"}, "nosuch://host/x"),
        ({"session_db": "mysql+aiomysql://bob:SENTINEL@host/x"}, "aiomysql is not installed"),
        ({"memory_service": "nosuch://bob:SENTINEL@host"}, "The memory service nosuch://host"),
        ({"artifact_service": "nosuch://host/?key=SENTINEL"}, "The artifact service nosuch://"),
        ({"artifact_service": "file://"}, "The artifact service file://"),
    ],
)
async def test_a_service_that_cannot_be_used_is_said_in_a_sentence_without_a_secret(
    options: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(ConfigurationError) as caught:
        async with open_services(Settings(**options)):
            pass
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "SENTINEL" not in str(caught.value) + caplog.text


def test_a_url_is_shown_without_who_and_how() -> None:
    assert shown_url("postgresql://u:p@h:5432/db?password=p") == "postgresql://h:5432/db"
    assert shown_url("postgresql://u:p@h:port/db") == "(no URL)"


def test_settings_that_are_printed_show_no_url() -> None:
    settings = Settings(
        session_db="SENTINEL", memory_service="SENTINEL", artifact_service="SENTINEL"
    )
    assert "SENTINEL" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "is_hidden"),
    [
        ("sqlite+aiosqlite:///a.db", True),
        ("postgresql+asyncpg://h/n", True),
        ("mysql+aiomysql://h/n", True),
        ("oracle+oracledb://h/n", True),
        ("mssql+aioodbc://h/n", True),
        ("sqlite:///a.db", False),
        ("memory://", False),
        ("agentengine://1", False),
        ("of-an-agent-s-own://x", False),
    ],
)
def test_no_engine_of_sqlalchemy_says_what_was_to_be_stored(url: str, is_hidden: bool) -> None:
    """Other services do not know the option, and may refuse it."""
    assert _engine_options(url).get("hide_parameters", False) is is_hidden
