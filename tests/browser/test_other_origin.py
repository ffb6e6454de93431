"""A page on somebody's own web site imports the client library and calls the real server."""

from __future__ import annotations

from types import TracebackType

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from tests.browser.server_process import ServerProcess

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]

PAGE = """<!doctype html>
<title>Another site</title>
<p id="line"></p>
<p id="answer"></p>
<script type="module">
  import { Call } from "SERVERclient/call.js";

  const call = new Call({ url: "SERVER", modality: "text", storage: null });
  const answer = document.querySelector("#answer");
  call.addEventListener("status", ({ detail }) => {
    document.querySelector("#line").textContent = detail.line;
  });
  call.addEventListener("ready", () => call.sendText("What is 23 times 7?"));
  call.addEventListener("text", ({ detail }) => answer.append(detail.data));
  call.addEventListener("turn", () => call.hangUp());
  await call.start({ microphone: false });
</script>
"""


class AnotherSite:
    """A web site of another origin, while it is entered; its page calls ``server``."""

    server = ""
    origin = ""

    async def __aenter__(self) -> AnotherSite:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/favicon.ico", self._no_icon)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE.replace("SERVER", self.server), content_type="text/html")

    async def _no_icon(self, request: web.Request) -> web.Response:
        return web.Response(status=204)


async def test_page_of_an_allowed_origin_imports_the_library_and_is_answered(
    browser: Browser,
) -> None:
    """The operator allowed it by name; that serves for modules, offer, candidates and hang-up."""
    async with (
        AnotherSite() as site,
        ServerProcess("local", "--allow-origin", site.origin) as server,
        await browser.new_context() as context,
    ):
        site.server = server.url
        page = await context.new_page()
        errors: list[str] = []
        page.on("console", lambda one: errors.append(one.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(site.origin)
        await expect(page.locator("#answer")).to_contain_text("161", timeout=30_000)
        await expect(page.locator("#line")).to_have_text("down", timeout=30_000)
        assert errors == []


async def test_page_of_any_other_origin_cannot_even_load_it(browser: Browser) -> None:
    async with (
        AnotherSite() as site,
        ServerProcess("local") as server,
        await browser.new_context() as context,
    ):
        site.server = server.url
        page = await context.new_page()
        async with page.expect_event(
            "requestfailed", lambda request: request.url == f"{server.url}client/call.js"
        ):
            await page.goto(site.origin)
        await expect(page.locator("#line")).to_be_empty()
