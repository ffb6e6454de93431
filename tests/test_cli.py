"""Commands, options and exit statuses."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from rtc_server import __version__
from rtc_server.auth import Caller, Tokens
from rtc_server.cli import main
from rtc_server.errors import ConfigurationError
from rtc_server.settings import Limits, Settings
from rtc_server.workers.front import WorkerLogs

SECRET = "correct horse battery staple 0123456789"


def invoke(*args: str, **environ: str) -> Result:
    return CliRunner().invoke(main, args, env=environ)


def is_one_sentence(result: Result) -> bool:
    """Whether the failure is one line that starts with ``Error:``, and no traceback."""
    return result.stdout == "" and bool(re.fullmatch(r"Error: .+\n", result.stderr))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What ``serve`` would have served; no server is started."""
    seen: list[Settings] = []

    async def serve(settings: Settings, *, on_started: Callable[[str], None]) -> None:
        seen.append(settings)
        on_started("http://localhost:8080")

    monkeypatch.setattr("rtc_server.app.serve", serve)
    # What is logged, and which warnings are shown, is left to the tests.
    monkeypatch.setattr("rtc_server.logs.configure", lambda log_format, level: None)
    monkeypatch.setattr("rtc_server.logs.hush_adk", lambda: None)
    return seen


SILENT = """
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm

class Silent(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        return
        yield

    def connect(self, llm_request):
        raise OSError

root_agent = LlmAgent(name='silent', model=Silent(model='silent'))
"""
"""An agent that can be served, and never be reached."""


