"""``rtc-server call``: one real call from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import click

from .caller import CallPlan, Shown, TextTurn, WavTurn, place_call
from .caller_tools import Decide, read_client_tools
from .camera import open_film, read_image
from .errors import HarnessError, WavError
from .levels import speech_span
from .report import write_report
from .signalling import CallRequest
from .typed_answer import typed_yes
from .wav import read_wav, write_wav

__all__ = ["call_command", "turn_kinds"]

_ORDER = f"{__name__}.order"


def turn_kinds(args: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    """What a command line asks for, in its order: ``"wav"``, ``"text"``, ``"video"``, ``"image"``.

    click keeps the order within an option and within the arguments, and loses it between
    them; so the line is walked once more, by click's own rules for options that take a
    value, for ``--option=value`` and for ``--``.
    """
    takes_value = {
        name: not option.is_flag and not option.count
        for option in params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    kinds: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            kinds += ["wav" for _ in words]
        elif not word.startswith("--"):
            kinds.append("wav")
        else:
            name, has_value, _ = word.partition("=")
            if name in ("--text", "--video", "--image"):
                kinds.append(name[2:])
            if takes_value.get(name, False) and not has_value:
                next(words, None)
    return kinds


class _CallCommand(click.Command):
    """A command that remembers the order of its turns."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ORDER] = turn_kinds(args, self.params)
        return super().parse_args(ctx, args)


class _Lines(click.types.StringParamType):
    """Text; several of them in an environment variable stand on a line each."""

    envvar_list_splitter: ClassVar[str | None] = "\n"


@click.command("call", cls=_CallCommand)
@click.argument("wav", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--text",
    multiple=True,
    type=_Lines(),
    envvar="RTC_SERVER_TEXT",
    show_envvar=True,
    help="Type a turn. May be repeated.",
)
@click.option(
    "--video",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RTC_SERVER_VIDEO",
    show_envvar=True,
    help="Show a picture or a video file (in real time, over and over), from the turn behind it "
    "on. May be repeated.",
)
@click.option(
    "--image",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RTC_SERVER_IMAGE",
    show_envvar=True,
    help="Send a picture as a message before the turn behind it. May be repeated.",
)
@click.option(
    "--url",
    default="http://localhost:8080",
    envvar="RTC_SERVER_URL",
    show_default=True,
    show_envvar=True,
    help="The server.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RTC_SERVER_SAVE",
    show_envvar=True,
    help="Write what was heard of the agent, in time, as a 48 kHz WAV file.",
)
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RTC_SERVER_REPORT",
    show_envvar=True,
    help="Write all turns, timings and network figures as JSON.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    envvar="RTC_SERVER_TIMEOUT",
    show_default=True,
    show_envvar=True,
    help="Seconds from the end of a turn within which its answer must have ended.",
)
@click.option(
    "--barge-in",
    type=click.FloatRange(min=0),
    envvar="RTC_SERVER_BARGE_IN",
    show_envvar=True,
    help="Say each next turn this many seconds into the answer, instead of after it.",
)
@click.option(
    "--push-to-talk",
    is_flag=True,
    envvar="RTC_SERVER_PUSH_TO_TALK",
    show_envvar=True,
    help="Press a button for each spoken turn, for a model whose own voice detection is off.",
)
@click.option(
    "--token",
    envvar="RTC_SERVER_TOKEN",
    show_envvar=True,
    help="A call token, where the server wants one.",
)
@click.option(
    "--session-id",
    envvar="RTC_SERVER_SESSION_ID",
    show_envvar=True,
    help="The conversation to go on with, or to begin under this name.",
)
@click.option(
    "--user-id",
    envvar="RTC_SERVER_USER_ID",
    show_envvar=True,
    help="Who calls; without it the server decides.",
)
@click.option(
    "--agent",
    envvar="RTC_SERVER_AGENT",
    show_envvar=True,
    help="The agent to talk to, where the server has several.",
)
@click.option(
    "--modality",
    type=click.Choice(["audio", "text"]),
    envvar="RTC_SERVER_MODALITY",
    show_envvar=True,
    help="How the agent answers. Without it: audio if there is a WAV file, text if not.",
)
@click.option(
    "--client-tool",
    "client_tool_files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RTC_SERVER_CLIENT_TOOL",
    show_envvar=True,
    help="A JSON file of tools that the agent may call here, with what each gives.",
)
@click.option(
    "--confirm",
    type=click.Choice(["yes", "no", "ask"]),
    default="no",
    envvar="RTC_SERVER_CONFIRM",
    show_default=True,
    show_envvar=True,
    help="What is answered to a tool that needs consent; ask: what is typed.",
)
@click.pass_context
def call_command(
    ctx: click.Context,
    wav: tuple[Path, ...],
    text: tuple[str, ...],
    video: tuple[Path, ...],
    image: tuple[Path, ...],
    url: str,
    save: Path | None,
    report_path: Path | None,
    timeout: float,
    barge_in: float | None,
    push_to_talk: bool,
    token: str | None,
    session_id: str | None,
    user_id: str | None,
    agent: str | None,
    modality: str | None,
    client_tool_files: tuple[Path, ...],
    confirm: str,
) -> None:
    """Place one real WebRTC call and talk to the agent.

    Each WAV file is a spoken turn, streamed in real time; each --text a typed one. They run
    in the order given, each after the answer to the one before has ended. What a --video or
    an --image shows belongs to the turn behind it on the command line. With texts alone
    the call has no audio and is answered in text, unless --modality audio is given.

    Exit status 0 says that every turn was answered: after its end new audible speech (in a
    text call, new text) and the end of that answer came within --timeout. Speech that
    nobody asked for is no answer.
    """
    if not wav and not text:
        raise click.UsageError("Name a WAV file or give a --text: there is nothing to say.")
    try:
        turns = list(_turns(ctx.meta[_ORDER], wav, text, video, image))
        plan = CallPlan(
            url=url,
            turns=turns,
            request=CallRequest(session_id, user_id, agent, modality),
            token=token,
            timeout_s=timeout,
            barge_in_s=barge_in,
            client_tools=[tool for path in client_tool_files for tool in read_client_tools(path)],
            confirm=_decide(confirm),
            push_to_talk=push_to_talk,
        )
        _run(plan, save, report_path)
    except HarnessError as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(1)


