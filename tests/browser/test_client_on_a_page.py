"""The client library on a page: the example as served, and the one of its documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.browser import speech
from tests.browser.chromium import CallPage, launch_chromium
from tests.browser.server_process import ServerProcess

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.deadline(60),
    pytest.mark.usefixtures("browser"),  # its loop keeps the threads of the module
]

WEB = Path(__file__).parents[2] / "web"

# -- the example ---------------------------------------------------------------------------


async def test_example_has_fewer_than_thirty_lines() -> None:
    """Page and script together."""
    names = ("example.html", "example.js")
    assert sum(len((WEB / name).read_text().splitlines()) for name in names) < 30


@pytest.mark.deadline(120)
async def test_example_holds_a_conversation_with_the_embedded_agent(tmp_path: Path) -> None:
    """Somebody presses Talk and asks; the answer is shown, and Hang up ends the call."""
    samples, rate = speech.speak("What is 23 times 7?")
    wav = speech.write_wav(tmp_path / "question.wav", samples, rate, lead_s=8, tail_s=60)
    async with (
        ServerProcess() as server,
        launch_chromium(microphone=wav) as browser,
        await browser.new_context(permissions=["microphone"]) as context,
    ):
        page = await context.new_page()
        seen = CallPage(page)
        await page.goto(f"{server.url}example.html")
        await page.get_by_role("button", name="Talk").click()
        answer = re.compile(r"^agent: .*(161|hundred and sixty[ -]one)")
        await expect(page.locator("p")).to_have_text(answer, timeout=60_000)
        async with page.expect_response(lambda one: one.request.method == "DELETE"):
            await page.get_by_role("button", name="Hang up").click()
        seen.check_clean()


# -- the documentation ---------------------------------------------------------------------


class DocumentedSite:
    """Somebody's own web site: the two files and the policy of ``docs/client.md``, as they are."""

    def __init__(self) -> None:
        document = (WEB.parent / "docs" / "client.md").read_text()
        self._html = self._block(document, "html")
        self._script = self._block(document, "js")
        (self._policy,) = re.findall(r"^ *(script-src .*)$", document, re.M)
        self.lines = len((self._html + self._script).splitlines())
        self.origin = ""
        self.server = ""

    async def __aenter__(self) -> DocumentedSite:
        app = web.Application()
        app.router.add_get("/talk.html", self._page)
        app.router.add_get("/talk.js", self._module)
        app.router.add_get("/favicon.ico", self._no_icon)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        return self._answer(self._html, "text/html")

    async def _module(self, request: web.Request) -> web.Response:
        return self._answer(self._script, "text/javascript")

    def _answer(self, body: str, content_type: str) -> web.Response:
        policy = f"default-src 'none'; {self._name_server(self._policy)}"
        return web.Response(
            text=self._name_server(body),
            content_type=content_type,
            headers={"Content-Security-Policy": policy},
        )

    async def _no_icon(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    def _name_server(self, text: str) -> str:
        return text.replace("https://calls.example", self.server.rstrip("/"))

    @staticmethod
    def _block(document: str, language: str) -> str:
        """The first of that language."""
        block = re.search(rf"^```{language}\n(.*?)^```$", document, re.M | re.S)
        assert block is not None, language
        return block[1]


@pytest.mark.deadline(120)
async def test_documented_page_works_as_it_stands_there(tmp_path: Path) -> None:
    """On another origin, under the documented policy and nothing else, with a microphone."""
    samples, rate = speech.speak("What is 23 times 7?")
    wav = speech.write_wav(tmp_path / "question.wav", samples, rate, lead_s=8, tail_s=60)
    async with (
        DocumentedSite() as site,
        ServerProcess("local", "--allow-origin", site.origin) as server,
        launch_chromium(microphone=wav) as browser,
        await browser.new_context(permissions=["microphone"]) as context,
    ):
        assert site.lines < 30
        site.server = server.url
        page = await context.new_page()
        seen = CallPage(page)
        await page.goto(f"{site.origin}/talk.html")
        await page.get_by_role("button", name="Talk").click()
        answer = re.compile(r"^agent: .*(161|hundred and sixty[ -]one)")
        await expect(page.locator("#said")).to_have_text(answer, timeout=60_000)
        async with page.expect_response(lambda one: one.request.method == "DELETE"):
            await page.get_by_role("button", name="Hang up").click()
        await expect(page.locator("#problem")).to_be_empty()
        seen.check_clean()
