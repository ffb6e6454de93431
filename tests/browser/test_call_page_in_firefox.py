"""A person talks to the embedded agent: a real Firefox, the real server, real speech.

The microphone and the loudspeaker are a sound card's: what is said is played to the one, and what
comes out of the other is recorded and recognised.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser import speech
from tests.browser.firefox import Firefox, FirefoxCallPage, find_firefox, launch_firefox
from tests.browser.server_process import ServerProcess
from tests.browser.sound_card import SoundCard, is_audible, open_sound_card

FIREFOX = find_firefox()

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.deadline(240),
    pytest.mark.skipif(
        not (FIREFOX and shutil.which("pulseaudio") and shutil.which("paplay")),
        reason="no Firefox or no sound server here: "
        "apt-get install firefox-esr pulseaudio pulseaudio-utils",
    ),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    """The server with the embedded agent."""
    async with ServerProcess() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def card(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SoundCard]:
    async with open_sound_card(tmp_path_factory.mktemp("sound")) as card:
        yield card


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def firefox(
    card: SoundCard, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Firefox]:
    assert FIREFOX is not None
    folder = tmp_path_factory.mktemp("firefox")
    async with launch_firefox(FIREFOX, folder, card.environment) as firefox:
        yield firefox


@pytest.fixture(scope="module", autouse=True)
def _warm_up_speech() -> None:
    """The libraries of the offline voice and recogniser keep what they open."""
    samples, _ = speech.speak("Hello.")
    speech.recognise(samples)


def draw_factors() -> tuple[int, int]:
    """Two factors whose product is neither of them, so that no echo of the question answers."""
    return random.randint(12, 49), random.randint(3, 19)


def record(path: Path, sentence: str) -> Path:
    """A WAV file of a sentence."""
    samples, rate = speech.speak(sentence)
    return speech.write_wav(path, samples, rate, lead_s=0.2, tail_s=0.5)


async def start_audio(page: FirefoxCallPage) -> None:
    """Press the button; the call with the microphone is up at the end."""
    await page.wait_for_state("listening")
    await page.press("Start audio")
    await page.wait_for_button("Mute")
    await page.wait_for_state("listening")


async def test_typed_question_is_answered_in_text(firefox: Firefox, server: ServerProcess) -> None:
    a, b = draw_factors()
    async with firefox.open_call_page(server.url) as page:
        await page.wait_for_state("listening")
        await page.type(f"What is {a} times {b}?")
        assert a * b in speech.numbers_in(await page.wait_for_answer(1))
        assert await page.words("user") == [f"What is {a} times {b}?"]


async def ask_aloud(
    page: FirefoxCallPage, card: SoundCard, question: Path, product: int
) -> list[str]:
    """Ask until it is understood, three times at most; return the answers, the right one last.

    A browser's echo canceller and noise suppressor can take a syllable with them, and people
    repeat what was not understood.
    """
    answers: list[str] = []
    for _ in range(3):
        before = len(await page.words("agent"))
        await card.say(question)
        answers.append(await page.wait_for_answer(before + 1))
        await page.wait_for_state("listening")  # all of the answer is on its way
        if product in speech.numbers_in(answers[-1]):
            return answers
    raise AssertionError(f"{product} is in none of {answers}")


async def test_spoken_question_is_shown_and_answered_aloud(
    firefox: Firefox, server: ServerProcess, card: SoundCard, tmp_path: Path
) -> None:
    """A multiplication drawn at random is recognised, answered, and its product is heard."""
    a, b = draw_factors()
    question = record(tmp_path / "question.wav", f"What is {a} times {b}?")
    async with firefox.open_call_page(server.url) as page, card.recording() as recording:
        await start_audio(page)
        await ask_aloud(page, card, question, a * b)
        asked = (await page.words("user"))[-1]
        assert speech.numbers_in(asked) == [a, b], asked
        await recording.read_further(1)
        heard = speech.recognise(recording.read())
    assert a * b in speech.numbers_in(heard), heard


async def test_muted_microphone_is_not_heard(
    firefox: Firefox, server: ServerProcess, card: SoundCard, tmp_path: Path
) -> None:
    """What is said while muted never arrives; what is said afterwards does."""
    (a, b), (c, d) = draw_factors(), draw_factors()
    open_question = record(tmp_path / "open.wav", f"What is {c} times {d}?")
    async with firefox.open_call_page(server.url) as page:
        await start_audio(page)
        await page.press("Mute")
        await page.wait_for_button("Unmute")
        await card.say(record(tmp_path / "muted.wav", f"What is {a} times {b}?"))
        await page.press("Unmute")
        await page.wait_for_button("Mute")
        answers = await ask_aloud(page, card, open_question, c * d)
        assert len(await page.words("user")) == len(answers)  # nothing else was heard


async def test_question_spoken_over_a_story_interrupts_it(
    firefox: Firefox, server: ServerProcess, card: SoundCard, tmp_path: Path
) -> None:
    """Through the browser's echo canceller, with the loudspeaker in the microphone."""
    a, b = draw_factors()
    question = record(tmp_path / "question.wav", f"What is {a} times {b}?")
    async with firefox.open_call_page(server.url) as page, card.recording() as recording:
        await start_audio(page)
        await page.type("Tell me a story.")
        await recording.wait_for_sound()
        await recording.read_further(3)
        await ask_aloud(page, card, question, a * b)
        remark = "() => document.querySelector('[data-role=agent] .remark').innerText"
        assert "interrupted" in await page.call(remark)


async def test_hanging_up_silences_the_story(
    firefox: Firefox, server: ServerProcess, card: SoundCard
) -> None:
    """It is audible until then, and not a second later."""
    async with firefox.open_call_page(server.url) as page, card.recording() as recording:
        await start_audio(page)
        await page.type("Tell me a story.")
        await recording.wait_for_sound()
        await page.press("Hang up")
        await page.wait_for_button("Start audio")
        after = await recording.read_further(2)
        assert not is_audible(after[len(after) // 2 :])
