"""What the doctor finds, and what it says to mend."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from rtc_server import doctor
from rtc_server.cli import main
from rtc_server.doctor import State
from rtc_server.peer import aiortc_fast_path
from rtc_server.settings import Settings


def test_opus_is_encoded_and_decoded() -> None:
    assert doctor.check_opus().state is State.OK


def test_the_path_of_the_packets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another aiortc than the one that is known is worth a note, and no more."""
    assert doctor.check_packet_path().state is State.OK
    monkeypatch.setattr(aiortc_fast_path, "AIORTC_VERSION", "1.15.0")
    finding = doctor.check_packet_path()
    assert finding.state is State.NOTE
    assert "1.15.0" in finding.words


def test_the_addresses_of_the_machine_are_named() -> None:
    finding = doctor.check_addresses(["192.0.2.7", "2001:db8::7"])
    assert finding.state is State.OK
    assert "192.0.2.7" in finding.words


def test_loopback_is_no_address_that_ice_offers() -> None:
    assert not {"127.0.0.1", "::1"}.intersection(doctor.candidate_addresses())


def test_with_only_loopback_it_says_that_browsers_cannot_connect_and_what_to_do() -> None:
    finding = doctor.check_addresses([])
    assert finding.state is State.NOTE
    assert "browser gathers no candidate" in finding.words
    assert "bring up a network interface" in finding.words


def test_a_datagram_goes_over_loopback() -> None:
    assert doctor.check_udp(None).state is State.OK


def test_a_free_port_of_the_range_is_found_beside_one_that_is_taken() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert doctor.check_udp((port, port)).state is State.BROKEN
        assert "--udp-ports" in doctor.check_udp((port, port)).words
        wide = doctor.check_udp((port, min(port + 200, 65535)))
        assert wide.state is State.OK


def test_a_free_port_is_free_and_a_taken_one_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        finding = doctor.check_port("127.0.0.1", port)
        assert finding.state is State.BROKEN
        assert "--port" in finding.words
    assert doctor.check_port("127.0.0.1", port).state is State.OK
    assert doctor.check_port("::1", 0).state in (State.OK, State.BROKEN)  # without IPv6


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    finding = doctor.check_port("192.0.2.77", 0)
    assert finding.state is State.BROKEN
    assert "--host" in finding.words


def test_a_weak_secret_is_broken_and_not_repeated() -> None:
    assert doctor.check_secret(Settings()).state is State.OK
    assert doctor.check_secret(Settings(auth_secret="x" * 32)).state is State.OK
    finding = doctor.check_secret(Settings(auth_secret="hunter2"))
    assert finding.state is State.BROKEN
    assert "hunter2" not in finding.words


@pytest.mark.parametrize(
    ("environ", "state", "word"),
    [
        ({"GOOGLE_API_KEY": "SENTINEL"}, State.OK, "AI Studio"),
        ({"GEMINI_API_KEY": "SENTINEL"}, State.OK, "AI Studio"),
        ({}, State.NOTE, ".env"),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "TRUE"}, State.NOTE, "GOOGLE_CLOUD_PROJECT"),
        (
            {
                "GOOGLE_GENAI_USE_VERTEXAI": "1",
                "GOOGLE_CLOUD_PROJECT": "SENTINEL",
                "GOOGLE_CLOUD_LOCATION": "SENTINEL",
            },
            State.OK,
            "Vertex",
        ),
    ],
)
def test_keys_are_looked_for_and_never_shown(
    environ: Mapping[str, str], state: State, word: str
) -> None:
    finding = doctor.check_keys("my_agent", environ)
    assert finding.state is state
    assert word in finding.words
    assert "SENTINEL" not in finding.words


def test_the_embedded_agent_needs_no_key() -> None:
    assert doctor.check_keys("local", {}).state is State.OK


def test_an_agent_that_does_not_load_is_broken() -> None:
    finding = doctor.check_agent("no.such.package:agent")
    assert finding.state is State.BROKEN


def test_a_fallback_that_cannot_be_asked_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    assert doctor.check_fallback("no-such-model").state is State.BROKEN
    assert doctor.check_fallback("gemini-live-2.5-flash").state is State.BROKEN
    monkeypatch.setenv("GOOGLE_API_KEY", "SENTINEL")
    finding = doctor.check_fallback("gemini-live-2.5-flash")
    assert finding.state is State.OK
    assert "SENTINEL" not in finding.words


def test_the_command_says_a_line_each_and_fails_if_anything_is_broken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["doctor", "no.such.package:agent", "--port", port])
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines if "HTTP port:" in line] == ["BROKEN"]
    assert [line.split()[0] for line in lines if "agent:" in line] == ["BROKEN"]
    assert [line.split()[0] for line in lines if "Opus:" in line] == ["ok"]


def test_where_conversations_are_kept_is_tried(tmp_path: Path) -> None:
    assert "in memory" in doctor.check_services(Settings()).words
    finding = doctor.check_services(Settings(session_db=f"sqlite:///{tmp_path}/s.db"))
    assert finding.state is State.OK
    assert "s.db can be used" in finding.words


def test_a_database_that_cannot_be_used_is_broken_and_its_password_not_shown() -> None:
    url = "postgresql://rtc:SENTINEL@127.0.0.1:1/calls"
    result = CliRunner().invoke(main, ["doctor", "--port", "0"], env={"RTC_SERVER_SESSION_DB": url})
    assert result.exit_code == 1
    assert "BROKEN  sessions: The session service postgresql://127.0.0.1:1/calls" in result.output
    assert "SENTINEL" not in result.output
