"""``rtc-server``: commands and options, and nothing behind them.

This is the one place that reads the command line and the environment.  What is heavy to
import (ADK, aiortc) is imported by the command that needs it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from . import __version__, event_loop, logs
from .errors import ConfigurationError
from .media.away_notice import load_notice
from .settings import Limits, Settings
from .untrusted_json import UnfitJson, parse_json

__all__ = ["main"]

_DEFAULTS = Settings()


class _Failure(click.ClickException):
    """One sentence on standard error, exit status 2."""

    exit_code = 2


class _Commands(click.Group):
    """The group of all commands; ``call`` comes from the harness, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "call"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "call":
            from rtc_harness.cli import call_command

            return call_command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        message = None
        try:
            return super().invoke(ctx)
        except* ConfigurationError as group:  # bare, or out of the server's TaskGroup
            message = str(_first(group))
        raise _Failure(message)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _option(name: str, **kwargs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that the environment variable ``RTC_SERVER_<OPTION>`` sets as well."""
    variable = "RTC_SERVER_" + name.removeprefix("--").replace("-", "_").upper()
    kwargs.setdefault("show_default", True)
    kwargs.setdefault("envvar", variable)
    return click.option(name, show_envvar=True, **kwargs)


def _list_option(name: str, **kwargs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that may be given several times, with several values by comma each time."""
    return _option(name, multiple=True, callback=_split, show_default=False, **kwargs)


def _split(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one.strip() for value in values for one in value.split(",") if one.strip())


def _split_addresses(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    addresses = _split(ctx, param, values)
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise click.BadParameter(f"{address} is not an IP address.") from None
    return addresses


def _port_range(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """``LOW-HIGH``, both included."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", value)
    if match is None:
        raise click.BadParameter("A range of ports looks like 50000-50999.")
    low, high = int(match[1]), int(match[2])
    if not 0 < low <= high < 65536:
        raise click.BadParameter("Ports run from 1 to 65535, the lower one first.")
    return low, high


def _json_object(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any]:
    """A JSON object, or the name of a file that holds one."""
    if not value:
        return {}
    try:
        text = value if value.lstrip().startswith("{") else Path(value).read_text("utf-8")
        found = parse_json(text)
    except UnfitJson as error:
        raise click.BadParameter(f"{value} cannot be taken. {error}") from None
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{value} is neither JSON nor a file of JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{value} holds no JSON object.")
    return found


_ICE_HOST = r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_ICE_URL = re.compile(rf"stuns?:{_ICE_HOST}|turns?:{_ICE_HOST}(?:\?transport=(?:udp|tcp))?")
"""As browsers take it (RFC 7064, RFC 7065)."""

_SHARED_STATE = ("app:", "user:", "temp:", "rtc:")
"""Prefixes of ADK's keys that others have, too, or that are not kept; and of our own."""

_SECONDS = click.FloatRange(min=0, min_open=True)

_agent_argument = click.argument("agent", default=_DEFAULTS.agent)
_host_option = _option("--host", default=_DEFAULTS.host, help="Address to listen on.")
_port_option = _option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULTS.port,
    help="TCP port to listen on; 0 takes a free one.",
)
_udp_ports_option = _option(
    "--udp-ports",
    metavar="LOW-HIGH",
    callback=_port_range,
    help="UDP ports of media; any free one by default.",
)
_fallback_option = _option(
    "--fallback-model", help="Model asked when the agent's own cannot be reached."
)
_session_db_option = _option(
    "--session-db", help="ADK session URL: sqlite:///…, postgresql://…; else in memory."
)
_memory_service_option = _option(
    "--memory-service", help="ADK memory service URL, given each conversation; else in memory."
)
_artifact_service_option = _option(
    "--artifact-service", help="ADK artifact service URL; else in memory."
)
_secret_option = _option(
    "--auth-secret",
    help="Secret of the call tokens, 32 bytes or more; better set by the environment.",
)


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="rtc-server")
def main() -> None:
    """A WebRTC media server that puts a person in a call with a Google ADK agent."""


@main.command()
@_agent_argument
@_host_option
@_port_option
@_option(
    "--workers",
    type=click.IntRange(1, 256),
    default=_DEFAULTS.workers,
    help="Processes that share the calls; as many as cores, to use them all.",
)
@_secret_option
@click.option(
    "--no-auth",
    is_flag=True,
    envvar="RTC_SERVER_NO_AUTH",
    show_envvar=True,
    help="Let anybody call who reaches the address, also from other machines.",
)
@_list_option("--allow-origin", help="Further origin whose pages may call: https://example.org")
@_list_option("--allow-host", help="Further host name that is answered, with or without port.")
@_list_option("--allow-run-config", help="Field of ADK's RunConfig that an offer may set.")
@_list_option("--allow-state", help="Key of the session state that crosses the data channel.")
@_option("--show-tools", is_flag=True, help="Send tool arguments and results to all callers.")
@_option("--show-thoughts", is_flag=True, help="Send what the model thinks to callers.")
@_option(
    "--allow-client-tools",
    is_flag=True,
    help="Let every caller declare tools of its own; callers of this machine always may.",
)
@_option(
    "--client-tool-seconds",
    type=_SECONDS,
    default=_DEFAULTS.limits.client_tool_s,
    help="How long a tool of the client may take.",
)
@_option(
    "--confirm-seconds",
    type=_SECONDS,
    default=_DEFAULTS.limits.confirm_s,
    help="How long a tool waits for the caller's yes; then it counts as no.",
)
@_list_option("--ice-server", help="STUN or TURN URL that clients are given.")
@_option(
    "--public-ip",
    multiple=True,
    callback=_split_addresses,
    show_default=False,
    help="Address to offer beside the machine's own (1:1 NAT).",
)
@_udp_ports_option
@_option(
    "--max-calls",
    type=click.IntRange(1),
    help="Calls at once; more get 503. Not given: as many as there is headroom for, by measure.",
)
@_option("--max-call-seconds", type=_SECONDS, help="Longest call.")
@_option("--idle-seconds", type=_SECONDS, help="A call in which nobody speaks this long ends.")
@_option(
    "--resume-seconds",
    type=_SECONDS,
    default=_DEFAULTS.limits.resume_s,
    help="How long a conversation may be taken up again with its resume token.",
)
@_option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=_DEFAULTS.limits.drain_s,
    help="How long calls may go on after Ctrl-C or SIGTERM.",
)
@_option("--tls-cert", help="Certificate chain (PEM file): serve HTTPS.")
@_option("--tls-key", help="Private key of the certificate (PEM file).")
@_option(
    "--modality",
    type=click.Choice(["audio", "text"]),
    help="Modality of a call that names none. Not given: the agent's, or audio.",
)
@_option("--voice", help="Prebuilt voice asked of the model.")
@_option("--language", help="Language asked of the model, as a BCP-47 tag: de-DE.")
@_option(
    "--run-config",
    callback=_json_object,
    show_default=False,
    help="Fields of ADK's RunConfig for every call: a JSON object, or a file that holds one.",
)
@_option("--greeting", help="First user turn of a new conversation, so that the agent begins.")
@_option("--idle-prompt", help="User turn put to the agent when nobody has spoken for a while.")
@_option(
    "--idle-prompt-seconds",
    type=_SECONDS,
    default=_DEFAULTS.limits.idle_prompt_s,
    help="How long a while is.",
)
@_option(
    "--text-during-speech",
    type=click.Choice(["interrupt", "queue"]),
    default=_DEFAULTS.text_during_speech,
    help="What typed text does to a running answer.",
)
@_option(
    "--answer-seconds",
    type=_SECONDS,
    default=_DEFAULTS.limits.answer_s,
    help="How long the agent may take to begin an answer, or to go on with one.",
)
@_option(
    "--tool-seconds",
    type=_SECONDS,
    default=_DEFAULTS.limits.tool_s,
    help="How long a tool of the agent may take; then the model is told that it failed.",
)
@_fallback_option
@_option(
    "--ask-again",
    is_flag=True,
    help="Put a turn that was lost with the connection to the model to it again.",
)
@_option(
    "--away-notice",
    default=_DEFAULTS.away_notice,
    help="Heard while the model is away: tone, none, or a WAV file.",
)
@_option(
    "--video-fps",
    type=click.FloatRange(min=0, min_open=True, max=10),
    default=_DEFAULTS.limits.frames_per_s,
    help="Frames a second of the caller's video that the agent is given.",
)
@_option(
    "--video-pixels",
    type=click.IntRange(64, 4096),
    default=_DEFAULTS.limits.picture_px,
    help="Longest side of such a frame.",
)
@_session_db_option
@_memory_service_option
@_artifact_service_option
@_option(
    "--otlp-endpoint",
    envvar=["RTC_SERVER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"],
    help="Send traces here by OTLP over HTTP: http://localhost:4318",
)
@_option(
    "--decoder",
    type=click.Choice(["pyav", "libopus"]),
    default=_DEFAULTS.decoder,
    help="What decodes the caller's Opus; libopus, called directly, takes half the CPU.",
)
@_option("--metrics-public", is_flag=True, help="Show /metrics to other machines too.")
@_option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Log lines.")
@_option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="Least level that is logged.",
)
def serve(log_format: logs.LogFormat, log_level: str, no_auth: bool, **options: Any) -> None:
    """Serve calls to AGENT.

    AGENT is an ADK agent folder (agent.py with root_agent or app, as `adk web` takes it),
    package.module:attribute, or local: the embedded agent, which works offline.
    """
    settings = _settings(options)
    _check_exposure(settings, no_auth=no_auth)
    logs.configure(log_format, log_level)
    logs.hush_adk()

    def started(url: str) -> None:
        click.echo(f"Serving {settings.agent} on {url}  (Ctrl-C stops)")

    if settings.workers > 1:
        from .workers import front

        told = front.WorkerLogs(log_format, log_level)
        asyncio.run(front.serve(settings, told, on_started=started))
        return
    from .app import serve as serve_calls

    event_loop.run(serve_calls(settings, on_started=started))


