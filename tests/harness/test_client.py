"""Real calls to the stand-in server: what the harness says of each kind of server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from rtc_harness.caller import CallPlan, CallResult, TextTurn, WavTurn, place_call
from rtc_harness.client import RtcClient
from rtc_harness.errors import CallEndedEarly, CallRefused, NeverConnected, Unanswered
from rtc_harness.levels import SAMPLE_RATE, audible_span
from rtc_harness.report import audible_ms, response_ms
from rtc_harness.signalling import CallRequest
from tests.stolen_time import StolenTime

from .stand_in_server import ENDPOINT_S, Behaviour, silence, stand_in_server, tone

SPOKEN = WavTurn("tone.wav", np.concatenate([silence(0.06), tone(0.2), silence(0.04)]))
TYPED = TextTurn("Hello there.")


async def call(
    url: str, turns: Sequence[WavTurn | TextTurn], *, timeout_s: float = 20.0, **more: object
) -> tuple[CallResult, list[str]]:
    lines: list[str] = []
    plan = CallPlan(url, turns, timeout_s=timeout_s, **more)  # type: ignore[arg-type]
    return await place_call(plan, lines.append), lines


# ------------------------------------------------------------------ answered


async def test_spoken_and_typed_turns_are_answered_in_order() -> None:
    """Each turn is put after the answer to the one before; the call is hung up at the end."""
    async with stand_in_server() as server:
        result, lines = await call(server.url, [SPOKEN, TYPED])
        assert server.hung_up == ["call-1"]
    assert result.failure is None
    spoken, typed = result.report["turns"]
    assert (spoken["kind"], typed["kind"]) == ("audio", "text")
    assert (spoken["turn"], typed["turn"]) == (1, 2)
    assert typed["agent_text"] == "You said Hello there.."
    assert result.report["violations"] == []
    assert result.report["network"]["packets_received"] > 0
    assert result.report["network"]["packets_lost"] == 0
    said = [line.split(maxsplit=2)[1] for line in lines]
    assert said == ["call", "you", "agent", "time", "you", "agent", "time"]


async def test_response_time_agrees_with_the_server(stolen: StolenTime) -> None:
    """Measured from the audio alone, it is the server's own figure and the way there."""
    async with stand_in_server() as server:
        result, _ = await call(server.url, [SPOKEN])
    turn = result.report["turns"][0]
    assert turn["response_ms"] >= ENDPOINT_S * 1000
    server_ms = turn["server_latency"]["response_ms"]
    assert turn["response_ms"] == pytest.approx(server_ms, abs=100 + stolen.total_ms)
    assert turn["mouth_to_ear_ms"] > turn["response_ms"]


async def test_recording_holds_what_was_heard_in_time(stolen: StolenTime) -> None:
    """The answer stands in the recording where it was heard, after silence."""
    async with stand_in_server() as server, RtcClient.connect(server.url) as client:
        question = await client.say(SPOKEN.samples)
        answer = await client.answer_to(question)
        assert client.listener is not None
        recording = client.listener.recording()
        sound = answer.sounds[0]
        span = audible_span(recording)
        assert span is not None
        stolen_s = stolen.total_ms / 1000
        heard_at = sound.began_at - client.started_at
        assert span[0] / SAMPLE_RATE == pytest.approx(heard_at, abs=0.1 + stolen_s)
        assert (span[1] - span[0]) / SAMPLE_RATE == pytest.approx(0.3, abs=0.05 + stolen_s)


async def test_text_call_has_no_audio_section() -> None:
    """Texts alone make a text call: no audio is offered, and text is the answer."""
    async with stand_in_server() as server:
        result, _ = await call(server.url, [TYPED, TextTurn("Bye.")])
        assert "m=audio" not in server.offers[0]["sdp"]
    assert result.failure is None
    assert result.recording is None
    assert [turn["agent_text"] for turn in result.report["turns"]] == [
        "You said Hello there..",
        "You said Bye..",
    ]
    assert result.report["turns"][0]["response_ms"] is not None


async def test_texts_are_answered_aloud_where_audio_is_asked_for(stolen: StolenTime) -> None:
    """With modality audio a call of texts alone has an audio section."""
    async with stand_in_server() as server:
        result, _ = await call(server.url, [TYPED], request=CallRequest(modality="audio"))
        assert "m=audio" in server.offers[0]["sdp"]
        assert server.offers[0]["modality"] == "audio"
    assert result.failure is None
    audible = result.report["turns"][0]["audible_ms"]
    assert audible == pytest.approx(300, abs=60 + stolen.total_ms)


async def test_offer_has_the_opus_parameters_of_a_browser() -> None:
    """The server sees a caller who takes forward error correction, as browsers do."""
    async with stand_in_server() as server, RtcClient.connect(server.url):
        sdp = server.offers[0]["sdp"]
    assert "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 minptime=10;useinbandfec=1\r\n" in sdp