class TestServe:
    def test_without_options_the_embedded_agent_is_served_on_loopback(
        self, served: list[Settings]
    ) -> None:
        result = invoke("serve")
        assert result.exit_code == 0, result.output
        assert served == [Settings()]
        assert "Serving local on http://localhost:8080" in result.stdout

    def test_every_option_reaches_the_settings(self, served: list[Settings]) -> None:
        line = (
            "serve my_agent --host ::1 --port 0 --allow-origin https://a.example "
            "--allow-origin https://b.example,https://c.example --allow-host rtc.example "
            "--allow-run-config max_llm_calls,speech_config --allow-state city --show-tools "
            "--ice-server stun:stun.example --public-ip 192.0.2.7 --udp-ports 50000-50999 "
            "--max-calls 3 --max-call-seconds 600 --idle-seconds 60 --resume-seconds 30 "
            "--drain-seconds 1 --tls-cert c.pem --tls-key k.pem --modality text --voice Kore "
            "--greeting Hello --text-during-speech queue --metrics-public"
        )
        result = invoke(*line.split(), "--auth-secret", SECRET)
        assert result.exit_code == 0, result.output
        assert served == [
            Settings(
                host="::1",
                port=0,
                agent="my_agent",
                tls_cert="c.pem",
                tls_key="k.pem",
                auth_secret=SECRET,
                allow_origins=("https://a.example", "https://b.example", "https://c.example"),
                allow_hosts=("rtc.example",),
                allow_run_config=("max_llm_calls", "speech_config"),
                allow_state=("city",),
                show_tools=True,
                ice_servers=("stun:stun.example",),
                public_ips=("192.0.2.7",),
                udp_ports=(50000, 50999),
                modality="text",
                voice="Kore",
                greeting="Hello",
                text_during_speech="queue",
                metrics_public=True,
                limits=Limits(
                    max_calls=3, max_call_s=600.0, idle_s=60.0, resume_s=30.0, drain_s=1.0
                ),
            )
        ]

    def test_the_environment_sets_what_the_command_line_does_not(
        self, served: list[Settings]
    ) -> None:
        environ = {
            "RTC_SERVER_PORT": "9000",
            "RTC_SERVER_VOICE": "Kore",
            "RTC_SERVER_ALLOW_HOST": "a.example,b.example c.example",
            "RTC_SERVER_SHOW_TOOLS": "1",
            "RTC_SERVER_UDP_PORTS": "50000-50001",
        }
        result = invoke("serve", "--voice", "Puck", **environ)
        assert result.exit_code == 0, result.output
        settings = served[0]
        assert (settings.port, settings.voice, settings.show_tools) == (9000, "Puck", True)
        assert settings.allow_hosts == ("a.example", "b.example", "c.example")
        assert settings.udp_ports == (50000, 50001)

    @pytest.mark.parametrize(
        "text", ['{"a": ' + "[" * 50_000, '{"a": ' + "[" * 900 + "]" * 900 + "}", '{"a": 1e999}']
    )
    def test_a_run_config_that_nobody_can_take_is_refused_in_a_sentence(
        self, served: list[Settings], tmp_path: Path, text: str
    ) -> None:
        file = tmp_path / "run_config.json"
        file.write_text(text)
        result = invoke("serve", "--run-config", str(file))
        assert result.exit_code == 2
        assert "run_config.json cannot be taken" in result.stderr
        assert "Traceback" not in result.output
        assert not served

    def test_several_workers_are_served_by_a_front_with_the_same_settings_and_logs(
        self, served: list[Settings], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fronts: list[tuple[Settings, WorkerLogs]] = []

        async def serve(settings: Settings, worker_logs: WorkerLogs, *, on_started: object) -> None:
            fronts.append((settings, worker_logs))

        monkeypatch.setattr("rtc_server.workers.front.serve", serve)
        result = invoke("serve", "--log-format", "json", RTC_SERVER_WORKERS="3")
        assert result.exit_code == 0, result.output
        assert fronts == [(Settings(workers=3), WorkerLogs("json", "info"))]
        assert not served

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "rtc.example"])
    def test_other_machines_may_call_only_with_a_secret_or_when_said_so(
        self, served: list[Settings], host: str
    ) -> None:
        result = invoke("serve", "--host", host)
        assert result.exit_code == 2
        assert is_one_sentence(result)
        assert "--no-auth" in result.stderr
        assert not served
        assert invoke("serve", "--host", host, "--auth-secret", SECRET).exit_code == 0
        assert invoke("serve", "--host", host, "--no-auth").exit_code == 0

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost", "LOCALHOST"])
    def test_on_loopback_no_secret_is_needed(self, served: list[Settings], host: str) -> None:
        assert invoke("serve", "--host", host).exit_code == 0

    @pytest.mark.parametrize(
        "options",
        [
            ["--port", "65536"],
            ["--port", "http"],
            ["--udp-ports", "50000"],
            ["--udp-ports", "2-1"],
            ["--udp-ports", "0-5"],
            ["--udp-ports", "1-70000"],
            ["--udp-ports", "\u0661-\u0662"],
            ["--public-ip", "rtc.example"],
            ["--max-calls", "0"],
            ["--workers", "0"],
            ["--idle-seconds", "-1"],
            ["--modality", "video"],
            ["--log-level", "loud"],
            ["--tls-cert", "c.pem"],
            ["--tls-key", "k.pem"],
            ["--nonsense"],
        ],
    )
    def test_a_value_that_cannot_work_is_refused_with_status_2(
        self, served: list[Settings], options: list[str]
    ) -> None:
        result = invoke("serve", *options)
        assert result.exit_code == 2
        assert "Error: " in result.stderr
        assert not served

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (["--ice-server", "nonsense"], "nonsense"),
            (["--ice-server", "stun:stun.example,http://stun.example"], "http://stun.example"),
            (["--ice-server", "stun:stun.example?transport=udp"], "?transport=udp"),
            (["--ice-server", "turn:"], "turn:"),
            (["--allow-state", "mood,app:x"], "app:x"),
            (["--allow-state", "user:name"], "user:name"),
            (["--allow-state", "temp:x"], "temp:x"),
            (["--allow-state", "rtc:live_session"], "rtc:live_session"),
            (["--voice", ""], "--voice"),
            (["--language", " "], "--language"),
            (["--fallback-model", ""], "--fallback-model"),
        ],
    )
    def test_a_value_that_no_call_could_use_is_refused_in_one_sentence(
        self, served: list[Settings], options: list[str], named: str
    ) -> None:
        result = invoke("serve", *options)
        assert result.exit_code == 2
        assert is_one_sentence(result)
        assert named in result.stderr
        assert not served

    @pytest.mark.parametrize(
        "url",
        [
            "stun:stun.example",
            "stun:192.0.2.7:3478",
            "stuns:[2001:db8::1]:5349",
            "turn:turn.example:3478?transport=tcp",
            "turns:turn.example",
        ],
    )
    def test_urls_of_ice_servers_are_taken_as_browsers_take_them(
        self, served: list[Settings], url: str
    ) -> None:
        assert invoke("serve", "--ice-server", url).exit_code == 0
        assert served[0].ice_servers == (url,)

    def test_a_variable_of_the_environment_that_is_empty_says_nothing(
        self, served: list[Settings]
    ) -> None:
        assert invoke("serve", RTC_SERVER_VOICE="", RTC_SERVER_ICE_SERVER="").exit_code == 0
        assert (served[0].voice, served[0].ice_servers) == (None, ())

    def test_what_stops_the_start_is_one_sentence_also_from_within_a_task_group(
        self, served: list[Settings], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def serve(settings: Settings, *, on_started: object) -> None:
            async with asyncio.TaskGroup():
                raise ConfigurationError("The port is taken.")

        monkeypatch.setattr("rtc_server.app.serve", serve)
        result = invoke("serve")
        assert (result.exit_code, result.stderr) == (2, "Error: The port is taken.\n")

    def test_a_bug_is_not_taken_for_a_mistake_of_the_operator(
        self, served: list[Settings], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def serve(settings: Settings, *, on_started: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("rtc_server.app.serve", serve)
        assert isinstance(invoke("serve").exception, RuntimeError)


class TestToken:
    def test_a_minted_token_is_good_for_the_server(self) -> None:
        result = invoke("token", "--user-id", "ann", "--session-id", "s1", "--auth-secret", SECRET)
        assert result.exit_code == 0
        token = result.stdout.strip()
        issued_at = _claim(token, "iat")
        assert Tokens(SECRET).verify(token, now=issued_at) == Caller("ann", "s1")
        assert _claim(token, "exp") - issued_at in (60, 61)

    def test_the_secret_may_come_from_the_environment(self) -> None:
        result = invoke("token", "--user-id", "ann", "--ttl", "5", RTC_SERVER_AUTH_SECRET=SECRET)
        assert result.exit_code == 0

    def test_without_a_secret_there_is_no_token(self) -> None:
        result = invoke("token", "--user-id", "ann")
        assert result.exit_code == 2
        assert is_one_sentence(result)
        assert "RTC_SERVER_AUTH_SECRET" in result.stderr

    def test_a_weak_secret_signs_nothing(self) -> None:
        result = invoke("token", "--user-id", "ann", "--auth-secret", "short")
        assert result.exit_code == 2
        assert is_one_sentence(result)
        assert "short " not in result.stderr

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--user-id", ""],
            ["--user-id", "ann", "--session-id", " "],
            ["--user-id", "ann", "--ttl", "0"],
            ["--user-id", "ann", "--ttl", "inf"],
        ],
    )
    def test_a_token_that_no_offer_could_use_is_refused(self, options: list[str]) -> None:
        result = invoke("token", *options, RTC_SERVER_AUTH_SECRET=SECRET)
        assert result.exit_code == 2
        assert result.stdout == ""


def _claim(token: str, name: str) -> int:
    from joserfc.jws import extract_compact

    found = re.search(rb'"%s":(\d+)' % name.encode(), extract_compact(token.encode()).payload)
    assert found is not None
    return int(found[1])


class TestCommands:
    def test_every_option_has_its_environment_variable(self) -> None:
        context = click.Context(main)
        for name in main.list_commands(context):
            command = main.get_command(context, name)
            assert command is not None
            for option in command.params:
                if isinstance(option, click.Option):
                    (flag,) = (one for one in option.opts if one.startswith("--"))
                    variable = "RTC_SERVER_" + flag[2:].replace("-", "_").upper()
                    # A standard name may stand beside it.
                    named = [option.envvar] if isinstance(option.envvar, str) else option.envvar
                    assert named, (name, flag)
                    assert named[0] == variable, (name, flag)
                    assert option.show_envvar, (name, flag)

    def test_the_harness_is_a_command(self) -> None:
        result = invoke("call", "--help")
        assert result.exit_code == 0
        assert "WebRTC call" in result.stdout

    def test_an_unknown_command_is_refused(self) -> None:
        assert invoke("dance").exit_code == 2


class TestProcess:
    def test_the_module_runs_as_the_command_does(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "rtc_server", "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert __version__ in done.stdout

    def test_nothing_heavy_is_imported_before_it_is_needed(self) -> None:
        code = (
            "import sys, rtc_server.cli; "
            "print({'aiortc', 'aiohttp', 'av', 'google.adk', 'numpy'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "set()"

    def test_an_agent_that_is_not_there_is_one_sentence_and_status_2(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "rtc_server", "serve", str(tmp_path / "no_agent")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert re.fullmatch(r"Error: .+\n", done.stderr)

    def test_a_model_that_is_not_live_is_one_sentence_and_status_2(self, tmp_path: Path) -> None:
        (tmp_path / "agent.py").write_text(SILENT.replace("connect", "disconnect"))
        done = subprocess.run(
            [sys.executable, "-m", "rtc_server", "serve", str(tmp_path), "--port", "0"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        told = r"^Error: The agent \w+ uses the model silent, to which there is no live connection"
        assert re.search(told, done.stderr, re.MULTILINE)
        assert "Traceback" not in done.stderr

    def test_a_taken_port_is_one_sentence_and_status_2(self, tmp_path: Path) -> None:
        (tmp_path / "agent.py").write_text(SILENT)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = subprocess.run(
                [sys.executable, "-m", "rtc_server", "serve", str(tmp_path), "--port", port],
                capture_output=True,
                text=True,
            )
        assert done.returncode == 2
        told = f"^Error: Cannot listen on 127.0.0.1 port {port}: {os.strerror(errno.EADDRINUSE)}\\."
        assert re.search(told, done.stderr, re.MULTILINE)
        assert "Traceback" not in done.stderr
