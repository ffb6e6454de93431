"""The live session with ADK's ``Gemini`` and Google's client, against a stand-in server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini

from rtc_server.agent.live_events import (
    AgentFailed,
    AgentText,
    AgentTranscript,
    LiveEvent,
    ModelBack,
    ModelTurnComplete,
)
from rtc_server.agent.live_session import LiveSession

from .conftest import Server, serve_agent
from .gemini_stand_in import Connection, Script, gemini_stand_in
from .scripted_llm import tone

# ADK still uses it for typed text; as an error it kills ADK's sender.
pytestmark = pytest.mark.filterwarnings("ignore:The `session.send` method is deprecated")

# A model of 2.x: the client sends typed text as client content.
MODEL = "gemini-2.5-flash-live-stand-in"

Serve = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Server, list[Connection]]]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves an agent of the stand-in's model; the scripts are those of its connections."""

    @contextlib.asynccontextmanager
    async def start(
        *scripts: Script, model: str = MODEL
    ) -> AsyncIterator[tuple[Server, list[Connection]]]:
        async with gemini_stand_in(list(scripts), tmp_path, monkeypatch) as connections:
            agent = LlmAgent(name="talker", model=model)
            async with serve_agent(agent) as server:
                yield server, connections
                assert isinstance(agent.model, Gemini)
                await agent.model.api_client.aio.aclose()
                await agent.model._live_api_client.aio.aclose()

    return start


async def answer_all(connection: Connection) -> None:
    """Answer every text in the modality that was asked for."""
    await connection.accept()
    while True:
        await connection.receive("client_content")
        if connection.modalities == ["TEXT"]:
            await connection.text("Yes.")
        else:
            await connection.speech("Yes.")


async def until(live: LiveSession, *kinds: type[Any]) -> list[LiveEvent]:
    seen: list[LiveEvent] = []
    async for event in live.events():
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


def failures(events: list[LiveEvent]) -> list[str]:
    return [one.code for one in events if isinstance(one, AgentFailed)]


async def test_text_call_is_answered_in_text(serve: Serve) -> None:
    """Each character once, with resumption asked for, over one connection for two turns."""
    async with serve(answer_all) as (server, connections):
        async with server.call("text") as live:
            for _ in range(2):
                live.send_text("hello")
                seen = await until(live, ModelTurnComplete, AgentFailed)
                assert [one.text for one in seen if isinstance(one, AgentText)] == ["Yes."]
        (connection,) = connections
    assert connection.modalities == ["TEXT"]
    assert "sessionResumption" in connection.setup


async def test_push_to_talk_is_refused_where_gemini_listens_for_speech(serve: Serve) -> None:
    """Signals that it did not ask for would make it close the connection."""
    off = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    async with serve(answer_all) as (server, _):
        async with server.call("audio") as live:
            assert not live.send_activity("start")
            assert not live.send_activity("end")
        async with server.call("audio", run_config=off) as live:
            assert live.send_activity("start")


async def test_audio_call_sends_pcm_and_is_answered_in_speech(serve: Serve) -> None:
    """The microphone goes out as 16 kHz PCM, transcripts of both sides are asked for."""
    heard: list[Any] = []

    async def listen(connection: Connection) -> None:
        await connection.accept()
        heard.append(await connection.receive("realtime_input"))
        await connection.speech("Yes.")

    async with serve(listen) as (server, connections), server.call("audio") as live:
        live.send_audio(tone(0.02, rate=16_000))
        seen = await until(live, ModelTurnComplete, AgentFailed)
    spoken = [one for one in seen if isinstance(one, AgentTranscript)]
    assert spoken[-1] == AgentTranscript("Yes.", "", final=True)
    chunks = heard[0].get("mediaChunks") or [heard[0].get("media") or heard[0].get("audio")]
    assert (chunks[0].get("mimeType") or chunks[0].get("mime_type")) == "audio/pcm;rate=16000"
    assert {"inputAudioTranscription", "outputAudioTranscription"} <= set(connections[0].setup)


async def test_model_that_refuses_text_speaks_and_is_remembered(serve: Serve) -> None:
    """Close code 1007 at the setup; the second text call asks for speech at once."""

    async def speak_only(connection: Connection) -> None:
        if connection.modalities == ["TEXT"]:
            await connection.refuse(1007, "Cannot extract voices from a non-audio request.")
        else:
            await answer_all(connection)

    async with serve(speak_only) as (server, connections):
        for _ in range(2):
            async with server.call("text") as live:
                live.send_text("hello")
                seen = await until(live, ModelTurnComplete, AgentFailed)
                assert failures(seen) == []
                deltas = [one.delta for one in seen if isinstance(one, AgentTranscript)]
                assert "".join(deltas) == "Yes."
    assert [one.modalities for one in connections] == [["TEXT"], ["AUDIO"], ["AUDIO"]]


async def test_model_that_refuses_text_when_it_is_asked_speaks_and_the_question_is_told_lost(
    serve: Serve,
) -> None:
    """It took the setup, and the question with it."""

    async def speak_only(connection: Connection) -> None:
        if connection.modalities == ["TEXT"]:
            await connection.accept()
            await connection.receive("client_content")
            await connection.refuse(1007, "Cannot extract voices from a non-audio request.")
        else:
            await answer_all(connection)

    async with serve(speak_only) as (server, connections), server.call("text") as live:
        live.send_text("hello")
        assert failures(await until(live, AgentFailed)) == ["agent_refused"]
        live.send_text("hello")
        assert failures(await until(live, ModelTurnComplete, AgentFailed)) == []
    assert [one.modalities for one in connections] == [["TEXT"], ["AUDIO"]]


