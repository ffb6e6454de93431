"""The conversation of the call page: its model, what it exports, and how it is drawn."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.chromium import hold_timeouts
from tests.browser.conversation_page import Conversation, open_conversation

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(browser: Browser) -> AsyncIterator[Conversation]:
    async with open_conversation(browser) as conversation:
        yield conversation


@pytest_asyncio.fixture(loop_scope="module")
async def talk(opened: Conversation) -> Conversation:
    await opened.begin_anew()
    return opened


# -- the model -----------------------------------------------------------------------------


async def test_every_change_of_an_entry_is_told(talk: Conversation) -> None:
    await talk.hear("What", final=False)
    await talk.hear("What is it?")
    await talk.run("transcript.clear()")
    assert await talk.run("events") == [
        ["added", "user", "What"],
        ["changed", "user", "What is it?"],
        ["final", "You: What is it?"],
        ["removed", "user", "What is it?"],
    ]


async def test_utterance_is_final_once(talk: Conversation) -> None:
    """Neither the turn's end nor the tail of an answer that is over says it again."""
    await talk.say("Once upon")
    await talk.say("Once upon a time", final=False)
    await talk.end(interrupted=True, heard_ms=300, heard_text="Once")
    await talk.end()
    finals = [one for one in await talk.run("events") if one[0] == "final"]
    assert finals == [["final", "Agent: Once upon"]]


async def test_interrupted_answer_is_final_as_far_as_it_was_heard(talk: Conversation) -> None:
    await talk.say("Once upon a time", final=False)
    await talk.end(interrupted=True, heard_ms=300, heard_text="Once upon")
    assert (await talk.run("events"))[-1] == ["final", "Agent: Once upon"]
    (entry,) = await talk.entries()
    assert entry["heard"] == "Once upon"
    assert entry["heardMs"] == 300


async def test_unheard_words_outlive_the_final_transcript_of_what_was_heard(
    talk: Conversation,
) -> None:
    """The server's last word on an interrupted answer is what went out; the rest had been shown."""
    await talk.say("Once upon a time.", final=False)
    await talk.say("Once upon")
    await talk.end(interrupted=True, heard_ms=300, heard_text="Once upon")
    (entry,) = await talk.entries()
    assert (entry["text"], entry["heard"]) == ("Once upon a time.", "Once upon")
    assert (await talk.run("events"))[-2:] == [
        ["final", "Agent: Once upon"],
        ["changed", "agent", "Once upon a time."],
    ]


async def test_final_transcript_that_is_shorter_holds_for_an_answer_heard_to_its_end(
    talk: Conversation,
) -> None:
    await talk.say("It is six. Hm", final=False)
    await talk.say("It is six.")
    await talk.end()
    (entry,) = await talk.entries()
    assert entry["text"] == "It is six."


async def test_provisional_words_settle_when_they_are_said_again(talk: Conversation) -> None:
    settled = []
    for text in ("what is", "what is sex", "what is six times", "what is six times three"):
        await talk.hear(text, final=False)
        (entry,) = await talk.entries()
        settled.append(text[: entry["settled"]])
    assert settled == ["", "what is", "what is ", "what is six times"]
    await talk.hear("What is six times three?")
    assert (await talk.entries())[0]["settled"] is None


async def test_late_transcript_is_read_before_its_answer(talk: Conversation) -> None:
    await talk.say("Six.")
    await talk.run("globalThis.now += 2000")
    await talk.hear("Two times three?")
    question, answer = await talk.entries()
    assert [question["text"], answer["text"]] == ["Two times three?", "Six."]
    assert question["at"] <= answer["at"]


async def test_typed_text_is_matched_with_its_transcript(talk: Conversation) -> None:
    """A server that writes out typed text as well makes no second entry of it."""
    await talk.run("transcript.addTyped('Hello')")
    await talk.hear(" Hello ")
    (entry,) = await talk.entries()
    assert (entry["turn"], entry["typed"]) == (1, True)


async def test_second_utterance_of_a_turn_is_an_entry_of_its_own(talk: Conversation) -> None:
    await talk.hear("Well.")
    await talk.hear("Two times", final=False)
    await talk.hear("Two times three?")
    assert [one["text"] for one in await talk.entries()] == ["Well.", "Two times three?"]


