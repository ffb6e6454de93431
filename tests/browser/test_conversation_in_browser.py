"""A person talks to the embedded agent: a real Chromium, the real server, real speech.

The microphone is Chromium's fake one, which plays a WAV file from the moment it is opened;
what comes out of the loudspeaker is recorded in the page and recognised again.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import secrets
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser import speech
from tests.browser.chromium import CallPage, launch_chromium, open_call_page
from tests.browser.server_process import RESULTS, ServerProcess

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.deadline(120),
    pytest.mark.usefixtures("browser"),  # its loop keeps the threads of the module
]

HUMAN_SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox")
LEAD_S = 8.0
"""Silence before the first words: the call is up by then."""
TAIL_S = 60.0
"""Chromium repeats the last 10 ms of the file for ever: they are silence."""
ANSWER_TIMEOUT_MS = 30_000

START_RECORDING = """async () => {
  const loudspeaker = document.querySelector("#remote");
  while (!loudspeaker.srcObject) await new Promise((resolve) => setTimeout(resolve, 20));
  const recorder = new MediaRecorder(loudspeaker.srcObject);
  const pieces = [];
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.start(100);
  globalThis.stopRecording = () => new Promise((resolve) => {
    recorder.addEventListener("stop", () => {
      const reader = new FileReader();
      reader.addEventListener("load", () => resolve(reader.result));
      reader.readAsDataURL(new Blob(pieces));
    });
    recorder.stop();
  });
}"""

NOTE_WHEN_OPENED = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await open(wanted);
  globalThis.microphoneOpenedAt = performance.now();
  return stream;
};
"""

UNTIL_SILENT = """async () => {
  const stage = document.querySelector("#stage");
  let heardAt = performance.now();
  while (performance.now() - heardAt < 1_000) {
    if (Number(stage.style.getPropertyValue("--agents")) > 0.1) heardAt = performance.now();
    await new Promise(requestAnimationFrame);
  }
}"""

SESSION_ID = "JSON.parse(sessionStorage.getItem('rtc.conversation')).sessionId"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(browser: Browser) -> AsyncIterator[ServerProcess]:
    """The server with the embedded agent."""
    async with ServerProcess() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _warm_up_speech() -> None:
    """The libraries of the offline voice and recogniser keep what they open."""
    samples, _ = speech.speak("Hello.")
    speech.recognise(samples)


def draw_factors() -> tuple[int, int]:
    """Two factors whose product is neither of them, so that no echo of the question answers."""
    return random.randint(12, 49), random.randint(3, 19)


def record_microphone(path: Path, *sentences: str, gap_s: float = 0.0) -> Path:
    """A WAV file for the microphone: the sentences, ``gap_s`` of silence between them."""
    pieces = []
    rate = 0
    for sentence in sentences:
        samples, rate = speech.speak(sentence)
        pieces += [samples, np.zeros(int(gap_s * rate), np.int16)]
    return speech.write_wav(path, np.concatenate(pieces), rate, lead_s=LEAD_S, tail_s=TAIL_S)


async def start_audio(page: CallPage) -> None:
    """Press the button, and record all that comes out of the loudspeaker from then on."""
    await page.wait_connected()
    await page.start_audio.click()
    await expect(page.hang_up).to_be_visible()
    await page.page.evaluate(START_RECORDING)
    await page.wait_connected()


async def stop_recording(page: CallPage, name: str) -> str:
    """What was said out of the loudspeaker; the recording stays in ``test-results``."""
    await page.page.evaluate(UNTIL_SILENT)  # what was sent last is still being played
    url: str = await page.page.evaluate("stopRecording()")
    recording = base64.b64decode(url.partition(",")[2])
    (RESULTS / f"{name}.webm").write_bytes(recording)
    return speech.recognise(speech.read_recording(recording))


