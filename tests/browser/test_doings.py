"""What an agent does beside talking, in the conversation of the call page: as data and as rows."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.conversation_page import Conversation, open_conversation
from tests.browser.scenes import PLOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(browser: Browser) -> AsyncIterator[Conversation]:
    async with open_conversation(browser) as conversation:
        yield conversation


@pytest_asyncio.fixture(loop_scope="module")
async def talk(opened: Conversation) -> Conversation:
    await opened.begin_anew()
    return opened


async def text_of(talk: Conversation) -> list[str]:
    """The conversation as it is downloaded to be read, without the times."""
    text: str = await talk.run("transcript.toText()")
    return [line.partition("] ")[2] for line in text.splitlines()]


# -- tools ---------------------------------------------------------------------------------


async def test_tool_shows_how_far_it_is(talk: Conversation) -> None:
    """The newest of what it says before its result; one that runs beside the answer says so."""
    row = talk.rows("tool")
    await talk.take("tool", phase="call", id="a", name="copy")
    await talk.take("tool", phase="progress", id="a", name="copy", result={"done": 1})
    await talk.take("tool", phase="progress", id="a", name="copy", result={"done": 2})
    await expect(row.locator("summary")).to_have_text("copydone: 2 …")
    await expect(row).to_have_attribute("data-state", "running")
    await talk.take("tool", phase="result", id="a", name="copy", result={"done": 3})
    await expect(row.locator("summary")).to_have_text("copydone: 3")

    await talk.take("tool", phase="call", id="b", name="order", long_running=True)
    await expect(row.last).to_have_text("order… goes on in the background")


async def test_tool_that_failed_says_so_and_why(talk: Conversation) -> None:
    await talk.take("tool", phase="call", id="a", name="copy")
    error = {"error": "no paper"}
    await talk.take("tool", phase="result", id="a", name="copy", result=error, failed=True)
    await expect(talk.rows("tool")).to_have_attribute("data-state", "failed")
    await expect(talk.rows("tool").locator(".result")).to_have_text('failed: error: "no paper"')
    await talk.take("tool", phase="call", id="b", name="copy")
    await talk.take("tool", phase="result", id="b", name="copy", failed=True)
    await expect(talk.rows("tool").last).to_have_text("copyfailed")


# -- agents --------------------------------------------------------------------------------


async def test_agent_that_takes_over_is_named_there_and_with_its_answers(
    talk: Conversation,
) -> None:
    await talk.take("ready", session_id="s", agent="host")
    await talk.say("One moment.", turn=1)
    await talk.take("agent", name="host")  # it is the one already
    await talk.take("agent", name="travel")
    await talk.say("Where to?", turn=2)
    await expect(talk.rows("note")).to_have_text("travel goes on.")
    await expect(talk.rows("agent").first.locator(".remark")).to_be_hidden()
    await expect(talk.rows("agent").last.locator(".remark")).to_have_text("travel")


async def test_first_agent_is_no_news(talk: Conversation) -> None:
    """One that takes over before anything was said needs no row."""
    await talk.take("ready", session_id="s", agent="host")
    await talk.take("agent", name="travel")
    assert await talk.entries() == []


# -- code ----------------------------------------------------------------------------------


async def test_code_and_its_result_are_one_row_that_unfolds(talk: Conversation) -> None:
    row = talk.rows("code")
    await talk.take("code", turn=1, phase="call", language="PYTHON", code="print(6)")
    await expect(row).to_have_text("Codeprint(6)…")
    await talk.take("code", turn=1, phase="result", outcome="ok", output="6\n")
    await expect(row).to_have_text("Codeprint(6)6")
    await row.locator("summary").click()
    await expect(row.locator(".label")).to_have_text(["python", "Result · ok"])
    await expect(row.locator("pre")).to_have_text(["print(6)", "6"])
    assert await text_of(talk) == ["Code: print(6) → 6"]


async def test_code_that_never_ended_has_no_result(talk: Conversation) -> None:
    await talk.take("code", turn=1, phase="call", code="while True: pass", truncated=True)
    await talk.run("transcript.beginCall()")
    await expect(talk.rows("code")).to_have_text("Codewhile True: pass")
    await talk.take("code", turn=1, phase="result", outcome="failed")
    await expect(talk.rows("code").last).to_have_text("Codefailed")


# -- sources -------------------------------------------------------------------------------


async def test_sources_are_links_that_tell_nobody_where_they_come_from(talk: Conversation) -> None:
    """And what an answer has said already is not said twice."""
    known = {"uri": "https://a.example/x", "title": "A"}
    await talk.take("grounding", turn=1, queries=["a?"], sources=[known])
    more = [known, {"uri": "http://b.example/"}, {"title": "C"}, {}]
    await talk.take("grounding", turn=1, queries=["a?", "b?"], sources=more)
    row = talk.rows("sources")
    await expect(row.locator("q")).to_have_text(["a?", "b?"])
    await expect(row.locator("li")).to_have_text(["A", "http://b.example/", "C"])
    attributes = """(links) => links.map((one) => [one.href, one.target, one.rel])"""
    rest = ["_blank", "noopener noreferrer nofollow"]
    assert await row.locator("a").evaluate_all(attributes) == [
        ["https://a.example/x", *rest],
        ["http://b.example/", *rest],
    ]
    assert await text_of(talk) == [
        "Sources: a?; b?; A <https://a.example/x>; <http://b.example/>; C"
    ]


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:window.xss=1",
        "java\tscript:window.xss=1",
        " \u0001JavaScript:window.xss=1",
        "data:text/html,x",
        "blob:https://a.example/x",
        "file:///etc/passwd",
        "//a.example/",
        "/api/calls",
        "https://bank.example@evil.example/",
        f"https://a.example/{'x' * 5_000}",
    ],
)
async def test_what_is_no_address_on_the_web_is_no_link(talk: Conversation, uri: str) -> None:
    await talk.take("grounding", turn=1, queries=[], sources=[{"uri": uri, "title": "Click me"}])
    await expect(talk.rows("sources").locator("bdi")).to_have_text("Click me")
    await expect(talk.rows("sources").locator("a")).to_have_count(0)


async def test_file_that_lies_elsewhere_is_a_link_by_its_name(talk: Conversation) -> None:
    await talk.take("file", turn=1, uri="gs://bucket/x", mime_type="text/csv", name="x.csv")
    await talk.take("file", turn=1, uri="https://a.example/y.pdf")
    await expect(talk.rows("sources").locator("bdi")).to_have_text("x.csv (text/csv)")
    await expect(talk.rows("sources").locator("a")).to_have_text("https://a.example/y.pdf")


async def test_as_many_sources_are_kept_as_can_be_read(talk: Conversation) -> None:
    many = [{"uri": f"https://a.example/{n}", "title": "x" * 5_000} for n in range(100)]
    await talk.take("grounding", turn=1, queries=["q"] * 50, sources=many)
    (entry,) = await talk.entries()
    assert entry["sources"]["queries"] == ["q"]
    assert len(entry["sources"]["links"]) == 40
    assert len(entry["sources"]["links"][0]["title"]) == 2_048


# -- pictures ------------------------------------------------------------------------------


async def test_picture_of_an_answer_is_drawn_and_described(talk: Conversation) -> None:
    await talk.take("image", turn=1, mime_type="image/png", data=PLOT)
    image = talk.rows("image").get_by_role("img", name="Picture in the answer")
    await expect(image).to_have_js_property("naturalWidth", 160)
    await expect(image).to_have_attribute("src", re.compile("^blob:"))
    await expect(talk.rows("image")).to_have_text("Picture (image/png, 1 KB)")
    assert await text_of(talk) == ["Agent: Picture (image/png, 1 KB)"]
    await talk.run("transcript.clear()")
    await expect(talk.rows("image")).to_have_count(0)


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("image/svg+xml", base64.b64encode(b"<svg onload='window.xss=1'/>").decode()),
        ("text/html", base64.b64encode(b"<script>window.xss=1</script>").decode()),
        ("image/png", "!"),
        ("image/png", base64.b64encode(b"no picture").decode()),
    ],
)
async def test_what_is_no_picture_is_only_mentioned(
    talk: Conversation, mime_type: str, data: str
) -> None:
    await talk.take("image", turn=1, mime_type=mime_type, data=data)
    await expect(talk.rows("image")).to_have_text(f"Picture ({mime_type}, 1 KB)")
    await expect(talk.rows("image").locator("img")).to_have_count(0)


async def test_pictures_are_kept_for_the_newest_rows(talk: Conversation) -> None:
    """And not over a reload."""
    take = {"type": "image", "turn": 1, "mime_type": "image/png", "data": PLOT}
    await talk.run("(one) => { for (let n = 0; n < 42; n += 1) transcript.take(one); }", take)
    await expect(talk.rows("image")).to_have_count(42)
    await expect(talk.rows("image").locator("img")).to_have_count(40)
    await talk.run("open(JSON.parse(JSON.stringify(transcript.entries)))")
    await expect(talk.rows("image")).to_have_count(42)
    await expect(talk.rows("image").locator("img")).to_have_count(0)


# -- thoughts and files --------------------------------------------------------------------


async def test_thoughts_of_a_turn_are_folded_into_one_row(talk: Conversation) -> None:
    await talk.take("thought", text="First ", turn=1)
    await talk.take("thought", text="<b>this</b>.", turn=1)
    await talk.take("thought", text="Then that.", turn=2)
    row = talk.rows("thought").first
    await expect(talk.rows("thought")).to_have_count(2)
    await expect(row.locator("p")).to_be_hidden()
    await row.locator("summary").click()
    await expect(row.locator("p")).to_have_text("First <b>this</b>.")


async def test_what_the_agent_saved_is_a_line(talk: Conversation) -> None:
    await talk.take("artifact", name="report.pdf", version=0)
    await talk.take("artifact", name="report.pdf", version=1)
    await expect(talk.rows("note")).to_have_text(
        ["Saved report.pdf.", "Saved report.pdf, version 2."]
    )


async def test_doings_come_back_after_a_reload(talk: Conversation) -> None:
    """What a store of another page holds is passed over."""
    await talk.take("code", turn=1, phase="call", code="print(6)")
    await talk.take("grounding", turn=1, queries=["a?"], sources=[])
    await talk.take("thought", text="Hm.", turn=1)
    await talk.run(
        """() => {
          const stored = JSON.parse(JSON.stringify(transcript.entries));
          const { sources, ...broken } = stored[1];
          open([...stored, broken, { ...stored[0], role: "hologram" }]);
        }"""
    )
    entries: list[dict[str, Any]] = await talk.entries()
    assert [one["role"] for one in entries] == ["code", "sources", "thought"]
    assert [one["final"] for one in entries] == [True, True, True]