def _run(plan: CallPlan, save: Path | None, report_path: Path | None) -> None:
    result = asyncio.run(place_call(plan, click.echo))
    if report_path is not None:
        write_report(report_path, result.report)
    if save is not None and result.recording is not None:
        write_wav(save, result.recording)
    if result.failure is not None:
        raise HarnessError(result.failure)


def _decide(how: str) -> Decide:
    async def decide(message: Mapping[str, Any]) -> bool:
        if how == "ask":
            click.echo("         asks   y or n?")
        agreed = await typed_yes() if how == "ask" else how == "yes"
        click.echo(f"         you    {'yes' if agreed else 'no'}")
        return agreed

    return decide


def _turns(
    order: Sequence[str],
    wavs: Sequence[Path],
    texts: Sequence[str],
    videos: Sequence[Path],
    images: Sequence[Path],
) -> Iterator[WavTurn | TextTurn]:
    """The turns in the order of the command line; texts of the environment come last.

    Pictures and videos of the environment come before all of it.
    """
    left: dict[str, Iterator[Any]] = {
        "wav": iter(wavs),
        "text": iter(texts),
        "video": iter(videos),
        "image": iter(images),
    }
    steps = [(kind, next(left[kind])) for kind in order]
    before = [(kind, value) for kind in ("video", "image") for value in left[kind]]
    shown: list[tuple[str, Path]] = []
    for kind, value in (*before, *steps, *(("text", one) for one in left["text"])):
        if kind in ("video", "image"):
            shown.append((kind, value))
            continue
        show, shown = _shown(shown), []
        yield _wav_turn(value, show) if kind == "wav" else _text_turn(value, show)
    if shown:
        raise HarnessError(f"Name the turn that --{shown[0][0]} belongs to behind it.")


def _shown(steps: Sequence[tuple[str, Path]]) -> Shown:
    videos = [path for kind, path in steps if kind == "video"]
    images = tuple(read_image(path) for kind, path in steps if kind == "image")
    return Shown(open_film(videos[-1]) if videos else None, images)


def _wav_turn(path: Path, shown: Shown) -> WavTurn:
    samples = read_wav(path)
    if speech_span(samples) is None:
        raise WavError(f"{path} is silent from end to end.")
    return WavTurn(path.name, samples, shown)


def _text_turn(text: str, shown: Shown) -> TextTurn:
    if not text.strip():
        raise HarnessError("A --text is empty: there is nothing to say.")
    return TextTurn(text, shown)