async def check_product_is_asked_and_answered(
    page: CallPage, factors: tuple[int, int], *, timeout_ms: int = ANSWER_TIMEOUT_MS
) -> None:
    """The page shows question and answer, and the loudspeaker said the product."""
    a, b = factors
    await start_audio(page)
    answer = page.rows("agent").last
    await expect(answer).to_have_attribute("data-final", "true", timeout=timeout_ms)
    heard = await stop_recording(page, "product")
    question = " ".join(await page.rows("user").locator(".words").all_inner_texts())
    assert speech.numbers_in(question) == [a, b]
    assert a * b in speech.numbers_in(await answer.locator(".words").inner_text())
    assert a * b in speech.numbers_in(heard), heard
    await expect(page.page.locator("#latency")).to_contain_text("Answered in")


# -- speech --------------------------------------------------------------------------------


async def test_spoken_question_is_shown_and_answered_aloud(
    server: ServerProcess, tmp_path: Path
) -> None:
    """A multiplication drawn at random is recognised, answered, and its product is heard."""
    factors = a, b = draw_factors()
    wav = record_microphone(tmp_path / "question.wav", f"What is {a} times {b}?")
    async with (
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url) as page,
    ):
        await check_product_is_asked_and_answered(page, factors)


async def test_check_of_the_answer_fails_for_a_silent_agent(tmp_path: Path) -> None:
    """The check above proves something: where nothing is answered, it fails."""
    factors = a, b = draw_factors()
    wav = record_microphone(tmp_path / "question.wav", f"What is {a} times {b}?")
    async with (
        ServerProcess("tests.browser.silent_agent:root_agent") as server,
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url) as page,
    ):
        with pytest.raises(AssertionError):
            await check_product_is_asked_and_answered(page, factors, timeout_ms=20_000)
        await expect(page.rows("agent")).to_have_count(0)


async def test_recorded_human_voice_is_transcribed(server: ServerProcess, tmp_path: Path) -> None:
    """A sentence of LibriVox, as its reference has it but for a word or two."""
    name, reference = read_reference()
    samples = speech.read_recording((HUMAN_SPEECH / f"{name}.wav").read_bytes())
    wav = speech.write_wav(
        tmp_path / "human.wav", samples, speech.RATE, lead_s=LEAD_S, tail_s=TAIL_S
    )
    async with (
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url) as page,
    ):
        await start_audio(page)
        await expect(page.rows("agent").last).to_have_attribute(
            "data-final", "true", timeout=ANSWER_TIMEOUT_MS
        )
        shown = " ".join(await page.rows("user").locator(".words").all_inner_texts())
        assert speech.word_error_rate(reference, shown) <= 0.15, shown


def read_reference() -> tuple[str, str]:
    """The first of the recordings: its name, and what is said in it."""
    line = (HUMAN_SPEECH / "transcription").read_text().splitlines()[0]
    match = re.fullmatch(r"<s> (.*) </s> \((.*)\)", line.strip())
    assert match is not None
    return match[2], match[1]


async def test_muted_microphone_is_not_heard(server: ServerProcess, tmp_path: Path) -> None:
    """What is said while muted never arrives; what is said afterwards does."""
    (a, b), (c, d) = draw_factors(), draw_factors()
    first, second = f"What is {a} times {b}?", f"What is {c} times {d}?"
    gap_s = 8.0
    wav = record_microphone(tmp_path / "two.wav", first, second, gap_s=gap_s)
    samples, rate = speech.speak(first)
    first_is_said_s = LEAD_S + len(samples) / rate
    async with (
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url, init_script=NOTE_WHEN_OPENED) as page,
    ):
        await start_audio(page)
        await page.mute.click()
        # The fake microphone speaks by the clock, from the moment it is opened.
        opened_again_ms = (first_is_said_s + gap_s / 4) * 1000
        await page.page.wait_for_function(
            "(ms) => performance.now() - microphoneOpenedAt >= ms", arg=opened_again_ms
        )
        await page.mute.click()
        await expect(page.rows("agent").last).to_have_attribute(
            "data-final", "true", timeout=ANSWER_TIMEOUT_MS
        )
        shown = " ".join(await page.rows("user").locator(".words").all_inner_texts())
        assert speech.numbers_in(shown) == [c, d]


