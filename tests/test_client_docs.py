"""``docs/client.md`` lists what the client library has: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
CLIENT = CHECKOUT / "web" / "client"
DOCUMENT = (CHECKOUT / "docs" / "client.md").read_text()
CALL = (CLIENT / "call.js").read_text()
LINE = (CLIENT / "line.js").read_text()
VIDEO = (CLIENT / "video.js").read_text()
ALL = "\n".join(path.read_text() for path in sorted(CLIENT.glob("*.js")))


def section(heading: str) -> str:
    """What stands under a heading of the second level."""
    _, _, rest = DOCUMENT.partition(f"\n## {heading}\n")
    assert rest, heading
    return rest.partition("\n## ")[0]


def first_column(heading: str) -> set[str]:
    """What the table under a heading is about; the arguments of methods are left out."""
    rows = re.findall(r"^\| (`.+?) \|", section(heading), re.M)
    names = [name for row in rows for name in re.findall(r"`(\w+)(?:\(.*?\))?`", row)]
    assert len(names) == len(set(names))
    return set(names)


def members(kind: str) -> set[str]:
    """The public methods of ``Call`` (``kind`` empty), or its getters (``get ``)."""
    _, _, body = CALL.partition("export class Call extends EventTarget {")
    body = body.partition("\n}\n")[0]
    names = re.findall(rf"^  (?:async )?{kind}([a-z]\w*)\([^;]*?\) \{{$", body, re.M)
    return set(names) - {"constructor"}


def test_options_are_those_of_the_constructor() -> None:
    documented = first_column("Options")
    assert documented == set(re.findall(r"\[options\.(\w+)\]", CALL))


def test_methods_are_those_of_the_class() -> None:
    assert first_column("Methods") == members("")


def test_getters_are_those_of_the_class() -> None:
    """They stand in one sentence, which begins with "To be read"."""
    (sentence,) = re.findall(r"To be read: (.*?)\.\n", section("Methods"), re.S)
    assert set(re.findall(r"`([a-z]\w+)`", sentence)) == members("get ")


def test_exports_are_those_of_the_module() -> None:
    """They stand in one sentence: each at the beginning of a clause."""
    exported = set(re.findall(r"^export (?:class|const|function) (\w+)", CALL, re.M))
    for names in re.findall(r"^export \{ (.*?) \} from", CALL, re.M):
        exported |= set(names.split(", "))
    _, _, sentence = section("Methods").partition("Beside `Call` the module exports ")
    clauses = re.split(r";\s+(?:and\s+)?", sentence)
    documented = {clause.split("`")[1].removesuffix("()") for clause in clauses}
    assert documented == exported - {"Call"}


def test_events_are_those_that_the_call_tells_of() -> None:
    """Each message of the contract, and the call's own."""
    (types,) = re.findall(r"MESSAGE_TYPES = new Set\(\[(.*?)\]\)", ALL, re.S)
    told = set(re.findall(r'"(\w+)"', types))
    told |= set(re.findall(r'this\.#emit\("(\w+)"', CALL))
    assert first_column("Events") == told


def test_problems_are_those_that_the_library_makes() -> None:
    """By name, by HTTP status, by what the browser says of a device, by ``goaway``."""
    made = set(re.findall(r'new CallProblem\(\s*"(\w+)"', ALL))
    for table in tables(ALL.replace(VIDEO, "")):
        made |= set(re.findall(r'"(\w+)"', table))
    (reasons,) = re.findall(r'type: "goaway", reason: (.*?),\s*\*?\s*seconds', ALL, re.S)
    made |= set(re.findall(r'"(\w+)"', reasons))
    made |= {"lost", "never_connected", "microphone_failed", "server_error", "refused"}
    for code in made:
        assert f'"{code}"' in ALL
    assert first_column("Problems") == made | problems_of_video()


def tables(code: str) -> list[str]:
    """What the browser or the server says, as the last part of a problem's code or all of it."""
    return re.findall(r"const CODES = Object\.freeze\(\{(.*?)\}\)", code, re.S)


def problems_of_video() -> set[str]:
    """They are put together of what was to be opened, and of why it was not."""
    (table,) = tables(VIDEO)
    whys = {*re.findall(r'"(\w+)"', table), "failed"}
    assert 'CODES[name] ?? "failed"' in VIDEO
    whats = set(re.findall(r'named\("(\w+)"', VIDEO))
    assert whats == {"camera", "screen"}
    made = {f"{what}_{why}" for what in whats for why in whys}
    return made | {"_".join(both) for both in re.findall(r'problem\("(\w+)", "(\w+)"\)', VIDEO)}


def test_lines_are_those_of_the_code() -> None:
    (values,) = re.findall(r"Line = Object\.freeze\(\{(.*?)\}\)", LINE, re.S)
    (row,) = re.findall(r"^\| `status` \| `line` \((.*?)\)", section("Events"), re.M)
    assert re.findall(r'"(\w+)"', values) == re.findall(r"`(\w+)`", row)