async def test_offer_can_be_edited() -> None:
    """A test may send any SDP; the server sees what it was turned into."""
    async with stand_in_server(Behaviour.REFUSES) as server:
        with pytest.raises(CallRefused) as raised:
            async with RtcClient.connect(server.url, edit_offer=lambda sdp: "v=1"):
                pytest.fail("there is no call")
        assert raised.value.status == 503
        assert server.offers[0]["sdp"] == "v=1"


async def test_offer_carries_who_calls() -> None:
    """Session, user, agent and the token reach the server."""
    request = CallRequest(session_id="s9", user_id="ann", agent="local")
    async with stand_in_server() as server:
        result, _ = await call(server.url, [TYPED], request=request, token="t0ken")
        offer = server.offers[0]
        assert server.authorization == ["Bearer t0ken"]
    assert (offer["session_id"], offer["user_id"], offer["agent"]) == ("s9", "ann", "local")
    assert result.report["call"]["session_id"] == "s9"


async def test_greeting_is_waited_for_and_is_no_answer() -> None:
    """What the agent says first of its own accord is reported as unasked."""
    async with stand_in_server(greeting_s=0.3) as server:
        result, _ = await call(server.url, [SPOKEN])
    assert result.failure is None
    assert result.report["turns"][0]["turn"] == 2
    assert [one["agent_text"] for one in result.report["other_answers"]] == ["Hello."]
    assert result.report["other_answers"][0]["unasked"]


async def test_greeting_spoken_over_is_no_answer() -> None:
    """Who speaks over a greeting is answered by what comes after it, not by its rest."""
    async with (
        stand_in_server(greeting_s=1.0) as server,
        RtcClient.connect(server.url) as client,
    ):
        await client.next_message("transcript")
        question = await client.say(SPOKEN.samples)
        answer = await client.answer_to(question)
        assert answer.turn == 2
        assert client.conversation.ended[0].question is None


async def test_unasked_speech_before_the_answer_is_passed_over() -> None:
    """A timer that speaks up first does not count; the answer after it does."""
    async with stand_in_server(Behaviour.UNASKED_FIRST) as server:
        result, _ = await call(server.url, [SPOKEN])
    assert result.failure is None
    assert result.report["turns"][0]["turn"] == 2


async def test_barge_in_is_spoken_over_the_answer_and_timed(stolen: StolenTime) -> None:
    """The next turn is said into the answer; what was heard agrees with the server."""
    async with stand_in_server(Behaviour.INTERRUPTIBLE) as server:
        result, _ = await call(server.url, [TextTurn("a"), SPOKEN], barge_in_s=0.3)
    # Only a call with a spoken turn has audio, so the text is answered aloud.
    assert result.failure is None
    story, interruption = result.report["turns"]
    assert story["interrupted"]
    assert story["heard_ms"] == pytest.approx(story["audible_ms"], abs=60 + stolen.total_ms)
    assert interruption["barge_in_ms"] < 1000 + stolen.total_ms
    assert not interruption["interrupted"]


async def test_next_turn_gives_each_answer_once() -> None:
    """Answers come in order, each once; when there is none in time it says so."""
    async with stand_in_server() as server, RtcClient.connect(server.url, audio=False) as client:
        client.send_text("one")
        client.send_text("two")
        assert (await client.next_turn()).said == "You said one."
        assert (await client.next_turn()).said == "You said two."
        with pytest.raises(Unanswered, match="No turn ended"):
            await client.next_turn(timeout_s=0.05)


async def test_messages_are_given_in_order_and_by_type() -> None:
    """Every message can be had; a type asked for skips the others."""
    async with stand_in_server() as server, RtcClient.connect(server.url, audio=False) as client:
        assert client.ready["agent"] == "stand_in"
        assert (await client.next_message())["type"] == "ready"
        client.send_text("one")
        assert (await client.next_message("turn"))["turn"] == 1
        with pytest.raises(Unanswered, match="No pong"):
            await client.next_message("pong", timeout_s=0.05)


async def test_dropped_packets_leave_a_gap_in_the_numbers() -> None:
    """Packets dropped on purpose were numbered before: the server sees the gap."""
    async with stand_in_server() as server, RtcClient.connect(server.url) as client:
        packets = server.calls["call-1"].packets
        await client.until(lambda: len(packets) >= 5 or None, 20.0)
        client.drop_packets(2)
        seen = len(packets)
        await client.until(lambda: len(packets) >= seen + 10 or None, 20.0)
        steps = np.diff([packet.sequence_number for packet in packets])
        assert sorted(steps)[-1] == 3
        assert sorted(steps)[-2] == 1


