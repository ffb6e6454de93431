"""The settings object."""

from __future__ import annotations

import dataclasses

import pytest

from rtc_server.settings import Limits, Settings


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().body_bytes = 1  # type: ignore[misc]


def test_the_defaults_serve_the_embedded_agent_to_this_machine_only() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.agent) == ("127.0.0.1", 8080, "local")
    assert not settings.metrics_public
    assert not settings.show_tools
    assert settings.allow_run_config == settings.allow_state == ()


def test_the_limits_are_those_of_the_contract() -> None:
    limits = Limits()
    assert limits.body_bytes == 64 * 1024
    assert limits.candidates_per_call == 32
    assert limits.connect_timeout_s == 15
    assert limits.channel_messages_per_s == 50
    assert limits.resume_s == 3600
    assert limits.drain_s < 5


def test_the_secret_is_not_shown_where_settings_are_printed() -> None:
    assert "SENTINEL" not in repr(Settings(auth_secret="SENTINEL"))
