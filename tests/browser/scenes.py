"""Each state that the call page can be in, brought about on the stand-in server.

The tests of looks, of accessibility and of translation all go through these scenes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, expect

from tests.browser.chromium import CallPage, open_call_page
from tests.browser.stand_in_server import Refusal, StandInCall, StandInServer
from tests.browser.taken_calls import take_call

__all__ = ["HOOKS", "SCENES", "Stage", "open_stage"]

HOOKS = """
// The microphone fails with the DOMException of this name, as if there were none.
globalThis.microphoneFails = "";
const { mediaDevices } = navigator;
const original = mediaDevices.getUserMedia.bind(mediaDevices);
mediaDevices.getUserMedia = async (constraints) => {
  if (microphoneFails) throw new DOMException("", microphoneFails);
  return original(constraints);
};
// What the page waits for takes so much longer: a state between two others can be looked at.
globalThis.waitsTake = 1;
const realTimeout = globalThis.setTimeout;
globalThis.setTimeout = (act, ms, ...rest) => realTimeout(act, ms * globalThis.waitsTake, ...rest);
"""

ANSWER = """\
Lisbon is warm and dry on **Saturday**; I would take the train:

| Train | Leaves | Takes |
| --- | --- | --- |
| IC 523 | 08:09 | 2 h 55 |
| AP 131 | 09:39 | 2 h 35 |

