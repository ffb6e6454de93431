"""The embedded agent as ADK runs it: real sound in, real sound out."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import socket
import subprocess
import sys
from typing import Any

import pytest
from google.adk.runners import InMemoryRunner
from google.adk.sessions import InMemorySessionService
from google.genai import types

from rtc_server import local_agent
from rtc_server.errors import AgentLoadError
from rtc_server.local_agent.agent import create_local_agent, shared_models
from rtc_server.local_agent.inference import SpeechModels
from rtc_server.local_agent.numbers import merge_numbers, tokenize

from .live import FakeClock, LiveCall
from .sounds import noise, resample, silence, spoken

TEXT = types.Modality.TEXT


class TestAudioCall:
    async def test_product_is_asked_for_and_answered_aloud(self, models: SpeechModels) -> None:
        a, b = random.randint(12, 19), random.randint(3, 9)
        question = await spoken(models, f"What is {a} times {b}?")
        async with LiveCall(create_local_agent(models)) as call:
            call.hear(silence(0.3) + question + silence(0.6))
            await call.until(lambda: bool(call.said()))
            assert len(call.heard()) == 1
            assert call.calls() == [("calculate", {"expression": f"{a} * {b}"})]
            answer = resample(call.audio(), 24_000)
        # The recogniser writes a number in figures or in words.
        assert a * b in merge_numbers(tokenize(await models.recogniser.transcribe(answer)))

    async def test_story_is_interrupted_in_mid_sentence(self, models: SpeechModels) -> None:
        stop = await spoken(models, "Stop.")
        async with LiveCall(create_local_agent(models)) as call:
            call.type("Tell me a story.")
            await call.until(lambda: len(call.audio()) > 48_000)
            start = len(call.events)
            call.hear(silence(0.3) + stop + silence(0.6))
            await call.until(lambda: call.said(start).endswith("Okay."))
            assert call.interrupted() == 1
            (said,) = call.heard()
            assert "stop" in said.lower()

    async def test_cough_while_thinking_does_not_silence_the_agent(
        self, models: SpeechModels
    ) -> None:
        question = await spoken(models, "What is seventeen times four?")
        async with LiveCall(create_local_agent(models)) as call:
            call.hear(silence(0.3) + question + silence(0.31))
            call.hear(noise(0.3, level=0.5) + silence(0.6))
            await call.until(lambda: "68" in call.said())
            assert call.is_running

    async def test_cough_during_the_story_does_not_end_it(
        self, models: SpeechModels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cough = await spoken(models, "Hmm.")
        # What the recogniser makes of it depends on the take: sometimes nothing, often this.
        monkeypatch.setattr(models.recogniser, "_run", lambda samples: "Her.")
        async with LiveCall(create_local_agent(models)) as call:
            call.type("Tell me a story.")
            await call.until(lambda: call.said().endswith("light the lamp."))
            start = len(call.events)
            call.hear(silence(0.3) + cough + silence(0.6))
            await call.until(lambda: call.said(start).endswith("light the lamp."))
            assert "did not understand" not in call.said(start)

    async def test_broken_recogniser_does_not_end_the_call(
        self, models: SpeechModels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(samples: object) -> str:
            raise RuntimeError("the model is broken")

        question = await spoken(models, "What is seventeen times four?")
        async with LiveCall(create_local_agent(models)) as call:
            with monkeypatch.context() as patched:
                patched.setattr(models.recogniser, "_run", fail)
                call.hear(question + silence(0.6))
                call.queue.send_audio_stream_end()
                call.type("Can you hear me?")
                await call.until(lambda: "I can hear you" in call.said())
            call.hear(silence(0.3) + question + silence(0.6))
            await call.until(lambda: "68" in call.said())

    async def test_calls_at_once_do_not_mix(self, models: SpeechModels) -> None:
        agent = create_local_agent(models)
        products = [(12, 3), (14, 7), (19, 5)]
        questions = [await spoken(models, f"What is {a} times {b}?") for a, b in products]

        async def one(question: bytes, product: int) -> bool:
            async with LiveCall(agent) as call:
                call.hear(silence(0.3) + question + silence(0.6))
                await call.until(lambda: bool(call.said()))
                return str(product) in call.said()

        answers = zip(questions, (a * b for a, b in products), strict=True)
        assert all(await asyncio.gather(*(one(q, p) for q, p in answers)))


class TestTextCall:
    async def test_answer_is_text_without_audio_and_at_once(self, models: SpeechModels) -> None:
        async with LiveCall(create_local_agent(models), modality=TEXT) as call:
            for _ in range(3):  # nothing waits for the end of a playback
                assert (await call.ask("Tell me a story.")).startswith("This is the story")
            assert call.audio() == b""
            assert len({tuple(args.items()) for _, args in call.calls()}) == 1

    async def test_what_was_told_is_remembered_across_calls(self, models: SpeechModels) -> None:
        agent, sessions = create_local_agent(models), InMemorySessionService()
        async with LiveCall(agent, sessions=sessions, modality=TEXT) as call:
            assert await call.ask("My name is Ada.") == "Nice to meet you, Ada."
            await call.ask("I live in Paris.")
            assert (await call.state())["caller"] == {"name": "Ada", "home": "Paris"}
        async with LiveCall(agent, sessions=sessions, modality=TEXT) as call:
            assert await call.ask("What is my name?") == "Your name is Ada."
            known = await call.ask("What do you know about me?")
            assert known == "Your name is Ada, and you live in Paris."
            await call.ask("Forget my name.")
            assert await call.ask("Who am I?") == "You have not told me your name yet."
            assert await call.ask("Repeat that.") == "You have not told me your name yet."

    @pytest.mark.parametrize(
        ("said", "answer"),
        [
            ("Hello!", "Hello! What can I do for you?"),
            ("What time is it?", "It is "),
            ("What day is it?", "Today is Tuesday, November 14, 2023."),
            ("How many kilometres are five miles?", "5 miles are about 8.05 kilometres."),
            ("What is 7 divided by 0?", "I cannot work that out: nothing can be divided by zero."),
            ("Blue sideways umbrella", "I heard “Blue sideways umbrella”, but"),
            ("What can you do?", "I can tell you the time"),
        ],
    )
    async def test_question_is_answered(self, models: SpeechModels, said: str, answer: str) -> None:
        noon = FakeClock(1_699_963_200.0)
        async with LiveCall(create_local_agent(models, noon), modality=TEXT) as call:
            assert (await call.ask(said)).startswith(answer)


class TestTimers:
    async def test_timer_speaks_up_when_it_is_due(self, models: SpeechModels) -> None:
        clock = FakeClock()
        async with LiveCall(create_local_agent(models, clock), modality=TEXT) as call:
            assert await call.ask("Set a timer for ten seconds.") == "Timer set for 10 seconds."
            (timer,) = (await call.state())["timers"]
            assert timer["due"] == clock.now + 10
            start = len(call.events)
            clock.now += 10
            await call.until(lambda: call.completed(start) == 1)
            assert call.said(start) == "Your 10 second timer is up!"
            assert (await call.state())["timers"] == []

    async def test_timer_survives_a_new_call_and_is_spoken_once(self, models: SpeechModels) -> None:
        clock, sessions = FakeClock(), InMemorySessionService()
        agent = create_local_agent(models, clock)
        async with LiveCall(agent, sessions=sessions, modality=TEXT) as call:
            await call.ask("Set a pasta timer for one minute.")
        clock.now += 600
        async with LiveCall(agent, sessions=sessions, modality=TEXT) as call:
            await call.until(lambda: call.completed() == 1)
            assert call.said() == "Your pasta timer went off 9 minutes ago."
        async with LiveCall(agent, sessions=sessions, modality=TEXT) as call:
            assert await call.ask("What timers are running?") == "There are no timers running."

    async def test_cancelled_timer_stays_silent(self, models: SpeechModels) -> None:
        clock = FakeClock()
        async with LiveCall(create_local_agent(models, clock), modality=TEXT) as call:
            await call.ask("Set a tea timer for 3 minutes.")
            await call.ask("Remind me to call Bob in ten minutes.")
            left = await call.ask("How much time is left?")
            assert left == (
                "The tea timer has 3 minutes left, and the reminder to call bob has "
                "10 minutes left."
            )
            assert await call.ask("Cancel the tea timer.") == "The tea timer is cancelled."
            start = len(call.events)
            clock.now += 600
            await call.until(lambda: call.completed(start) == 1)
            assert call.said(start) == "This is your reminder: call bob."


class TestWithoutTheExtra:
    def test_creating_the_agent_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        find_spec = importlib.util.find_spec

        def without(name: str, *args: Any) -> object:
            return None if name == "hibari" else find_spec(name, *args)

        monkeypatch.setattr(importlib.util, "find_spec", without)
        assert local_agent.missing_packages() == ["hibari-tts"]
        with pytest.raises(AgentLoadError, match=r"hibari-tts: install 'rtc-server\[local\]'"):
            local_agent.create_local_agent()

    def test_importing_the_package_imports_no_model(self) -> None:
        code = (
            "import sys, rtc_server.local_agent;"
            "assert not {'hibari', 'moonshine_voice', 'google.adk'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


async def test_models_of_the_process_are_warmed_and_closed() -> None:
    """No thread is left; an agent made afterwards has models of its own."""
    await local_agent.warm_up()
    warm = shared_models()
    assert await warm.voice.speak("Hello.")
    local_agent.close()
    assert shared_models() is not warm
    local_agent.close()


async def test_agent_answers_without_a_live_run_too(models: SpeechModels) -> None:
    """As ``adk web`` runs it when somebody types."""
    runner = InMemoryRunner(create_local_agent(models), app_name="tests")
    await runner.session_service.create_session(
        app_name="tests", user_id="user", session_id="session"
    )
    question = types.Content(role="user", parts=[types.Part(text="What is 17 times 4?")])
    said = [
        part.text
        async for event in runner.run_async(
            user_id="user", session_id="session", new_message=question
        )
        for part in (event.content.parts if event.content else None) or []
        if part.text
    ]
    assert said == ["17 times 4 is 68."]


async def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models load and run in a process that cannot open a socket to anywhere."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    models = SpeechModels()
    try:
        await models.warm_up()
        pcm = resample(await models.voice.speak("What time is it?"), 24_000)
        assert await models.recogniser.transcribe(pcm) == "What time is it?"
    finally:
        models.close()