# -- text ----------------------------------------------------------------------------------


async def ask(page: CallPage, text: str) -> str:
    """Type ``text`` and wait for the whole of the answer."""
    answers = await page.rows("agent").count()
    await page.type(text)
    await expect(page.rows("agent")).to_have_count(answers + 1, timeout=ANSWER_TIMEOUT_MS)
    answer = page.rows("agent").last
    await expect(answer).to_have_attribute("data-final", "true", timeout=ANSWER_TIMEOUT_MS)
    return await answer.locator(".words").inner_text()


async def test_typed_question_is_answered_in_text(browser: Browser, server: ServerProcess) -> None:
    a, b = draw_factors()
    async with open_call_page(browser, server.url, allow_microphone=False) as page:
        await page.wait_connected()
        answer = await ask(page, f"What is {a} times {b}?")
        assert a * b in speech.numbers_in(answer)
        await expect(page.rows("user")).to_have_count(1)
        await expect(page.rows("tool")).not_to_have_count(0)
        await expect(page.page.locator("#latency")).to_contain_text("Answered in")


async def test_start_audio_goes_on_with_the_typed_conversation(
    server: ServerProcess, tmp_path: Path
) -> None:
    """What was typed before the microphone came is known when it is asked for aloud."""
    name = random.choice(["Robert", "Maria", "Susan", "Peter"])
    wav = record_microphone(tmp_path / "name.wav", "What is my name?")
    async with (
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url) as page,
    ):
        await page.wait_connected()
        await ask(page, f"My name is {name}.")
        await start_audio(page)
        await expect(page.rows("agent")).to_have_count(2, timeout=ANSWER_TIMEOUT_MS)
        await expect(page.rows("agent").last).to_have_attribute(
            "data-final", "true", timeout=ANSWER_TIMEOUT_MS
        )
        assert name in await page.rows("agent").last.inner_text()
        assert name in await stop_recording(page, "name")


async def test_escape_stops_a_story_in_the_middle(server: ServerProcess, tmp_path: Path) -> None:
    """Only the beginning was heard and is shown as heard, and the agent listens again."""
    silence = np.zeros(0, np.int16)
    wav = speech.write_wav(tmp_path / "silence.wav", silence, 24_000, lead_s=0, tail_s=TAIL_S)
    async with (
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url) as page,
    ):
        await start_audio(page)
        await page.type("Tell me a story.")
        await expect(page.state).to_have_attribute(
            "data-state", "speaking", timeout=ANSWER_TIMEOUT_MS
        )
        await page.page.wait_for_timeout(1_500)  # some of it is to be heard
        await page.message.press("Escape")
        story = page.rows("agent").last
        await expect(story.locator(".remark")).to_contain_text("interrupted")
        await expect(story.locator(".unheard")).not_to_be_empty()
        await expect(page.state).to_have_attribute("data-state", "listening")
        heard = speech.words_of(await stop_recording(page, "story"))
        words = await story.locator(".words").evaluate("(words) => words.firstChild.textContent")
        shown = speech.words_of(words)
        assert 2 <= len(heard) < 20
        assert abs(len(shown) - len(heard)) <= 3


async def test_question_spoken_over_a_story_interrupts_it(
    server: ServerProcess, tmp_path: Path
) -> None:
    """Barge-in by voice: the story stops, its unheard rest is set off, the question is answered."""
    a, b = draw_factors()
    wav = record_microphone(
        tmp_path / "over.wav", "Tell me a story.", f"What is {a} times {b}?", gap_s=6.0
    )
    async with (
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url) as page,
    ):
        await start_audio(page)
        story, answer = page.rows("agent").first, page.rows("agent").nth(1)
        await expect(answer).to_have_attribute("data-final", "true", timeout=ANSWER_TIMEOUT_MS)
        await expect(story.locator(".remark")).to_contain_text("interrupted")
        await expect(story.locator(".unheard")).not_to_be_empty()
        assert a * b in speech.numbers_in(await answer.locator(".words").inner_text())
        heard = await stop_recording(page, "over")
        assert a * b in speech.numbers_in(heard), heard