def _settings(options: dict[str, Any]) -> Settings:
    """The settings that the options of ``serve`` make."""
    if (options["tls_cert"] is None) != (options["tls_key"] is None):
        raise ConfigurationError("HTTPS needs both --tls-cert and --tls-key.")
    load_notice(options["away_notice"])
    _check_values(options)
    limits = Limits(
        max_calls=options.pop("max_calls"),
        max_call_s=options.pop("max_call_seconds"),
        idle_s=options.pop("idle_seconds"),
        resume_s=options.pop("resume_seconds"),
        drain_s=options.pop("drain_seconds"),
        answer_s=options.pop("answer_seconds"),
        tool_s=options.pop("tool_seconds"),
        idle_prompt_s=options.pop("idle_prompt_seconds"),
        confirm_s=options.pop("confirm_seconds"),
        client_tool_s=options.pop("client_tool_seconds"),
        frames_per_s=options.pop("video_fps"),
        picture_px=options.pop("video_pixels"),
    )
    return Settings(
        allow_origins=options.pop("allow_origin"),
        allow_hosts=options.pop("allow_host"),
        ice_servers=options.pop("ice_server"),
        public_ips=options.pop("public_ip"),
        limits=limits,
        **options,
    )


def _check_values(options: dict[str, Any]) -> None:
    """Refuse what would be found out in the first call, or never."""
    for url in options["ice_server"]:
        if not _ICE_URL.fullmatch(url):
            raise ConfigurationError(
                f"The --ice-server {url} is no STUN or TURN URL, such as stun:stun.example:3478."
            )
    for key in options["allow_state"]:
        if key.startswith(_SHARED_STATE):
            raise ConfigurationError(
                f"The key {key} of --allow-state is not the call's own: no caller is shown or "
                "changes app:, user:, temp: and rtc: keys."
            )
    for name in ("voice", "language", "fallback_model"):
        if options[name] is not None and not options[name].strip():
            option = name.replace("_", "-")
            raise ConfigurationError(f"The --{option} is empty: name one, or leave it out.")