async def test_calls_count_their_turns_anew_and_end_what_was_open(talk: Conversation) -> None:
    await talk.answer("Hello")
    await talk.take("tool", phase="call", id="a", name="look_up")
    await talk.run("transcript.beginCall()")
    await talk.answer("Welcome back")
    entries = await talk.entries()
    assert [one["text"] for one in entries] == ["Hello", "look_up", "Welcome back"]
    assert [one["final"] for one in entries] == [True, True, False]
    assert entries[1]["tool"]["state"] == "lost"


async def test_timing_before_the_words_dates_the_answer(talk: Conversation) -> None:
    """All parts of the timing are kept, and the answer began with its sound."""
    began = await talk.run("now")
    parts = {"response_ms": 637, "endpoint_ms": 300, "agent_ms": 320, "playout_ms": 17}
    await talk.take("latency", turn=1, uplink_ms=2, **parts)
    await talk.run("globalThis.now += 500")
    await talk.say("Six.")
    (entry,) = await talk.entries()
    assert entry["at"] == began
    assert entry["responseMs"] == 637
    assert entry["latency"] == {**parts, "uplink_ms": 2}


async def test_tool_keeps_its_values_whole_up_to_a_bound(talk: Conversation) -> None:
    args = {"list": list(range(2000))}
    await talk.take("tool", phase="call", id="a", name="sum", args=args)
    await talk.take("tool", phase="result", id="a", name="sum", result={"text": "x" * 20_000})
    (entry,) = await talk.entries()
    assert entry["tool"]["args"] == args
    assert len(entry["tool"]["result"]) == 16 * 1024
    assert entry["tool"]["truncated"] is True
    assert entry["final"] is True


GONE = "What was said before this is no longer kept."


async def test_long_conversation_is_kept_whole(talk: Conversation) -> None:
    await talk.run("for (let row = 1; row <= 1000; row += 1) transcript.addNote(String(row))")
    assert len(await talk.entries()) == 1000
    await expect(talk.rows("note")).to_have_count(1000)


async def test_only_the_last_rows_are_kept_and_it_is_said(talk: Conversation) -> None:
    """In the list, in both exports, and after a reload; once."""
    await talk.run("for (let row = 1; row <= 5030; row += 1) transcript.addNote(String(row))")
    texts = [one["text"] for one in await talk.entries()]
    assert texts == [GONE, *(str(row) for row in range(32, 5031))]
    await expect(talk.rows("note").first).to_have_text(GONE)
    assert GONE in (await talk.run("transcript.toText()")).splitlines()[0]
    assert await talk.run("transcript.toJson().entries[0].text") == GONE
    await talk.run("open(JSON.parse(JSON.stringify(transcript.entries)))")
    await talk.run("transcript.addNote('one more')")
    texts = [one["text"] for one in await talk.entries()]
    assert texts[:2] == [GONE, "33"]
    assert len(texts) == 5000


async def test_only_the_last_characters_are_kept(talk: Conversation) -> None:
    """Two mebi of them, also of words that grow; what grows itself is kept."""
    lengths = await talk.run("""() => {
      for (let row = 0; row < 10; row += 1) transcript.addTyped(String(row).repeat(200 * 1024));
      const before = transcript.entries.length;
      transcript.take({ type: "text", data: "a".repeat(100 * 1024), turn: 1 });
      transcript.take({ type: "text", data: "b".repeat(100 * 1024), turn: 1 });
      const after = transcript.entries.map(({ text }) => text.length);
      return [before, after];
    }""")
    assert lengths[0] == 10
    assert lengths[1] == [len(GONE), *[200 * 1024] * 10]


async def test_store_that_is_too_small_keeps_the_newest(talk: Conversation) -> None:
    """Half as many until there is room, and a note that there were more."""
    kept = await talk.run("""async () => {
      const { tab } = await import("/page/storage.js");
      for (let row = 0; row < 9; row += 1) transcript.addTyped(`${row} ${"x".repeat(200 * 1024)}`);
      sessionStorage.setItem("filler", "x".repeat(4 * 1024 * 1024));
      tab.writeNewest("kept", 9, (count) => transcript.newest(count));
      return tab.read("kept").map(({ text }) => text.slice(0, 50).replace(/ x+$/, ""));
    }""")
    assert kept == [GONE, "5", "6", "7", "8"]


