"""``rtc-server call`` as it is typed: the order of turns, exit status, files, sentences."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from rtc_harness.cli import call_command, turn_kinds
from rtc_harness.levels import SAMPLE_RATE
from rtc_harness.wav import read_wav, write_wav

from .stand_in_server import Behaviour, silence, stand_in_server, tone


async def run(*args: str, env: dict[str, str] | None = None) -> Result:
    """Run the command beside the server: it has an event loop, so a thread, of its own."""
    return await asyncio.to_thread(CliRunner().invoke, call_command, list(args), env=env)


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "question.wav"
    write_wav(path, tone(0.2))
    return str(path)


# --------------------------------------------------------------------- order


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("a.wav", ["wav"]),
        ("--text hi a.wav --text ho", ["text", "wav", "text"]),
        ("a.wav --text=hi b.wav", ["wav", "text", "wav"]),
        ("--url http://x a.wav --timeout 3 --text hi b.wav", ["wav", "text", "wav"]),
        ("--save out.wav --report=r.json a.wav", ["wav"]),
        ("--text --text a.wav", ["text", "wav"]),  # a text that looks like an option
        ("--text hi -- --text b.wav", ["text", "wav", "wav"]),
        ("--image a.png --text hi --video=b.webm c.wav", ["image", "text", "video", "wav"]),
        ("", []),
    ],
)
def test_turns_keep_the_order_of_the_command_line(line: str, kinds: list[str]) -> None:
    """WAV files and texts are turns in the order given, whatever stands between them."""
    assert turn_kinds(line.split(), call_command.params) == kinds


def test_flag_takes_no_turn_for_its_value() -> None:
    """What follows an option without a value is a turn."""
    flag = click.Option(["--loud"], is_flag=True)
    assert turn_kinds(["--loud", "a.wav"], [flag]) == ["wav"]


async def test_turns_run_in_the_order_of_the_command_line(wav: str, tmp_path: Path) -> None:
    """Text, WAV, text: each is put in its turn."""
    report = tmp_path / "report.json"
    async with stand_in_server() as server:
        result = await run(
            "--text", "first", wav, "--text", "last", "--url", server.url, "--report", str(report)
        )
    assert result.exit_code == 0, result.output
    turns = json.loads(report.read_text())["turns"]
    assert [turn["input"] for turn in turns] == ["first", "question.wav", "last"]


# ----------------------------------------------------------------- answered


async def test_answered_call_exits_0_and_saves(wav: str, tmp_path: Path) -> None:
    """Every turn answered: status 0, the conversation printed, audio and report written."""
    reply, report = tmp_path / "reply.wav", tmp_path / "report.json"
    async with stand_in_server() as server:
        result = await run(wav, "--url", server.url, "--save", str(reply), "--report", str(report))
    assert result.exit_code == 0, result.output
    assert "You said (a tone)." in result.output
    assert "answered after " in result.output
    assert len(read_wav(reply)) > SAMPLE_RATE // 2
    said = json.loads(report.read_text())
    assert said["failure"] is None
    assert said["turns"][0]["answered"] is True


async def test_options_come_from_the_environment() -> None:
    """RTC_SERVER_URL, and a text a line in RTC_SERVER_TEXT, spaces and all."""
    async with stand_in_server() as server:
        env = {
            "RTC_SERVER_URL": server.url,
            "RTC_SERVER_TEXT": "what time is it\nand the date",
            "RTC_SERVER_USER_ID": "ann",
            "RTC_SERVER_SESSION_ID": "s7",
        }
        result = await run(env=env)
        assert [message["data"] for message in server.messages] == [
            "what time is it",
            "and the date",
        ]
        assert (server.offers[0]["user_id"], server.offers[0]["session_id"]) == ("ann", "s7")
    assert result.exit_code == 0, result.output


def test_help_names_every_variable() -> None:
    """--help says how each option is called in the environment."""
    text = CliRunner().invoke(call_command, ["--help"]).output
    for option in call_command.params:
        if option.param_type_name == "option" and option.name != "help":
            assert option.envvar is not None
            assert str(option.envvar) in text


# --------------------------------------------------------------- unanswered


async def test_silent_agent_exits_1_with_a_sentence(wav: str, tmp_path: Path) -> None:
    """No answer: status 1, one sentence on stderr, and the report all the same."""
    report = tmp_path / "report.json"
    async with stand_in_server(Behaviour.SILENT) as server:
        result = await run(wav, "--url", server.url, "--timeout", "0.5", "--report", str(report))
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: Turn 1 (question.wav): The agent did not answer within 0.5 s: it stayed silent.\n"
    )
    assert json.loads(report.read_text())["turns"][0]["answered"] is False


async def test_dead_server_exits_1_with_a_sentence() -> None:
    """Nobody listens: status 1, one sentence, no traceback."""
    async with stand_in_server() as server:
        url = server.url
    result = await run("--text", "hi", "--url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: No server answers at ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"not a wav", "is not a WAV file."), (None, "cannot be read: No such file or directory.")],
)
def test_broken_wav_exits_1_before_any_call(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    """A broken file is found before the server is asked."""
    path = tmp_path / "broken.wav"
    if content is not None:
        path.write_bytes(content)
    result = CliRunner().invoke(call_command, [str(path), "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {path} {sentence}\n"


def test_silent_wav_exits_1_with_a_sentence(tmp_path: Path) -> None:
    """A file without speech would never be answered: it is said at once."""
    path = tmp_path / "silence.wav"
    write_wav(path, silence(1.0))
    result = CliRunner().invoke(call_command, [str(path)])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {path} is silent from end to end.\n"


def test_nothing_to_say_exits_2() -> None:
    """Without a turn there is no call."""
    result = CliRunner().invoke(call_command, [])
    assert result.exit_code == 2
    assert "nothing to say" in result.stderr


def test_empty_text_exits_1() -> None:
    """An empty text cannot be typed."""
    result = CliRunner().invoke(call_command, ["--text", " "])
    assert result.exit_code == 1
    assert "nothing to say" in result.stderr
