"""A real Chromium on the call page, and what it logged and asked for meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    async_playwright,
    expect,
)

__all__ = [
    "CHROMIUM",
    "TIMEOUT_MS",
    "CallPage",
    "hold_timeouts",
    "launch_chromium",
    "open_call_page",
    "stop_clock",
]

CHROMIUM = Path("/usr/bin/chromium")
OFF = [
    # Pages of the browser's own behind every address bar: half of what a window costs.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    # What Playwright switches off: the browser takes the last list only.
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "TcpPortRandomizationWin",
    "ThirdPartyStoragePartitioning",
    "msEdgeUpdateLaunchServicesPreferredVersion",
    "msForceBrowserSignIn",
]
FLAGS = [
    f"--disable-features={','.join(OFF)}",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

TIMEOUT_MS = 30_000
"""How long a page may take to show what it is to show: the machine may be busy with other tests."""

expect.set_options(timeout=TIMEOUT_MS)

AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
LOCAL_SCHEMES = {"blob", "data", "about"}


Role = Literal["user", "agent", "tool", "note", "code", "sources", "thought", "image", "picture"]


class CallPage:
    """The call page in a browser; the locators say what is what on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console_errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on("request", self._on_request)

        self.state = page.locator("#state")
        self.notice = page.locator("#notice")
        self.transcript = page.locator("#transcript")
        self.start_audio = page.get_by_role("button", name="Start audio")
        self.hang_up = page.get_by_role("button", name="Hang up")
        self.mute = page.locator("#mute")
        self.interrupt = page.locator("#interrupt")
        self.message = page.get_by_role("textbox", name="Message")

    def rows(self, role: Role) -> Locator:
        return self.transcript.locator(f"[data-role={role}]")

    async def begin_anew(self) -> None:
        """Begin a new conversation, and say so twice where there is one to forget."""
        # Both at once: the page waits for the second click for a few seconds only.
        await self.page.locator("#new").evaluate(
            "(button) => { button.click(); if (button.matches('.asks')) button.click(); }"
        )

    async def type(self, text: str) -> None:
        """Type a message and send it."""
        await self.message.fill(text)
        await self.message.press("Enter")

    async def wait_connected(self, *, timeout_s: float = 20) -> None:
        await expect(self.state).not_to_have_attribute(
            "data-state", "connecting", timeout=timeout_s * 1000
        )
        await expect(self.state).not_to_have_attribute(
            "data-state", "reconnecting", timeout=timeout_s * 1000
        )
        await expect(self.state).to_have_attribute(
            "data-state", "listening", timeout=timeout_s * 1000
        )

    def check_clean(self, *, refused_requests: bool = False) -> None:
        """No error on the console, no request to another host.

        Args:
            refused_requests: the test took the server away or made it refuse; the browser
                itself logs a line for every such request.
        """
        errors = self.console_errors
        if refused_requests:
            errors = [one for one in errors if "Failed to load resource" not in one]
        assert errors == []
        hosts = {urlsplit(one).hostname for one in self.requests} - {None}
        assert hosts <= {"127.0.0.1", "localhost"}

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.console_errors.append(message.text)

    def _on_request(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in LOCAL_SCHEMES:
            self.requests.append(request.url)


@asynccontextmanager
async def hold_timeouts(page: Page) -> AsyncIterator[None]:
    """What the page takes back after a while stays, however long it takes to look at it."""
    await page.evaluate("""() => {
      globalThis.realTimeout = globalThis.setTimeout;
      globalThis.setTimeout = () => 0;
    }""")
    yield
    await page.evaluate("() => { globalThis.setTimeout = globalThis.realTimeout; }")


async def stop_clock(page: Page) -> None:
    """From here on time goes by ``page.clock`` alone, and frames are drawn when it is moved."""
    await page.clock.install()
    # Only a time to come can be stopped at: this one is, however slow the machine.
    await page.clock.pause_at(await page.evaluate("Date.now() + 60_000"))


@asynccontextmanager
async def launch_chromium(
    *, microphone: Path | None = None, has_microphone: bool = True, autoplay: bool = True
) -> AsyncIterator[Browser]:
    """A browser of its own.

    Args:
        microphone: absolute path of a WAV file that the fake microphone plays once; None: it beeps.
        has_microphone: False takes the device away.
        autoplay: False holds sound back until the person does something, as browsers do.
    """
    flags = list(FLAGS)
    if autoplay:
        flags.append(AUTOPLAY)
    if has_microphone:
        flags.append("--use-fake-device-for-media-stream")
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_call_page(
    browser: Browser,
    url: str,
    *,
    allow_microphone: bool = True,
    refused_requests: bool = False,
    color_scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = (1100, 760),
    scale: float = 1,
    init_script: str | None = None,
    motion: bool = False,
) -> AsyncIterator[CallPage]:
    """Open the page at ``url`` with no memory of earlier ones; at the end it must be clean.

    Args:
        allow_microphone: what the person answers when the browser asks; for the camera as well.
        refused_requests: see :meth:`CallPage.check_clean`.
        init_script: JavaScript that runs before the page's own.
        motion: whether the page may move: it draws without a graphics card, at the cost of tests.
    """
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=color_scheme,
        device_scale_factor=scale,
        permissions=["microphone", "camera"] if allow_microphone else [],
        reduced_motion="no-preference" if motion else "reduce",
    )
    try:
        if init_script:
            await context.add_init_script(init_script)
        page = await context.new_page()
        call_page = CallPage(page)
        await page.goto(url)
        yield call_page
        call_page.check_clean(refused_requests=refused_requests)
    finally:
        await context.close()
