"""A real Firefox on the call page, by WebDriver BiDi: no driver beside it, no package for it.

Commands are answered in the order they were sent and events come in between, so that nobody has
to read in the background: whoever waits for an answer takes down the events before it.

https://www.w3.org/TR/webdriver-bidi/
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from asyncio.subprocess import STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

from tests.browser.server_process import RESULTS

__all__ = ["Firefox", "FirefoxCallPage", "find_firefox", "launch_firefox"]

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20
COMMAND_TIMEOUT_S = 90

PREFERENCES = {
    # The person says yes when the page asks for the microphone, which is the sound card's.
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": False,
    "ui.prefersReducedMotion": 1,  # it draws without a graphics card
    # Codecs that are fetched from elsewhere are none of ours.
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-provider.enabled": False,
}
"""The others that keep a browser quiet Firefox sets itself where it is steered from outside."""

ENTER = "\ue007"
LOCAL_SCHEMES = {"blob", "data", "about"}


def find_firefox() -> str | None:
    """The program, where there is one."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


class Firefox:
    """A running browser and the connection that steers it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.events: list[tuple[str, dict[str, Any]]] = []

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result.

        Raises:
            AssertionError: Firefox answers with an error, or not at all.
        """
        id = next(self._ids)
        await self._connection.send(json.dumps({"id": id, "method": method, "params": parameters}))
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            while True:
                message: dict[str, Any] = json.loads(await self._connection.recv())
                if message["type"] == "event":
                    self.events.append((message["method"], message["params"]))
                elif message["id"] == id:
                    assert message["type"] == "success", f"{method}: {message}"
                    result: dict[str, Any] = message["result"]
                    return result

    @asynccontextmanager
    async def open_call_page(self, url: str) -> AsyncIterator[FirefoxCallPage]:
        """Open the page with no memory of earlier ones; at the end it must be clean."""
        user = (await self.command("browser.createUserContext"))["userContext"]
        try:
            created = await self.command("browsingContext.create", type="tab", userContext=user)
            page = FirefoxCallPage(self, created["context"])
            await self.command(
                "browsingContext.navigate", context=page.context, url=url, wait="complete"
            )
            yield page
            await page.check_clean()
        finally:
            await self.command("browser.removeUserContext", userContext=user)