# ---------------------------------------------------------------- unanswered


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (Behaviour.SILENT, "did not answer within 3 s: it stayed silent."),
        (Behaviour.NEVER_ENDS_ITS_TURN, "no turn message ended its answer."),
        (Behaviour.ONLY_UNASKED, "it only said what nobody had asked for."),
        (Behaviour.DIES, "The call ended early: "),
    ],
)
@pytest.mark.parametrize("turn", [SPOKEN, TYPED], ids=["spoken", "typed"])
async def test_turn_without_an_answer_fails_with_a_sentence(
    behaviour: Behaviour, sentence: str, turn: WavTurn | TextTurn
) -> None:
    """Silence, an answer without end, unasked speech and a call that ends are no answers."""
    request = CallRequest(modality="audio")
    async with stand_in_server(behaviour) as server:
        result, _ = await call(server.url, [turn, TYPED], timeout_s=3.0, request=request)
    assert result.failure is not None
    assert result.failure.startswith("Turn 1 (")
    assert sentence in result.failure
    (only,) = result.report["turns"]
    assert not only["answered"]
    assert only["failure"] == result.failure == result.report["failure"]


async def test_server_that_refuses_is_told_in_its_own_words() -> None:
    """An HTTP error becomes a sentence with the status and the server's reason."""
    async with stand_in_server(Behaviour.REFUSES) as server:
        result, _ = await call(server.url, [TYPED])
    assert result.failure == "The server refused the call (503): The server is full."
    assert result.report["turns"] == []


async def test_server_that_answers_something_else_is_refused() -> None:
    """An answer without its fields names the first that is missing."""
    async with stand_in_server(Behaviour.NOT_AN_ANSWER) as server:
        result, _ = await call(server.url, [TYPED])
    assert result.failure == "The server's answer lacks 'call_id'."


async def test_dead_server_is_told_in_a_sentence() -> None:
    """A port where nobody listens."""
    async with stand_in_server() as server:
        url = server.url
    result, _ = await call(url, [TYPED])
    assert result.failure == f"No server answers at {url}/: connection refused."


@pytest.mark.parametrize("url", ["not a url", "http://", "ftp://localhost/"])
async def test_url_that_is_none_is_told_in_a_sentence(url: str) -> None:
    """Nonsense for a URL is no traceback."""
    result, _ = await call(url, [TYPED])
    assert result.failure is not None
    assert result.failure.startswith("No server answers at ")
    assert "no HTTP address" in result.failure


async def test_what_is_no_http_server_is_told_in_a_sentence() -> None:
    """Something listens there and speaks another protocol."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result, _ = await call(f"http://127.0.0.1:{port}", [TYPED])
    assert result.failure is not None
    assert result.failure.endswith("what answers there does not speak HTTP.")


async def test_call_without_ready_never_connected() -> None:
    """A connection on which no ready comes is no call; it is hung up all the same."""
    async with stand_in_server(Behaviour.NO_READY) as server:
        with pytest.raises(NeverConnected, match=r"within 0\.5 s: no ready message came"):
            async with RtcClient.connect(server.url, timeout_s=0.5):
                pytest.fail("there is no call")
        assert server.hung_up == ["call-1"]


async def test_call_that_ended_cannot_be_spoken_to() -> None:
    """After the end of a call speaking and typing say that it ended."""
    async with (
        stand_in_server(Behaviour.DIES) as server,
        RtcClient.connect(server.url) as client,
    ):
        client.send_text("die")
        assert await client.wait_until_ended(20.0) is not None
        with pytest.raises(CallEndedEarly):
            await client.say(SPOKEN.samples)
        with pytest.raises(CallEndedEarly):
            client.send_text("hello?")


# ------------------------------------------------------------------- leaving


async def test_vanishing_says_no_goodbye() -> None:
    """Who vanishes neither hangs up nor closes the connection in the server's eyes."""
    async with stand_in_server() as server:
        async with RtcClient.connect(server.url) as client:
            await client.vanish()
        assert server.hung_up == []
        assert server.calls["call-1"].connection.connectionState == "connected"


async def test_cancelled_call_is_hung_up() -> None:
    """A call whose task is cancelled in the middle of a turn is hung up and leaves nothing."""
    async with stand_in_server() as server:
        ready = asyncio.Event()

        async def talk() -> None:
            async with RtcClient.connect(server.url) as client:
                ready.set()
                await client.say(tone(30.0))

        task = asyncio.create_task(talk())
        await ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.hung_up == ["call-1"]


async def test_two_calls_at_once_do_not_mix() -> None:
    """Each client hears its own answers."""
    async with stand_in_server() as server:

        async def echo(word: str) -> str:
            async with RtcClient.connect(server.url, audio=False) as client:
                return (await client.answer_to(client.send_text(word))).said

        words = ["one", "two", "three"]
        assert await asyncio.gather(*map(echo, words)) == [f"You said {word}." for word in words]


async def test_typed_turn_in_an_audio_call_is_timed_by_its_sound(stolen: StolenTime) -> None:
    """The response time of a typed turn ends at the first audible packet."""
    async with stand_in_server() as server, RtcClient.connect(server.url) as client:
        question = client.send_text("hello")
        answer = await client.answer_to(question)
        response = response_ms(question, answer)
        assert response is not None
        assert response == pytest.approx(
            (answer.sounds[0].arrived_at - question.ended_at) * 1000, abs=1
        )
        assert audible_ms(answer) == pytest.approx(300, abs=60 + stolen.total_ms)
