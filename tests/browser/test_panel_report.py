"""The events in the panel, and the report that is copied of a call."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.panel_page import CANDIDATES, DOWNLINK, FIGURES, UPLINK, open_panel
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


# -- events --------------------------------------------------------------------------------


async def test_events_come_with_time_and_a_short_detail(
    browser: Browser, server: StandInServer
) -> None:
    """Time is counted from the beginning of the call."""
    async with open_panel(browser, server) as panel:
        await panel.page.clock.run_for(30_000)
        await panel.open()
        await panel.emit(
            "status", {"line": "dialling", "audio": True, "problem": None, "retryInS": 0}
        )
        await panel.page.clock.run_for(61_500)
        await panel.say("state", state="speaking")
        await panel.emit("sent", {"type": "mute", "muted": True})
        await panel.say("turn", turn=2, turn_complete=True, interrupted=True, heard_ms=840)
        await panel.emit(
            "status",
            {"line": "waiting", "audio": True, "problem": {"code": "lost"}, "retryInS": 0.4},
        )
        await expect(panel.events).to_have_text(
            [
                "0:00.000·status line=dialling audio",
                "1:01.500↓receivedstate state=speaking",
                "1:01.500↑sentmute muted",
                "1:01.500↓receivedturn turn=2 complete interrupted heard_ms=840",
                "1:01.500·status line=waiting audio problem=lost retry_in_s=0.4",
            ]
        )


async def test_partial_transcripts_and_pieces_of_text_are_one_line_each(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.say("transcript", role="user", text="What", final=False, turn=1)
        await panel.open()
        await panel.say("state", state="thinking")
        await panel.say("transcript", role="user", text="What is", final=False, turn=1)
        await panel.say("transcript", role="user", text="What is six?", final=True, turn=1)
        await panel.say("transcript", role="user", text="Well?", final=False, turn=1)
        for piece in ("It ", "is ", "six."):
            await panel.say("text", data=piece, turn=1)
        for n in range(3):
            await panel.emit("sent", {"type": "ping", "t": n})
            await panel.say("pong", t=n)
        await expect(panel.page.locator(".event-words")).to_have_text(
            [
                "transcript turn=1 role=user characters=12 updates=3 final",
                "state state=thinking",
                "transcript turn=1 role=user characters=5 updates=1",
                "text turn=1 pieces=3 characters=10",
                "ping sent=3 answered=3",
            ]
        )


async def test_last_two_hundred_events_are_kept(browser: Browser, server: StandInServer) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.page.evaluate("""() => {
          for (let turn = 1; turn <= 250; turn += 1) {
            call.say("message", { type: "turn", turn, turn_complete: true, interrupted: false });
          }
        }""")
        await expect(panel.events).to_have_count(200)
        await expect(panel.events.first).to_contain_text("turn=51 ")
        await expect(panel.events.last).to_contain_text("turn=250 ")


async def test_events_follow_the_end_unless_scrolled_up(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        events = panel.page.locator(".panel-events")
        is_at_end = "(it) => it.scrollHeight - it.scrollTop - it.clientHeight < 2"

        async def say_many() -> None:
            for turn in range(40):
                await panel.say("turn", turn=turn, turn_complete=True, interrupted=False)

        await say_many()
        assert await events.evaluate("(it) => it.scrollHeight > it.clientHeight")
        assert await events.evaluate(is_at_end)

        await events.evaluate("""(it) => new Promise((resolve) => {
          it.addEventListener("scroll", resolve, { once: true });
          it.scrollTop = 10;
        })""")
        await say_many()
        assert await events.evaluate("(it) => it.scrollTop") == 10


# -- report --------------------------------------------------------------------------------


async def test_report_tells_what_a_bug_needs(browser: Browser, server: StandInServer) -> None:
    async with open_panel(browser, server) as panel:
        await panel.page.evaluate("""() => {
          call.isMuted = true;
          call.microphone = { getAudioTracks: () => [{
            readyState: "live", enabled: false, muted: false, label: "Bob's headset",
            getSettings: () => ({
              deviceId: "d-123", groupId: "g-456", echoCancellation: true, sampleRate: 48000,
              noiseSuppression: false, autoGainControl: true, channelCount: 1, latency: 0.01,
            }),
          }] };
        }""")
        await panel.open()
        await panel.measure(FIGURES, seconds=70)
        await panel.emit(
            "status", {"line": "up", "audio": True, "problem": {"code": "lost"}, "retryInS": 0}
        )
        await panel.say("latency", turn=1, response_ms=900, agent_ms=880, playout_ms=20)
        await panel.measure(FIGURES)

        report = await panel.copied()
        blocks = dict(re.findall(r"```(\w+)\n(.*?)\n```", report, flags=re.DOTALL))
        facts = json.loads(blocks["json"])
        assert facts["page"] == "f1n9e7"
        assert facts["browser"]["userAgent"] == await panel.page.evaluate("navigator.userAgent")
        assert facts["browser"]["languages"].startswith("en")
        assert facts["browser"]["viewport"] == "1100x760"
        assert facts["call"] == {
            "callId": "call-1",
            "sessionId": "session-",  # the beginning: who has all of it can go on with the session
            "line": "up",
            "problem": "lost",
            "audio": True,
            "muted": True,
            "outputLatencyMs": 21.5,
            "codecDown": DOWNLINK["codec"],
            "codecUp": UPLINK["codec"],
            "candidates": CANDIDATES,
        }
        assert facts["microphone"] == [
            {
                "readyState": "live",
                "enabled": False,
                "muted": False,
                "autoGainControl": True,
                "channelCount": 1,
                "echoCancellation": True,
                "latency": 0.01,
                "noiseSuppression": False,
                "sampleRate": 48000,
            }
        ]
        assert facts["answersMs"] == [{"turn": 1, "agent": 880, "playout": 20, "network": 100}]

        names, *samples = (line.split(",") for line in blocks["csv"].splitlines())
        assert len(samples) == 60
        newest = dict(zip(names, samples[-1], strict=True))
        assert newest["roundTripMs"] == "37.6"
        assert newest["jitterBufferMs"] == "62.4"
        assert newest["upBitrate"] == "8460"
        assert len(blocks["text"].splitlines()) == 2
        assert "latency turn=1 response_ms=900" in blocks["text"]
        assert "session-1" not in report
        assert len(report) < 65_536  # what the description of an issue may hold


async def test_nothing_that_was_said_and_no_secret_is_shown_or_copied(
    browser: Browser, server: StandInServer
) -> None:
    """Every text of every message, and what the browser knows of the person."""
    async with open_panel(browser, server) as panel:
        said = "Sesame opens 192.0.2.7"
        await panel.page.evaluate(
            """(said) => {
              history.replaceState(null, "", `#token=${said}`);
              sessionStorage.setItem("rtc.token", said);
              localStorage.setItem("rtc.other", said);
              call.token = said;
              call.microphone = { getAudioTracks: () => [{
                readyState: "live", enabled: true, muted: false, label: said, id: said,
                getSettings: () => ({ deviceId: said, groupId: said, sampleRate: 48000 }),
              }] };
            }""",
            said,
        )
        figures = {**FIGURES, "address": said, "candidates": {**CANDIDATES}}
        await panel.open()
        await panel.measure(figures)
        await panel.emit(
            "status",
            {
                "line": "waiting",
                "audio": True,
                "problem": {"code": "lost", "message": said},
                "retryInS": 1,
            },
        )
        await panel.emit("microphone", {"stream": {}, "label": said, "reason": "opened"})
        await panel.emit("video", {"reason": "opened", "kind": "camera", "label": said})
        await panel.emit("speaker", {"deviceId": said, "label": said})
        messages: list[dict[str, Any]] = [
            {"type": "ready", "agent": "bob", "modality": "audio", "resume_token": said},
            {"type": "transcript", "role": "user", "text": said, "final": False, "turn": 1},
            {"type": "transcript", "role": "user", "text": said, "final": True, "turn": 1},
            {"type": "text", "data": said, "turn": 1},
            {"type": "tool", "phase": "call", "id": said, "name": "look_up", "args": {"q": said}},
            {"type": "tool", "phase": "result", "id": said, "name": "look_up", "result": said},
            {"type": "session_state", "delta": {said: said}},
            {"type": "error", "code": "x", "message": said, "retryable": True},
            {"type": "turn", "turn": 1, "turn_complete": True, "heard_text": said},
            {"type": "usage", "turn": 1, "prompt_tokens": 12, "note": said},
            {"type": "confirm", "id": said, "name": "pay", "hint": said, "args": said},
            {"type": "client_tool", "id": said, "name": "look", "args": {said: said}},
            {"type": "thought", "text": said, "turn": 1},
            {"type": "grounding", "turn": 1, "queries": [said], "sources": [{"uri": said}]},
            {"type": "code", "turn": 1, "phase": "call", "code": said, "language": said},
            {"type": "code", "turn": 1, "phase": "result", "output": said, "outcome": said},
            {"type": "image", "turn": 1, "mime_type": "image/png", "data": "U2VzYW1l"},
            {"type": "file", "turn": 1, "uri": said, "name": said, "mime_type": said},
            {"type": "artifact", "name": said, "version": 1},
            {"type": "model", "state": "back", "name": said},
            {"type": said, "data": said},
        ]
        for message in messages:
            await panel.emit("message", message)
        for message in (
            {"type": "text", "mime_type": "text/plain", "data": said},
            {"type": "image", "mime_type": "image/jpeg", "data": "U2VzYW1l"},
            {"type": "session_state", "delta": {"key": said}},
            {"type": "confirm", "id": said, "confirmed": True, "payload": said},
            {"type": "client_tool_result", "id": said, "result": {said: said}},
        ):
            await panel.emit("sent", message)

        report = await panel.copied()
        shown = await panel.panel.evaluate("(it) => it.outerHTML")
        assert "mime_type=image/jpeg bytes=6" in report
        assert f"transcript turn=1 role=user characters={len(said)} updates=2 final" in report
        for place in (report, shown):
            for secret in ("Sesame", "opens", "192.0.2.7", "U2VzYW1l"):
                assert secret not in place


async def test_copy_button_says_copied_for_two_seconds(
    browser: Browser, server: StandInServer
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.open()
        await panel.copied()
        await expect(panel.page.get_by_role("status")).to_have_text("Copied")
        await panel.page.clock.run_for(1900)
        await expect(panel.page.locator(".panel-copy")).to_have_text("Copied")
        await panel.page.clock.run_for(200)
        await expect(panel.page.locator(".panel-copy")).to_have_text("Copy report")
        await expect(panel.page.get_by_role("status")).to_be_empty()


@pytest.mark.parametrize(
    "clipboard", ["undefined", "{ writeText: () => Promise.reject(new Error('no')) }"]
)
async def test_report_stands_selected_where_the_clipboard_is_refused(
    browser: Browser, server: StandInServer, clipboard: str
) -> None:
    async with open_panel(browser, server) as panel:
        await panel.page.evaluate(
            f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }})"
        )
        await panel.open()
        await panel.page.get_by_role("button", name="Copy report").click()
        text = panel.page.get_by_role("textbox", name=re.compile("Copy this report yourself"))
        await expect(text).to_be_focused()
        selected = await panel.page.evaluate("String(getSelection())")
        assert selected.startswith("## Call report")
        assert selected == await text.input_value()