class FirefoxCallPage:
    """The call page in one tab."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self.context = context

    async def call(self, function: str, *arguments: str | int) -> Any:
        """What ``function``, JavaScript of the page's world, returns or promises, as JSON."""
        result = await self._firefox.command(
            "script.callFunction",
            functionDeclaration=f"async (...all) => JSON.stringify(await ({function})(...all))",
            arguments=[_local_value(one) for one in arguments],
            target={"context": self.context},
            awaitPromise=True,
        )
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        value = result["result"]
        return json.loads(value["value"]) if value["type"] == "string" else None

    async def wait_for(self, condition: str, *arguments: str | int, timeout_s: float = 30) -> None:
        """Wait until ``condition`` holds, a function of the page's world that returns a boolean.

        Raises:
            AssertionError: it does not within ``timeout_s``; what the page shows is in it.
        """
        waiting = f"""async (timeoutMs, ...all) => {{
          const end = performance.now() + timeoutMs;
          while (!({condition})(...all)) {{
            if (performance.now() > end) return false;
            await new Promise((resolve) => setTimeout(resolve, 50));
          }}
          return true;
        }}"""
        if not await self.call(waiting, int(timeout_s * 1000), *arguments):
            shown = await self.call("() => document.body.innerText")
            raise AssertionError(f"not in {timeout_s} s: {condition} {arguments}\n{shown}")

    async def state(self) -> str:
        """What the page says the agent is doing."""
        return str(await self.call("() => document.querySelector('#state').dataset.state"))

    async def wait_for_state(self, state: str, *, timeout_s: float = 30) -> None:
        await self.wait_for(
            "(state) => document.querySelector('#state').dataset.state === state",
            state,
            timeout_s=timeout_s,
        )

    async def words(self, role: Literal["user", "agent"]) -> list[str]:
        """What the rows of ``role`` in the transcript say."""
        function = """(role) => [
          ...document.querySelectorAll(`#transcript [data-role=${role}] .words`),
        ].map((one) => one.innerText)"""
        words: list[str] = await self.call(function, role)
        return words

    async def wait_for_answer(self, number: int, *, timeout_s: float = 30) -> str:
        """The words of the last answer, once there are so many and it is whole."""
        await self.wait_for(
            """(number) => {
              const answers = document.querySelectorAll("#transcript [data-role=agent]");
              const last = answers[answers.length - 1];
              return answers.length >= number && last.dataset.final === "true";
            }""",
            number,
            timeout_s=timeout_s,
        )
        return (await self.words("agent"))[-1]

    async def wait_for_button(self, name: str) -> str:
        """Wait until a button that says ``name`` is to be seen; return its ``sharedId``."""
        # Firefox' own search by accessible name takes half a minute on a busy machine.
        waiting = """async (name) => {
          const isIt = (one) =>
            (one.ariaLabel ?? one.innerText.trim()) === name && one.checkVisibility();
          for (;;) {
            const button = [...document.querySelectorAll("button")].find(isIt);
            if (button) return button;
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        }"""
        found = await self._firefox.command(
            "script.callFunction",
            functionDeclaration=waiting,
            arguments=[_local_value(name)],
            target={"context": self.context},
            awaitPromise=True,
        )
        return str(found["result"]["sharedId"])

    async def press(self, name: str) -> None:
        """Click the button of that name with the mouse, as soon as it is there."""
        origin = {"type": "element", "element": {"sharedId": await self.wait_for_button(name)}}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": origin}
        click = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        await self._act({"type": "pointer", "id": "mouse", "actions": [move, *click]})

    async def type(self, text: str) -> None:
        """Type a message and send it."""
        await self.call("() => document.querySelector('#text').focus()")
        keys = [
            {"type": kind, "value": character}
            for character in [*text, ENTER]
            for kind in ("keyDown", "keyUp")
        ]
        await self._act({"type": "key", "id": "keyboard", "actions": keys})

    async def check_clean(self) -> None:
        """No error on the console, no request to another host."""
        await self._firefox.command("session.status")  # what came before it is here now
        errors, hosts = [], set()
        for method, event in self._firefox.events:
            if method == "log.entryAdded" and event["source"].get("context") == self.context:
                if event["level"] in ("error", "warn"):
                    errors.append(event["text"])
            elif method == "network.beforeRequestSent" and event["context"] == self.context:
                url = urlsplit(event["request"]["url"])
                if url.scheme not in LOCAL_SCHEMES:
                    hosts.add(url.hostname)
        assert not errors, errors
        assert hosts == {"127.0.0.1"}

    async def _act(self, source: dict[str, Any]) -> None:
        await self._firefox.command("input.performActions", context=self.context, actions=[source])


def _local_value(value: str | int) -> dict[str, Any]:
    return {"type": "string" if isinstance(value, str) else "number", "value": value}


@asynccontextmanager
async def launch_firefox(
    program: str, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[Firefox]:
    """A browser with a profile of its own in ``folder``; at the end it is gone.

    Args:
        environment: of the browser; names the sound card.
    """
    profile = folder / "profile"
    profile.mkdir()
    lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines))
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "firefox.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            # A desktop lets the audio threads go first (rtkit); here whoever may, asks for it.
            *("nice", "-n", "-10"),
            program,
            "--headless",
            "--no-remote",
            *("--profile", str(profile)),
            *("--remote-debugging-port", "0"),
            stdout=log,
            stderr=STDOUT,
            env=environment,
        )
    try:
        url = await _listening_at(profile, process)
        async with connect(
            f"{url}/session", proxy=None, max_size=None, ping_interval=None, open_timeout=30
        ) as connection:
            firefox = Firefox(connection)
            await firefox.command("session.new", capabilities={})
            await firefox.command(
                "session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"]
            )
            yield firefox
            await firefox.command("browser.close")
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _listening_at(profile: Path, process: Process) -> str:
    """The address at which Firefox can be steered, which it writes into its profile."""
    announcement = profile / "WebDriverBiDiServer.json"
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            assert process.returncode is None, "Firefox has ended: see firefox.log"
            with suppress(FileNotFoundError, json.JSONDecodeError):
                server = json.loads(announcement.read_text())
                return f"ws://{server['ws_host']}:{server['ws_port']}"
            await asyncio.sleep(0.1)
