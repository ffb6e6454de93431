"""What the documents list is what there is: options, metrics, messages, codes, decisions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from rtc_server import messages
from rtc_server.cli import main
from rtc_server.errors import Outcome
from rtc_server.metrics import Metrics

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
CONTRACT = (DOCS / "contract.md").read_text()
CONFIGURATION = (DOCS / "configuration.md").read_text()


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command."""
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        for param in command.params:
            if isinstance(param, click.Option):
                yield name, param


def test_every_option_is_documented_under_its_command() -> None:
    """Under the heading of the command there is a row that begins with the option."""
    for command, option in options():
        section = re.split(rf"^## `rtc-server {command}\b", CONFIGURATION, flags=re.M)[1]
        section, _, _ = section.partition("\n## ")
        name = option.opts[0]
        assert re.search(rf"^\| `{re.escape(name)}`", section, re.M), f"{command} {name}"


def test_every_option_is_set_by_an_environment_variable_of_its_name() -> None:
    """``--max-calls`` is ``RTC_SERVER_MAX_CALLS``; a standard name may stand beside it."""
    for command, option in options():
        name = option.opts[0].removeprefix("--").replace("-", "_").upper()
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        assert variables, command
        assert variables[0] == f"RTC_SERVER_{name}", command


def test_no_option_is_documented_that_does_not_exist() -> None:
    """Every row that begins with an option names one of some command."""
    known = {option.opts[0] for _, option in options()}
    documented = set(re.findall(r"^\| `(--[a-z-]+)", CONFIGURATION, re.M))
    assert documented == known


def test_every_metric_is_in_the_contract() -> None:
    """By the name under which Prometheus scrapes it."""
    exposition = Metrics().exposition().decode()
    names = set(re.findall(r"^# TYPE (rtc_\w+?) ", exposition, re.M))
    names = {name for name in names if not name.endswith("_created")}
    assert names == set(re.findall(r"`(rtc_[a-z_]+)(?:\{[a-z,]+\})?`", CONTRACT))


def test_every_message_of_the_server_is_in_the_contract() -> None:
    """By its ``type``, and with each of its fields."""
    _, _, section = CONTRACT.partition("### Server to client")
    for message in messages.ServerMessage.__subclasses__():
        row = re.search(rf'`\{{"type":"{message.type}".*', section)
        assert row, message.type
        for field in message.__dataclass_fields__:
            if field != "type":
                assert f'"{field}"' in row[0] or f"`{field}`" in CONTRACT, (message.type, field)


def test_every_outcome_is_in_the_contract() -> None:
    """The label values of ``rtc_calls_total``."""
    for outcome in Outcome:
        assert f"`{outcome.value}`" in CONTRACT


def test_every_code_of_an_error_is_in_the_contract() -> None:
    """Those of the code's ``Error``, ``MessageError``, ``Failure`` and
    ``AgentFailed``, and no other."""
    _, _, section = CONTRACT.partition("### Codes of `error`")
    section, _, _ = section.partition("\n## ")
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", section, re.M))
    assert documented == {code for code in _error_codes() if code}


def _error_codes() -> Iterator[str]:
    for path in (CHECKOUT / "rtc_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id not in ("Error", "MessageError", "Failure", "AgentFailed"):
                continue
            named = [one.value for one in node.keywords if one.arg == "code"]
            for value in named or node.args[:1]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def test_every_link_inside_the_checkout_leads_somewhere() -> None:
    """Links and pictures of the README and of ``docs/``."""
    for path in [*CHECKOUT.glob("*.md"), *DOCS.rglob("*.md"), *CHECKOUT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_table_renders() -> None:
    """A heading, a line of dashes, and rows with as many cells; a blank line would end it."""
    for path in [*CHECKOUT.glob("*.md"), *DOCS.rglob("*.md"), *CHECKOUT.glob("*/README.md")]:
        for table in _tables(path.read_text()):
            cells = [len(re.split(r"(?<!\\)\|", row)) for row in table]
            assert len(table) > 1, f"{path.name}: {table[0]}"
            assert re.fullmatch(r"\|(?:\s*:?-+:?\s*\|)+", table[1].strip()), (path.name, table[:2])
            assert len(set(cells)) == 1, f"{path.name}: {table[cells.index(max(cells))]}"


def _tables(text: str) -> Iterator[list[str]]:
    """Lines that begin with ``|``, in runs; what stands in a block of code is none."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    for run in re.findall(r"(?:^ *\|.*\n?)+", text, re.M):
        yield run.splitlines()


def test_every_decision_is_in_the_list() -> None:
    """``docs/decisions/README.md`` names each file of its folder."""
    listed = (DOCS / "decisions" / "README.md").read_text()
    for path in (DOCS / "decisions").glob("0*.md"):
        assert f"({path.name})" in listed