# -- coming and going ----------------------------------------------------------------------


async def test_reload_keeps_the_conversation(browser: Browser, server: ServerProcess) -> None:
    name = random.choice(["Robert", "Maria", "Susan", "Peter"])
    async with open_call_page(browser, server.url) as page:
        await page.wait_connected()
        await ask(page, f"My name is {name}.")
        await expect(page.transcript.locator(".unread")).to_have_count(0)  # it is drawn as markdown
        before = await page.transcript.inner_text()
        await page.page.reload()
        await page.wait_connected()
        await expect(page.transcript).to_have_text(before, use_inner_text=True)
        assert name in await ask(page, "What is my name?")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_page_reconnects_when_the_server_comes_back(
    browser: Browser, number: signal.Signals
) -> None:
    """Stopped or killed, the page dials again by itself; a server without memory is told of."""
    a, b = draw_factors()
    async with (
        ServerProcess() as server,
        open_call_page(browser, server.url, refused_requests=True) as page,
    ):
        await page.wait_connected()
        await ask(page, "My name is Maria.")
        session = await page.page.evaluate(SESSION_ID)
        await server.stop(number)
        await expect(page.state).to_have_attribute("data-state", "reconnecting", timeout=20_000)
        await server.start()
        await page.wait_connected(timeout_s=30)
        await expect(page.notice).to_be_hidden()
        assert await page.page.evaluate(SESSION_ID) == session
        await expect(page.rows("user")).to_have_count(1)
        await expect(page.rows("note")).to_contain_text("new conversation")
        assert a * b in speech.numbers_in(await ask(page, f"What is {a} times {b}?"))


async def test_server_with_a_secret_lets_in_who_has_a_token(browser: Browser) -> None:
    """The page calls with the token in its address, and after a reload with what it was given."""
    secret = secrets.token_hex(32)
    arguments = ["-m", "rtc_server", "token", "--auth-secret", secret, "--user-id", "ada"]
    mint = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE)
    token = (await mint.communicate())[0].decode().strip()
    async with ServerProcess("local", "--auth-secret", secret) as server:
        async with open_call_page(browser, server.url, refused_requests=True) as page:
            await expect(page.notice).to_contain_text("asks for a call token")
        async with open_call_page(browser, f"{server.url}#token={token}") as page:
            await page.wait_connected()
            await ask(page, "My name is Maria.")
            await page.page.reload()
            await page.wait_connected()
            assert "Maria" in await ask(page, "What is my name?")


# -- pictures ------------------------------------------------------------------------------


async def test_pictures_of_a_conversation(server: ServerProcess, tmp_path: Path) -> None:
    """A conversation by text and voice, as pictures in ``test-results``."""
    # A long answer: it is still being given when it is looked at.
    wav = record_microphone(tmp_path / "story.wav", "Tell me a story.")
    async with (
        launch_chromium(microphone=wav) as browser,
        open_call_page(browser, server.url, scale=2, size=(1000, 700)) as page,
    ):
        await page.wait_connected()
        await ask(page, "My name is Maria.")
        await start_audio(page)
        await expect(page.rows("agent")).to_have_count(2, timeout=ANSWER_TIMEOUT_MS)
        await expect(page.state).to_have_attribute("data-state", "speaking")
        await page.page.mouse.move(0, 0)
        for scheme in ("light", "dark"):
            await page.page.emulate_media(color_scheme=scheme)
            for device, (width, height) in {"desktop": (1000, 700), "phone": (360, 740)}.items():
                await page.page.set_viewport_size({"width": width, "height": height})
                picture = RESULTS / f"call-page-{device}-{scheme}.png"
                await page.page.screenshot(path=picture, animations="disabled")
                assert picture.stat().st_size > 10_000