1. Book [a seat](https://example.org/seats) by `Thursday`.
2. Bring water, and read this:

```python
def minutes(hours: int, rest: int) -> int:
    return 60 * hours + rest
```
"""
QUESTION = "How do I get to Lisbon on Saturday, and what will the weather be like?"
SPOKEN = "It will be sunny in Lisbon on Saturday, with a light wind from the sea and 24 degrees."
ARGS = {"city": "Lisbon", "day": "Saturday"}
RESULT = {"sky": "sunny", "high": 24, "low": 15, "wind": "light"}


@dataclass
class Stage:
    """A page in a call, and both ends of it."""

    page: CallPage
    server: StandInServer
    call: StandInCall

    async def start_audio(self) -> None:
        """Go on as an audio call."""
        await self.page.start_audio.click()
        self.call = await take_call(self.server, self.page)
        await expect(self.page.hang_up).to_be_visible()

    async def be(self, state: str) -> None:
        """Let the agent be in ``state``."""
        self.call.send("state", state=state)
        await self.shows(state)

    async def shows(self, state: str) -> None:
        await expect(self.page.state).to_have_attribute("data-state", state)

    async def notices(self, code: str) -> None:
        await expect(self.page.notice).to_have_attribute("data-code", code)
        await expect(self.page.notice).to_be_visible()

    async def hear(self, *, own: float = 0, agents: float = 0) -> None:
        """Show levels: neither the stand-in nor the fake microphone makes a steady sound."""
        await self.page.page.evaluate(
            """([own, agents]) => {
              for (const id of ["stage", "mute", "hold"]) {
                document.getElementById(id).style.setProperty("--own", own);
              }
              document.getElementById("stage").style.setProperty("--agents", agents);
            }""",
            [own, agents],
        )

    async def fail_microphone(self, name: str) -> None:
        await self.page.page.evaluate("(name) => { microphoneFails = name; }", name)

    async def stretch_waits(self) -> None:
        await self.page.page.evaluate("() => { waitsTake = 1000; }")


@asynccontextmanager
async def open_stage(
    browser: Browser, server: StandInServer, *, init_script: str = "", **options: Any
) -> AsyncIterator[Stage]:
    """Open the page and take its first call; ``options`` are those of ``open_call_page``."""
    script = HOOKS + init_script
    async with open_call_page(
        browser, server.url, init_script=script, refused_requests=True, **options
    ) as page:
        yield Stage(page, server, await take_call(server, page))


# -- conversations -------------------------------------------------------------------------


async def _empty(stage: Stage) -> None:
    await expect(stage.page.page.locator("#empty")).to_be_visible()


async def _text_conversation(stage: Stage) -> None:
    """Markdown, a tool that is unfolded, one that still runs, a timing."""
    call, page = stage.call, stage.page
    await page.type("Hello!")
    call.send("text", data="Hello. Where do you want to go?", turn=1)
    call.send("latency", turn=1, response_ms=312, playout_ms=1, uplink_ms=1)
    call.send("turn", turn=1, turn_complete=True, interrupted=False)
    await expect(page.rows("agent")).to_have_attribute("data-final", "true")
    await page.type(QUESTION)
    call.send("tool", phase="call", id="1", name="get_weather", args=ARGS)
    call.send("tool", phase="result", id="1", name="get_weather", result=RESULT)
    await expect(page.rows("tool")).to_contain_text("sunny")
    call.send("text", data=ANSWER, turn=2)
    call.send("latency", turn=2, response_ms=1180, agent_ms=1100, playout_ms=80, uplink_ms=2)
    call.send("turn", turn=2, turn_complete=True, interrupted=False)
    await expect(page.rows("agent").last).to_have_attribute("data-final", "true")
    await expect(page.rows("agent").last.locator("pre")).to_be_visible()  # read as markdown


async def _tool_unfolded(stage: Stage) -> None:
    await _text_conversation(stage)
    await stage.page.rows("tool").first.locator("summary").click()
    await expect(stage.page.rows("tool").first.locator("pre")).to_have_count(2)


PLOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAKAAAABgCAMAAACt+YmrAAAACVBMVEX19vlQUFA2VtQlybBxAAAAXklEQVR42u3PwQ"
    "kAMAwDsdD9h+4GfRlCE90ClqskSZKkCZ1ngICAgICAgICAgIAZYNsRQEBAQEBAQEBAQEDAlcD0MCAgICAgICAgIGD0"
    "CCAgICAgICAgICAgIODHwAvbGS9ZCu2n6AAAAABJRU5ErkJggg=="
)
"""A PNG: bars."""
CODE = "trains = [175, 155]\nprint(min(trains))"


async def _doings(stage: Stage) -> None:
    """All that an agent does beside talking, after another one has taken over."""
    call, page = stage.call, stage.page
    await page.type(QUESTION)
    call.send("agent", name="travel agent")
    call.send("thought", text="They want to leave on Saturday. ", turn=1)
    call.send("thought", text="Two trains go.", turn=1)
    call.send("tool", phase="call", id="1", name="book_seat", args=ARGS, long_running=True)
    call.send("tool", phase="progress", id="1", name="book_seat", result={"step": "asking"})
    call.send("tool", phase="call", id="2", name="get_prices", args=ARGS)
    failed = {"error": "no prices today"}
    call.send("tool", phase="result", id="2", name="get_prices", result=failed, failed=True)
    call.send("code", turn=1, phase="call", language="PYTHON", code=CODE)
    call.send("code", turn=1, phase="result", outcome="ok", output="155\n")
    call.send("text", data="The fastest train takes 155 minutes.", turn=1)
    call.send("image", turn=1, mime_type="image/png", data=PLOT)
    sources = [
        {"uri": "https://trains.example/lisbon", "title": "Trains to Lisbon"},
        {"uri": "https://weather.example/", "title": "weather.example"},
        {"title": "A timetable of paper"},
    ]
    call.send("grounding", turn=1, queries=["trains to Lisbon"], sources=sources)
    call.send("artifact", name="ticket.pdf", version=1)
    call.send("turn", turn=1, turn_complete=True, interrupted=False)
    await expect(page.rows("agent")).to_have_attribute("data-final", "true")
    for row in (page.rows("thought"), page.rows("code")):
        await row.locator("summary").click()
    await expect(page.rows("code").locator("pre")).to_have_count(2)
    await expect(page.rows("image").locator("img")).to_be_visible()
    await expect(page.rows("agent").locator("p")).to_be_visible()  # read as markdown


async def _question(stage: Stage) -> None:
    """The agent asks for a yes, and sees through the camera; its model has been away."""
    page = stage.page.page
    await stage.start_audio()
    await _speak(stage)
    await page.locator("#camera").click()
    await expect(page.locator("#eyes")).to_be_visible()
    stage.call.send("model", state="away")
    await stage.notices("model_away")
    stage.call.send("model", state="back")
    await expect(stage.page.notice).to_be_hidden()
    stage.call.send(
        "confirm",
        id="7",
        name="book_seat",
        hint="A seat on AP 131 on Saturday, 09:39, for 24.90 euros. It cannot be given back.",
        args={"train": "AP 131", "seats": 1},
        payload={"window": True},
        seconds=60,
    )
    stage.call.send("confirm", id="8", name="send_mail", seconds=60)
    await expect(page.locator("#question")).to_be_visible()
    await expect(page.locator("#question-more")).not_to_be_empty()


async def _answering(stage: Stage) -> None:
    """A text answer that is under way can be stopped."""
    await _text_conversation(stage)
    await stage.page.type("And back on Sunday?")
    await stage.be("speaking")
    stage.call.send("text", data="On Sunday there are", turn=3)
    await expect(stage.page.interrupt).to_be_visible()
    await expect(stage.page.rows("agent").last.locator("p")).to_have_text("On Sunday there are")


async def _speak(stage: Stage) -> None:
    """One question and its answer, both spoken."""
    call = stage.call
    call.send("transcript", role="user", text=QUESTION, final=True, turn=1)
    call.send("tool", phase="call", id="1", name="get_weather", args=ARGS)
    call.send("tool", phase="result", id="1", name="get_weather", result=RESULT)
    call.send(
        "latency",
        turn=1,
        response_ms=642,
        endpoint_ms=301,
        agent_ms=322,
        playout_ms=19,
        uplink_ms=2,
    )
    call.send("transcript", role="agent", text=SPOKEN, final=True, turn=1)
    call.send("turn", turn=1, turn_complete=True, interrupted=False)
    answer = stage.page.rows("agent").last
    await expect(answer).to_have_attribute("data-final", "true")


async def _first_listening(stage: Stage) -> None:
    """An audio call before the first word."""
    await stage.start_audio()
    await stage.hear(own=0.35)


async def _listening(stage: Stage) -> None:
    """The person is speaking; the newest words are still provisional."""
    await stage.start_audio()
    await _speak(stage)
    for text in ("And what about", "And what about Sunday"):
        stage.call.send("transcript", role="user", text=text, final=False, turn=2)
    await expect(stage.page.rows("user").last).to_contain_text("Sunday")
    await stage.hear(own=0.6)


async def _thinking(stage: Stage) -> None:
    await stage.start_audio()
    await _speak(stage)
    stage.call.send("transcript", role="user", text="And what about Sunday?", final=True, turn=2)
    stage.call.send("tool", phase="call", id="2", name="get_weather", args=ARGS)
    await expect(stage.page.rows("tool")).to_have_count(2)
    await stage.be("thinking")


async def _speaking(stage: Stage) -> None:
    await stage.start_audio()
    await _speak(stage)
    stage.call.send("transcript", role="user", text="And what about Sunday?", final=True, turn=2)
    await stage.be("speaking")
    for text in ("On Sunday clouds", "On Sunday clouds come in from the"):
        stage.call.send("transcript", role="agent", text=text, final=False, turn=2)
    await expect(stage.page.rows("agent").last).to_contain_text("the")
    await stage.hear(agents=0.7)


async def _muted(stage: Stage) -> None:
    await stage.start_audio()
    await _speak(stage)
    await stage.page.mute.click()
    await expect(stage.page.mute).to_have_attribute("data-muted", "true")


async def _hold_to_talk(stage: Stage) -> None:
    await _choose_hold_to_talk(stage)
    await stage.start_audio()
    await _speak(stage)
    await expect(stage.page.page.locator("#hold")).to_be_visible()


async def _held(stage: Stage) -> None:
    """The button is held down."""
    await _hold_to_talk(stage)
    await stage.page.page.locator("#hold").hover()
    await stage.page.page.mouse.down()
    await stage.hear(own=0.6)


async def _choose_hold_to_talk(stage: Stage) -> None:
    page = stage.page.page
    await page.locator("#settings-open").click()
    await page.locator("#holdToTalk").click()
    await page.keyboard.press("Escape")


async def _interrupted(stage: Stage) -> None:
    """An answer that the person broke off: what was not heard is struck out."""
    await stage.start_audio()
    stage.call.send("transcript", role="user", text="Tell me a story.", final=True, turn=1)
    story = "Once upon a time there was a lighthouse that nobody had climbed for a hundred years."
    stage.call.send("transcript", role="agent", text=story, final=False, turn=1)
    stage.call.send(
        "turn",
        turn=1,
        turn_complete=True,
        interrupted=True,
        heard_ms=1900,
        heard_text="Once upon a time there was a lighthouse",
    )
    stage.call.send("transcript", role="user", text="A shorter one, ple", final=False, turn=2)
    await expect(stage.page.transcript.locator(".unheard")).to_be_visible()


# -- trouble -------------------------------------------------------------------------------


async def _reconnecting(stage: Stage) -> None:
    """The network went in the middle of an audio call."""
    await stage.start_audio()
    await _speak(stage)
    await stage.stretch_waits()
    await stage.call.close()
    await stage.shows("reconnecting")
    await stage.notices("lost")


async def _permission_refused(stage: Stage) -> None:
    await stage.fail_microphone("NotAllowedError")
    await stage.page.start_audio.click()
    await stage.notices("microphone_denied")


async def _no_microphone(stage: Stage) -> None:
    await stage.fail_microphone("NotFoundError")
    await stage.page.start_audio.click()
    await stage.notices("microphone_missing")


async def _server_gone(stage: Stage) -> None:
    await stage.stretch_waits()
    await stage.server.stop()
    await stage.notices("lost")
    await stage.page.page.locator("#notice-action").click()
    await stage.notices("unreachable")
    await stage.shows("reconnecting")


async def _server_full(stage: Stage) -> None:
    stage.server.refusals = [Refusal(503, "The server is full.", {"Retry-After": "20"})]
    await stage.call.close()
    await stage.notices("busy")
    await stage.shows("reconnecting")


async def _agent_failed(stage: Stage) -> None:
    await _text_conversation(stage)
    message = "The agent cannot be reached. Please call again later."
    stage.call.send("error", code="agent_failed", message=message, retryable=False)
    await stage.notices("said")
    await stage.call.close()
    await stage.notices("agent_failed")
    await stage.shows("ended")


async def _replaced(stage: Stage) -> None:
    await _text_conversation(stage)
    stage.call.send("goaway", reason="replaced", seconds=0)
    await stage.notices("replaced")
    await stage.call.close()
    await stage.shows("ended")


# -- around the conversation ---------------------------------------------------------------


async def _settings(stage: Stage) -> None:
    await stage.start_audio()
    await stage.page.page.locator("#settings-open").click()
    await expect(stage.page.page.locator("#settings")).to_be_visible()


async def _menu(stage: Stage) -> None:
    await _text_conversation(stage)
    await stage.page.page.locator("#more").click()
    await expect(stage.page.page.locator("#menu")).to_be_visible()


async def _panel(stage: Stage) -> None:
    """Figures, the parts of each answer's time, and the events."""
    await _listening(stage)
    await stage.page.page.locator("#panel-toggle").click()
    for turn, (endpoint_ms, agent_ms) in enumerate(((304, 411), (296, 250), (310, 702)), 2):
        stage.call.send(
            "latency",
            turn=turn,
            response_ms=endpoint_ms + agent_ms + 20,
            endpoint_ms=endpoint_ms,
            agent_ms=agent_ms,
            playout_ms=20,
            uplink_ms=2,
        )
    await expect(stage.page.page.locator(".bars > li")).to_have_count(4)
    value = stage.page.page.locator(".figure-value").first
    await expect(value).to_contain_text("ms")


SCENES: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "empty": _empty,
    "text-conversation": _text_conversation,
    "tool-unfolded": _tool_unfolded,
    "doings": _doings,
    "question": _question,
    "answering": _answering,
    "first-listening": _first_listening,
    "listening": _listening,
    "thinking": _thinking,
    "speaking": _speaking,
    "muted": _muted,
    "hold-to-talk": _hold_to_talk,
    "held": _held,
    "interrupted": _interrupted,
    "reconnecting": _reconnecting,
    "permission-refused": _permission_refused,
    "no-microphone": _no_microphone,
    "server-gone": _server_gone,
    "server-full": _server_full,
    "agent-failed": _agent_failed,
    "replaced": _replaced,
    "settings": _settings,
    "menu": _menu,
    "panel": _panel,
}
"""By name: brings a page that has just been opened and connected into that state."""
