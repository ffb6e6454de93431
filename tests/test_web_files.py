"""The files of ``web/`` as they are served: light, complete, and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rtc_server.page import CONTENT_TYPES
from tests.running_site import serving

CHECKOUT = Path(__file__).resolve().parent.parent
WEB = CHECKOUT / "web"
VENDOR = WEB / "vendor"
NODE_MODULES = CHECKOUT / "node_modules"

PAGE_WEIGHT_BYTES = 150_000
"""What the page may weigh, as it is served: whoever opens it on a train waits for all of it."""

# Between the keyword and ``from`` there are names only: a string elsewhere is no import.
STATIC_IMPORT = re.compile(
    r"""^(?:import|export)\b(?:[\w\s{},*$]*?\bfrom)?\s*["']([^"']+)["']""", re.M
)
DYNAMIC_IMPORT = re.compile(r"""\bimport\(\s*["']([^"']+)["']\s*\)(?!\.)""")
STYLE_IMPORT = re.compile(r"""(?:@import\s+|\burl\(\s*)["']?([^"')\s]+)""")
ADDRESS = re.compile(r"""\b(?:https?|wss?|stuns?|turns?)://[\w.-]+[^\s"'`)<>]*""")
# At the start of a line: "image/*" in a string begins no comment.
COMMENT = re.compile(r"^\s*(?:/\*.*?\*/|<!--.*?-->|//[^\n]*)", re.M | re.S)
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
# In the text of its errors, which asks for a report.
VENDORS_OWN = {"https://github.com/markedjs/marked."}


class _Sources(HTMLParser):
    """What a browser fetches for a document by itself: no links that a person follows."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.names += [value for name, value in attrs if name in ("src", "href") and value]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _named_in(path: Path, *, lazily: bool) -> list[str]:
    """The names of other files by which ``path`` loads them; ``lazily``: what it may load later."""
    match path.suffix:
        case ".html" | ".svg":
            sources = _Sources()
            sources.feed(_text(path))
            names = [name for name in sources.names if not name.startswith("#")]
        case ".css":
            names = STYLE_IMPORT.findall(_text(path))
        case ".js":
            names = STATIC_IMPORT.findall(_text(path))
            if lazily:
                names += DYNAMIC_IMPORT.findall(COMMENT.sub("", _text(path)))
        case _:
            names = []
    return [name for name in names if not name.startswith("data:")]


def _loaded_by(start: Path, *, lazily: bool = False) -> set[Path]:
    """The files that come with ``start``, itself among them."""
    loaded: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in loaded:
            continue
        loaded.add(path)
        for name in _named_in(path, lazily=lazily):
            if path.suffix == ".js":
                assert name.startswith(("./", "../")), f"a browser cannot find {name!r} of {path}"
            waiting.append(path.parent.joinpath(name).resolve())
            assert waiting[-1].is_relative_to(WEB), f"{path} loads {name!r} from elsewhere"
            assert waiting[-1].is_file(), f"{path} loads {name!r}, which is not there"
    return loaded


def _files() -> Iterator[Path]:
    return (path for path in sorted(WEB.rglob("*")) if path.is_file())


async def test_the_page_weighs_less_than_150_kb() -> None:
    """All that ``index.html`` loads, imports followed, in bytes on the network with the headers."""
    sizes: dict[str, int] = {}
    async with serving(WEB) as site:
        for path in _loaded_by(WEB / "index.html"):
            name = path.relative_to(WEB).as_posix()
            async with site.client.get(f"/{name}") as response:
                assert response.status == 200
                head = sum(len(key) + len(value) + 4 for key, value in response.raw_headers)
                sizes[name] = head + int(response.headers["Content-Length"])
    total = sum(sizes.values())
    heaviest_first = sorted(sizes.items(), key=lambda one: -one[1])
    assert total < PAGE_WEIGHT_BYTES, f"{total} bytes: {heaviest_first}"


def test_what_reads_markdown_comes_with_the_first_text_answer() -> None:
    """A spoken conversation has no use for the heaviest file of the page."""
    at_once = _loaded_by(WEB / "index.html")
    later = _loaded_by(WEB / "index.html", lazily=True) - at_once
    assert VENDOR / "marked" / "marked.js" in later


def test_all_modules_are_asked_for_at_once() -> None:
    """A module that is found only in another one costs a round trip before the page works."""
    named = {(WEB / name).resolve() for name in _named_in(WEB / "index.html", lazily=False)}
    modules = {path for path in _loaded_by(WEB / "index.html") if path.suffix == ".js"}
    assert modules - named == set()


def test_each_file_that_a_page_loads_is_of_a_kind_that_is_served() -> None:
    """The server passes on files by their suffix and knows no other."""
    for page in WEB.glob("*.html"):
        for path in _loaded_by(page, lazily=True):
            assert path.suffix in CONTENT_TYPES, path


def test_no_script_or_style_is_left_over() -> None:
    """Each is loaded by one of the pages, at once or later; what nobody loads is removed."""
    loaded = {path for page in WEB.glob("*.html") for path in _loaded_by(page, lazily=True)}
    own = {path for path in _files() if path.suffix in (".js", ".css")}
    own = {path for path in own if not path.is_relative_to(VENDOR)}
    assert own - loaded == set()


def test_no_file_names_another_host() -> None:
    """Nothing is loaded from, or said to, anybody but the server; a comment may name a source."""
    for path in _files():
        if path.name == "LICENSE":
            continue
        if path.suffix in CONTENT_TYPES and CONTENT_TYPES[path.suffix].startswith("image/"):
            text = path.read_bytes().decode("latin-1")
        else:
            text = _text(path)
        allowed = NAMESPACES | (VENDORS_OWN if path.is_relative_to(VENDOR) else set())
        assert set(ADDRESS.findall(COMMENT.sub("", text))) <= allowed, path


@pytest.mark.parametrize(
    ("published", "vendored"), [("lib/marked.esm.js", "marked.js"), ("LICENSE", "LICENSE")]
)
def test_marked_is_vendored_as_it_was_published(published: str, vendored: str) -> None:
    """Byte for byte what the locked npm package holds: ``make lock`` copies it."""
    package = NODE_MODULES / "marked"
    assert (VENDOR / "marked" / vendored).read_bytes() == (package / published).read_bytes()


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ('import "./a.js";', ["./a.js"]),
        ('import { a, b as c } from "./a.js";', ["./a.js"]),
        (
            'import {\n  a,\n  $b,\n} from "./a.js";\nimport * as d from "../d.js";',
            ["./a.js", "../d.js"],
        ),
        ('export * from "./a.js";\nexport { b } from "./b.js";', ["./a.js", "./b.js"]),
        ('export const a = "./a.js";\nexport function b() {\n  return "./b.js";\n}', []),
        ('/** @typedef {import("./a.js").A} A */', []),
    ],
)
def test_imports_are_told_from_other_strings(module: str, names: list[str]) -> None:
    """The weight counts what the browser fetches, and only that."""
    assert STATIC_IMPORT.findall(module) == names


def test_an_address_outside_of_a_comment_is_found() -> None:
    """Also after a string that looks as if it began a comment."""
    module = (
        '// see https://a.example/\nconst kinds = "image/*";\nfetch("https://b.example/x"); /* */'
    )
    assert ADDRESS.findall(COMMENT.sub("", module)) == ["https://b.example/x"]