async def test_what_was_stored_is_restored(talk: Conversation) -> None:
    """As plain JSON; what was open is over, and the next call does not continue it."""
    await talk.hear("Hello", final=False)
    await talk.answer("**Hi**")
    await talk.take("tool", phase="call", id="a", name="look_up", args={"a": 1})
    await talk.run("open(JSON.parse(JSON.stringify(transcript.entries)))")
    await talk.run("transcript.beginCall()")
    await talk.answer("Welcome", turn=1)
    await expect(talk.list.locator(".words")).to_have_text(["Hello", "Hi", "Welcome"])
    await expect(talk.rows("tool")).to_have_text(["look_up(a: 1)no result"])
    assert [one["final"] for one in await talk.entries()] == [True, True, True, False]


@pytest.mark.parametrize("stored", ["text", {"a": 1}, [None, 1, {"role": "user", "text": "old"}]])
async def test_what_is_not_a_conversation_is_not_restored(talk: Conversation, stored: Any) -> None:
    await talk.run("(stored) => open(stored)", stored)
    assert await talk.entries() == []


# -- exports -------------------------------------------------------------------------------


async def converse(talk: Conversation) -> None:
    await talk.take("ready", session_id="s1", agent="teller")
    await talk.hear("Tell me a story.")
    await talk.run("globalThis.now += 1000")
    await talk.say("Once upon a time.", final=False)
    await talk.take("latency", turn=1, response_ms=480)
    await talk.end(interrupted=True, heard_ms=400, heard_text="Once upon")
    await talk.take("tool", phase="call", id="a", name="look_up", args={"q": "king"})
    await talk.take("tool", phase="result", id="a", name="look_up", result={"found": 3})
    await talk.run("transcript.addPicture(new Blob(['x'.repeat(84213)], { type: 'image/png' }))")
    await talk.run("transcript.addTyped('Go on')")
    await talk.answer("As you *like*.", turn=2)
    await talk.end(2)


async def test_text_export_can_be_read(talk: Conversation) -> None:
    await converse(talk)
    assert (await talk.run("transcript.toText()")).splitlines() == [
        "[14:03:05] You: Tell me a story.",
        "[14:03:06] Agent (480 ms): Once upon (not heard: a time.)",
        '[14:03:06] Tool: look_up(q: "king") → found: 3',
        "[14:03:06] You: Picture sent (image/png, 84 KB)",
        "[14:03:06] You: Go on",
        "[14:03:06] Agent: As you *like*.",
    ]


async def test_json_export_has_its_documented_shape(talk: Conversation) -> None:
    await converse(talk)
    exported = await talk.run("JSON.parse(JSON.stringify(transcript.toJson()))")
    entries = exported.pop("entries")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", exported.pop("exportedAt"))
    assert exported == {"version": 1, "sessionId": "s1", "agent": "teller"}
    roles = [one["role"] for one in entries]
    assert roles == ["user", "agent", "tool", "picture", "user", "agent"]
    answer = entries[1]
    answer.pop("at")
    assert answer == {
        "role": "agent",
        "call": 1,
        "turn": 1,
        "text": "Once upon a time.",
        "final": True,
        "interrupted": True,
        "heard": "Once upon",
        "heardMs": 400,
        "responseMs": 480,
        "latency": {"response_ms": 480},
        "agent": "teller",
    }


async def test_export_does_not_change_with_the_conversation(talk: Conversation) -> None:
    await talk.answer("One")
    same = "() => { const e = transcript.toJson(); transcript.clear(); return e.entries.length; }"
    assert await talk.run(same) == 1


# -- the view ------------------------------------------------------------------------------


async def test_provisional_words_are_set_off(talk: Conversation) -> None:
    await talk.hear("and what about", final=False)
    await talk.hear("and what about Paris", final=False)
    row = talk.rows("user")
    await expect(row).to_have_class(re.compile("provisional"))
    await expect(row.locator(".words")).to_have_text("and what about Paris")
    await expect(row.locator(".words .provisional")).to_have_text("Paris")
    await talk.hear("And what about Paris?")
    await expect(row).not_to_have_class(re.compile("provisional"))
    await expect(row.locator(".words .provisional")).to_have_count(0)
    await expect(row.locator(".words")).to_have_text("And what about Paris?")


async def test_unheard_words_are_set_off_for_eye_and_ear(talk: Conversation) -> None:
    """They are struck out, which nobody hears, so that a screen reader is told in words."""
    await talk.say("Once upon a time.", final=False)
    await talk.end(interrupted=True, heard_ms=400, heard_text="Once upon")
    row = talk.rows("agent")
    await expect(row.locator("s.unheard")).to_have_text("a time.")
    await expect(row.locator(".remark")).to_have_text("interrupted")
    assert "(not heard) a time." in await row.aria_snapshot()


