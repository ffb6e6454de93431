"""The wheel holds everything: installed into an empty environment, it serves from anywhere."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest

from rtc_server.page import CONTENT_TYPES

CHECKOUT = Path(__file__).resolve().parent.parent
WEB = CHECKOUT / "web"
SERVED = sorted(path for path in WEB.rglob("*") if path.suffix in CONTENT_TYPES)

# An agent of somebody else's, in a folder as `adk web` takes it; it needs no key and no extra.
AGENT = """
from google.adk.agents import Agent
from google.adk.models import BaseLlm

class Nobody(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        return
        yield

    def connect(self, llm_request):
        raise OSError

root_agent = Agent(name="nobody", model=Nobody(model="nobody"))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel and its locked dependencies."""
    folder = tmp_path_factory.mktemp("packaging")
    environment = folder / "environment"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", ".")
    (wheel,) = folder.glob("rtc_server-*.whl")
    # The environment is empty; only the index and pip's cache are the user's own.
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    into = [*pip, f"--python={environment}/bin/python", "install", "--no-compile", "--no-deps"]
    _run(*into, "--require-hashes", "--requirement=requirements/run.txt")
    _run(*into, str(wheel))
    return environment / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"


@asynccontextmanager
async def _rtc_server(
    programs: Path, folder: Path, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``rtc-server`` of the environment, run in ``folder`` with nothing of ours set."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "GOOGLE_", "RTC_SERVER_"))
    }
    process = await asyncio.create_subprocess_exec(
        str(programs / "rtc-server"),
        *arguments,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _url(process: asyncio.subprocess.Process) -> str:
    """The address that the server prints when it takes calls."""
    assert process.stdout is not None
    printed = []
    async for line in process.stdout:
        printed.append(line.decode())
        if found := re.search(r"https?://\S+", printed[-1]):
            return found[0].rstrip("/.") + "/"
    pytest.fail("the server ended before it served:\n" + "".join(printed))


@pytest.mark.deadline(120)
async def test_an_installed_wheel_serves_the_page_from_another_folder(
    installed: Path, tmp_path: Path
) -> None:
    """Each file of the page is served as it is here; Ctrl-C ends the server with status 0."""
    agent = tmp_path / "nobody"
    agent.mkdir()
    (agent / "__init__.py").write_text("from . import agent\n")
    (agent / "agent.py").write_text(AGENT)

    async with _rtc_server(installed, tmp_path, "serve", "nobody", "--port=0") as server:
        url = await _url(server)
        async with aiohttp.ClientSession() as http:
            async with http.get(url) as response:
                assert response.content_type == "text/html"
                assert await response.read() == (WEB / "index.html").read_bytes()
            for path in SERVED:
                async with http.get(urljoin(url, path.relative_to(WEB).as_posix())) as response:
                    assert response.status == 200, path
                    assert response.headers["Content-Type"] == CONTENT_TYPES[path.suffix]
                    assert await response.read() == path.read_bytes(), path
            async with http.get(urljoin(url, "api/config")) as response:
                assert (await response.json())["agent"] == "nobody"
        server.send_signal(signal.SIGINT)
        output, _ = await server.communicate()
        assert server.returncode == 0, output.decode()


@pytest.mark.deadline(120)
async def test_serve_without_the_extra_says_what_to_install_or_to_name(
    installed: Path, tmp_path: Path
) -> None:
    """No traceback: one sentence and exit status 2."""
    async with _rtc_server(installed, tmp_path, "serve", "--port=0") as server:
        output, _ = await server.communicate()
    assert server.returncode == 2
    text = output.decode()
    assert "rtc-server[local]" in text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) == 1, text


@pytest.mark.deadline(120)
async def test_the_harness_comes_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    """``rtc-server call`` is there without the checkout, and names itself."""
    async with _rtc_server(installed, tmp_path, "call", "--help") as call:
        output, _ = await call.communicate()
    assert call.returncode == 0, output.decode()
    assert "--save" in output.decode()


async def test_the_wheel_holds_the_page_the_harness_and_the_licence(installed: Path) -> None:
    """Nothing that runs is left in the checkout, and nothing of the tests is taken along."""
    (wheel,) = installed.parent.parent.glob("rtc_server-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert any(path.parent != WEB for path in SERVED), "no folder inside of web/ is tried"
    for path in WEB.rglob("*"):
        if path.is_file():
            assert f"rtc_server/web/{path.relative_to(WEB)}" in names
    for package in ("rtc_server", "rtc_harness"):
        for path in (CHECKOUT / package).rglob("*.py"):
            assert str(path.relative_to(CHECKOUT)) in names
        assert f"{package}/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "rtc_server",
        "rtc_harness",
    }


def test_every_package_that_is_imported_is_declared() -> None:
    """A dependency of a dependency may leave without notice."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["local"]]
    declared = {re.split(r"[\[<>=~ ]", one)[0].lower() for one in requirements}
    distributions = packages_distributions()
    for name in _imported_packages() - {"rtc_server", "rtc_harness", "google"}:
        owners = {one.lower().replace("_", "-") for one in distributions.get(name, [])}
        assert owners & declared, f"{name} of {owners or 'nobody'}"


def _imported_packages() -> set[str]:
    """What the two packages import from outside of the standard library."""
    names: set[str] = set()
    for package in ("rtc_server", "rtc_harness"):
        for path in (CHECKOUT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names.update(one.name.partition(".")[0] for one in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names