async def test_model_that_has_written_is_asked_for_text_again_whatever_it_closes_with(
    serve: Serve,
) -> None:
    """1007 is the code of a modality that is refused, and of other things."""

    async def write_once(connection: Connection) -> None:
        await connection.accept()
        await connection.receive("client_content")
        await connection.text("Yes.")
        await connection.receive("client_content")
        await connection.refuse(1007, "Request contains an invalid argument.")

    async with serve(write_once, answer_all) as (server, connections), server.call("text") as live:
        live.send_text("hello")
        await until(live, ModelTurnComplete)
        live.send_text("hello")
        assert failures(await until(live, AgentFailed)) == ["agent_refused"]
        live.send_text("hello")
        await until(live, ModelTurnComplete)
    assert [one.modalities for one in connections] == [["TEXT"], ["TEXT"]]


async def test_native_audio_model_is_never_asked_for_text(serve: Serve) -> None:
    """Its name says that it only speaks."""
    model = "gemini-2.5-flash-native-audio-stand-in"
    async with (
        serve(answer_all, model=model) as (server, connections),
        server.call("text") as live,
    ):
        assert live.speaks_only
        live.send_text("hello")
        await until(live, ModelTurnComplete)
    assert [one.modalities for one in connections] == [["AUDIO"]]


@pytest.mark.parametrize("code", [1000, 1006, 1011])
async def test_dropped_connection_is_resumed_with_the_handle_and_told(
    serve: Serve, code: int
) -> None:
    """ADK reconnects within its run; the answer that was lost is told."""

    async def drop(connection: Connection) -> None:
        await connection.accept()
        await connection.handle("the-handle")
        await connection.receive("client_content")
        turn = {"modelTurn": {"role": "model", "parts": [{"text": "Once"}]}}
        await connection.send({"serverContent": turn})
        if code == 1006:
            connection._socket.transport.abort()
        else:
            await connection.refuse(code)

    async with serve(drop, answer_all) as (server, connections), server.call("text") as live:
        live.send_text("hello")
        seen = await until(live, AgentFailed)
        live.send_text("again")
        seen += await until(live, ModelTurnComplete)
        assert server.metric("rtc_agent_reconnects_total") == 1
    assert failures(seen) == ["agent_reconnected"]
    assert connections[1].setup["sessionResumption"]["handle"] == "the-handle"


async def test_go_away_between_answers_is_not_noticed(serve: Serve) -> None:
    """The server says that it will close: ADK resumes at once, nothing is lost."""

    async def leave(connection: Connection) -> None:
        await connection.accept()
        await connection.handle("the-handle")
        await connection.receive("client_content")
        await connection.text("Yes.")
        await connection.send({"goAway": {"timeLeft": "1s"}})

    async with serve(leave, answer_all) as (server, connections), server.call("text") as live:
        for _ in range(2):
            live.send_text("hello")
            seen = await until(live, ModelTurnComplete, AgentFailed)
            assert failures(seen) == []
    assert len(connections) == 2


async def test_empty_handle_does_not_overwrite_the_one_before(serve: Serve) -> None:
    """An empty update and a drop are not survived by ADK; ours goes on with the old handle."""

    async def forget(connection: Connection) -> None:
        await connection.accept()
        await connection.handle("the-handle")
        await connection.handle("")
        await connection.refuse(1011)

    async with serve(forget, answer_all) as (server, connections), server.call("text") as live:
        seen = await until(live, ModelBack) + await until(live, ModelBack)
        live.send_text("hello")
        seen += await until(live, ModelTurnComplete)
    assert failures(seen) == []  # nothing was lost
    assert connections[1].setup["sessionResumption"]["handle"] == "the-handle"


@pytest.mark.parametrize("nonsense", [b"{", b'{"noSuchMessage": {}}'])
async def test_nonsense_of_the_server_is_survived(serve: Serve, nonsense: bytes) -> None:
    """Broken JSON and unknown messages raise ValueError and TypeError in the client."""

    async def babble(connection: Connection) -> None:
        await connection.accept()
        await connection._socket.send(nonsense)

    async with serve(babble, answer_all) as (server, _), server.call("text") as live:
        assert failures(await until(live, AgentFailed)) == ["agent_failed"]
        live.send_text("hello")
        assert failures(await until(live, ModelTurnComplete)) == []


async def test_key_that_is_refused_ends_the_call_with_a_word(serve: Serve) -> None:
    """After some tries; nothing of the server's reason reaches the caller."""

    async def refuse(connection: Connection) -> None:
        await connection.refuse(1008, "secret reason")

    async with serve(refuse) as (server, connections), server.call("text") as live:
        seen = [event async for event in live.events()]
    assert failures(seen) == ["agent_refused"] * 2  # the first, and the last
    last = seen[-1]
    assert isinstance(last, AgentFailed)
    assert not last.retryable
    assert not any("secret" in str(one) for one in seen)
    assert len(connections) == 6


async def test_server_that_is_not_there_is_unreachable(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused TCP connection."""
    async with serve(answer_all) as (server, _):
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://127.0.0.1:9")
        async with server.call("text") as live:
            seen = await until(live, AgentFailed)
    assert failures(seen) == ["agent_unreachable"]