async def test_answer_that_stopped_halfway_is_shown_as_cut(talk: Conversation) -> None:
    """All that came of it was heard; of the next nothing came, and there is no row."""
    await talk.say("Once upon", final=False)
    await talk.say("Once upon")
    await talk.end(interrupted=True, heard_ms=400, heard_text="Once upon")
    await talk.end(turn=2, interrupted=True, heard_ms=0, heard_text="")
    row = talk.rows("agent")
    await expect(row).to_have_count(1)
    await expect(row.locator(".remark")).to_have_text("interrupted")
    await expect(row.locator(".unheard")).to_have_count(0)


async def test_unheard_end_of_a_text_answer_is_set_off(talk: Conversation) -> None:
    await talk.answer("It is **six** and seven.")
    await talk.end(interrupted=True, heard_text="It is **six**")
    await expect(talk.rows("agent").locator("strong")).to_have_text("six")
    await expect(talk.rows("agent").locator("s.unheard")).to_have_text("and seven.")


async def test_answer_says_when_it_was_given_and_how_fast(talk: Conversation) -> None:
    await talk.say("Six.")
    await talk.take("latency", turn=1, response_ms=1340)
    time = talk.rows("agent").locator("time")
    await expect(time).to_have_text("14:03:05")
    at = (await talk.entries())[0]["at"]
    stamp = await time.evaluate("(time) => Date.parse(time.dateTime)")
    assert stamp == at
    await expect(talk.rows("agent").locator(".remark")).to_have_text("1.3 s")


async def test_text_answer_is_markdown_and_speech_is_not(talk: Conversation) -> None:
    await talk.answer("It is *six*.", turn=1)
    await talk.say("It is *seven*.", turn=2)
    await expect(talk.list.locator(".words")).to_have_text(["It is six.", "It is *seven*."])


async def test_transcript_that_is_followed_by_text_becomes_markdown(talk: Conversation) -> None:
    await talk.say("It is", final=False)
    await talk.drawn()
    await talk.answer("It is *six*.")
    await expect(talk.list.locator(".words")).to_have_text(["It is six."])
    await expect(talk.list.locator(".words em")).to_have_count(1)


async def test_answer_can_be_copied_as_it_was_written(talk: Conversation) -> None:
    await talk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = talk.rows("agent").get_by_role("button")
    await talk.answer("It is *six*.")
    await expect(talk.rows("agent").locator(".copy")).to_be_hidden()  # it may still grow
    await talk.end()
    await expect(button).to_have_css("opacity", "0")
    await button.focus()
    async with hold_timeouts(talk.page):
        await talk.page.keyboard.press("Enter")
        await expect(button).to_have_accessible_name("Copied")
        await expect(button).to_have_css("opacity", "1")
    assert await talk.run("navigator.clipboard.readText()") == "It is *six*."


async def test_tool_unfolds_to_what_went_in_and_came_out(talk: Conversation) -> None:
    row = talk.rows("tool")
    await talk.take("tool", phase="call", id="a", name="multiply", args={"a": 2, "b": 3})
    await expect(row).to_have_text("multiply(a: 2, b: 3)…")
    await row.locator("summary").click()
    await expect(row.locator("pre")).to_have_text(['{ "a": 2, "b": 3 }'])
    result = {"product": 6}
    await talk.take("tool", phase="result", id="a", name="multiply", result=result, truncated=True)
    await expect(row.locator("summary")).to_have_text("multiply(a: 2, b: 3)product: 6")
    await expect(row.locator("pre")).to_have_text(['{ "a": 2, "b": 3 }', '{ "product": 6 }'])
    await expect(row.locator("details")).to_have_attribute("open", "")
    await expect(row.locator(".truncated")).to_have_text("shortened")
    await expect(row).to_have_attribute("data-state", "done")


async def test_tool_without_values_has_nothing_to_unfold(talk: Conversation) -> None:
    await talk.take("tool", phase="call", id="b", name="look_up")
    await talk.take("tool", phase="cancelled", id="b", name="look_up")
    await expect(talk.rows("tool")).to_have_text("look_upcancelled")
    await expect(talk.rows("tool").locator("details")).to_have_count(0)