def _check_exposure(settings: Settings, *, no_auth: bool) -> None:
    """An agent costs money and has tools: it is not given to a network by accident."""
    if settings.auth_secret is not None or no_auth or _is_loopback(settings.host):
        return
    raise ConfigurationError(
        f"Other machines could call on {settings.host}: give an --auth-secret, "
        "or --no-auth if anybody may."
    )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@main.command()
@_option("--user-id", required=True, help="Whom the token speaks for.")
@_option("--session-id", help="Narrow the token to this session.")
@_option("--ttl", type=_SECONDS, default=60.0, help="Seconds the token is good for.")
@_secret_option
def token(user_id: str, session_id: str | None, ttl: float, auth_secret: str | None) -> None:
    """Mint a call token."""
    if not auth_secret:
        raise ConfigurationError(
            "A token is signed with the server's secret: give --auth-secret "
            "or set RTC_SERVER_AUTH_SECRET."
        )
    from .auth import Tokens

    tokens = Tokens(auth_secret)
    try:
        minted = tokens.mint(user_id, session_id, ttl_s=ttl, now=time.time())
    except ValueError:
        raise ConfigurationError(
            "An id has 1 to 128 printable characters, no space around; a lifetime is finite."
        ) from None
    click.echo(minted)


@main.command()
@_agent_argument
@_host_option
@_port_option
@_udp_ports_option
@_secret_option
@_fallback_option
@_session_db_option
@_memory_service_option
@_artifact_service_option
def doctor(agent: str, **options: Any) -> None:
    """Check what calls need, and say what to mend.

    Looks at the codec, the addresses and ports, the services, AGENT and its keys. Exit status 1 if
    anything is broken.
    """
    logs.hush_adk()
    from .doctor import State, examine

    is_broken = False
    for finding in examine(Settings(agent=agent, **options), os.environ):
        click.echo(f"{finding.state.value:<6}  {finding.subject}: {finding.words}")
        is_broken |= finding.state is State.BROKEN
    click.get_current_context().exit(1 if is_broken else 0)