async def test_value_that_is_nested_very_deeply_is_kept_as_json(talk: Conversation) -> None:
    """Walking through it, here or wherever it is stored, could overflow the stack."""
    script = """() => {
      let value = [];
      for (let level = 0; level < 5000; level += 1) value = [value];
      transcript.take({ type: "tool", phase: "call", id: "a", name: "deep", args: value });
    }"""
    await talk.run(script)
    await talk.rows("tool").locator("summary").click()
    shown = await talk.rows("tool").locator("pre").text_content()
    assert shown == "[" * 5001 + "]" * 5001


async def test_other_rows_are_left_alone_while_an_answer_grows(talk: Conversation) -> None:
    """Nothing of a finished row changes, so that what is selected in it stays selected."""
    await talk.answer("The *first* answer.", turn=1)
    await talk.end(1)
    await talk.say("The second", turn=2, final=False)
    await expect(talk.list.locator(".words em")).to_have_text("first")
    await expect(talk.list.locator(".words").last).to_have_text("The second")
    await talk.run(
        """() => {
          const row = document.querySelector("[data-role=agent]");
          getSelection().selectAllChildren(row.querySelector(".words"));
          globalThis.mutations = 0;
          new MutationObserver((records) => (globalThis.mutations += records.length))
            .observe(row, {
              subtree: true, childList: true, characterData: true, attributes: true,
            });
        }"""
    )
    await talk.say("The second answer", turn=2, final=False)
    await talk.answer("A *third*", turn=3)
    await talk.answer(" one.", turn=3)
    await talk.hear("A late question", turn=2)
    await expect(talk.list.locator(".words")).to_have_text(
        ["The first answer.", "A late question", "The second answer", "A third one."]
    )
    assert await talk.run("mutations") == 0
    assert await talk.run("getSelection().toString().trim()") == "The first answer."


async def test_selection_stays_in_words_that_grow(talk: Conversation) -> None:
    await talk.say("Once upon", final=False)
    await expect(talk.list.locator(".words")).to_have_text("Once upon")
    await talk.run(
        """() => {
          const node = document.querySelector(".words").firstChild;
          getSelection().setBaseAndExtent(node, 0, node, 4);
        }"""
    )
    await talk.say("Once upon a time")
    await expect(talk.list.locator(".words")).to_have_text("Once upon a time")
    assert await talk.run("getSelection().toString()") == "Once"


async def test_changes_are_drawn_once_a_frame(talk: Conversation) -> None:
    """A hundred pieces that come together are one drawing."""
    drawings = await talk.run(
        """async () => {
          let drawings = 0;
          const list = document.querySelector("#transcript");
          new MutationObserver(() => (drawings += 1)).observe(list, { childList: true });
          for (let piece = 0; piece < 100; piece += 1) {
            transcript.take({ type: "text", data: "word ", turn: 1 });
          }
          const before = list.children.length;
          await new Promise((resolve) =>
            requestAnimationFrame(() => requestAnimationFrame(resolve)));
          return [before, drawings, list.innerText.split("word").length - 1];
        }"""
    )
    assert drawings == [0, 1, 100]


async def test_closed_view_draws_no_more(talk: Conversation) -> None:
    await talk.run("view.close(); transcript.addNote('?')")
    await talk.drawn()
    await expect(talk.list).to_be_empty()


async def test_words_from_right_to_left_are_read_from_the_right(talk: Conversation) -> None:
    await talk.hear("متى يفتح المتحف؟")
    await expect(talk.rows("user").locator(".words")).to_have_css("direction", "rtl")


@pytest.mark.parametrize("width", [320, 1440])
async def test_nothing_is_wider_than_the_window(talk: Conversation, width: int) -> None:
    await talk.page.set_viewport_size({"width": width, "height": 640})
    long = "Donaudampfschiff" * 20
    await talk.hear(long)
    await talk.take("tool", phase="call", id="a", name=long, args={"text": long})
    await talk.rows("tool").locator("summary").click()
    cells = "|".join(["cell"] * 30)
    await talk.answer(
        f"{long}\n\n```\n{long}\n```\n\n|{cells}|\n|{'-|' * 30}\n|{cells}|\n\n`{long}`"
    )
    await expect(talk.rows("agent").locator("table")).to_be_visible()
    overflow = """() => {
      const main = document.querySelector("main");
      return main.scrollWidth - main.clientWidth;
    }"""
    assert await talk.run(overflow) == 0
