"""The live track: real time, no drift, and when each word left."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from rtc_harness.levels import SAMPLE_RATE
from rtc_harness.microphone import FRAME_S, Microphone, Utterance
from rtc_harness.opus import FRAME_SAMPLES

from .stand_in_server import silence, tone


def sent_in_time(utterance: Utterance, start: float) -> None:
    """Let the whole utterance leave, a packet each 20 ms."""
    index = 0
    while not utterance.is_over:
        utterance.take()
        utterance.left(start + index * FRAME_S)
        index += 1


def test_utterance_ends_with_its_last_speech_not_with_its_silence() -> None:
    """The end of a turn is the packet with the last of its speech, whatever follows."""
    utterance = Utterance(np.concatenate([silence(0.1), tone(0.2), silence(0.5)]))
    sent_in_time(utterance, 10.0)
    # Speech is samples 0.1 s to 0.3 s; the encoder's look-ahead puts its end in packet 15.
    assert utterance.began_at == pytest.approx(10.0 + 5 * FRAME_S)
    assert utterance.ended_at == pytest.approx(10.0 + 15 * FRAME_S)
    # The packet leaves when it is full, 20 ms after its first sample was spoken.
    assert utterance.last_sample_at == pytest.approx(10.0 + 15 * FRAME_S - FRAME_S)


def test_utterance_fills_its_last_packet_with_silence() -> None:
    """A length that is no multiple of 20 ms is filled up."""
    utterance = Utterance(tone(0.03))
    assert len(utterance.take()) == FRAME_SAMPLES
    utterance.left(0.0)
    piece = utterance.take()
    assert len(piece) == FRAME_SAMPLES
    assert not piece[FRAME_SAMPLES // 2 :].any()


async def test_microphone_keeps_the_pace_of_its_clock() -> None:
    """Packets are due every 20 ms from the first on: late ones do not shift the next."""
    now = 50.0
    microphone = Microphone(clock=lambda: now)
    for index in range(5):
        now = 50.0 + (index + 1) * FRAME_S + 0.015  # the loop is always 15 ms late
        packet = await microphone.recv()
        assert packet.pts == index * FRAME_SAMPLES
    assert microphone.skipped_s == 0
    microphone.stop()


async def test_microphone_skips_what_is_too_late() -> None:
    """After a long stall the timestamps jump: old silence is not sent in a burst."""
    now = 50.0
    microphone = Microphone(clock=lambda: now)
    assert (await microphone.recv()).pts == 0
    now += 5.0
    pts = (await microphone.recv()).pts
    assert pts is not None
    assert pts == pytest.approx(4.8 * SAMPLE_RATE, abs=2 * FRAME_SAMPLES)
    assert microphone.skipped_s == pytest.approx(4.8, abs=4 * FRAME_S)
    microphone.stop()


async def test_microphone_says_one_utterance_after_the_other() -> None:
    """Each utterance is over when its last packet has left."""
    microphone = Microphone()
    first, second = microphone.say(tone(0.04)), microphone.say(tone(0.02))
    while not second.over.is_set():
        await microphone.recv()
    assert first.over.is_set()
    assert first.ended_at is not None
    assert second.began_at is not None
    assert first.ended_at < second.began_at
    microphone.stop()


async def test_microphone_cut_off_is_over_without_an_end() -> None:
    """Who waits for an utterance is told when it is dropped; it has no end time."""
    microphone = Microphone()
    utterance = microphone.say(tone(1.0))
    await microphone.recv()
    microphone.hush()
    assert utterance.over.is_set()
    assert utterance.ended_at is None
    microphone.stop()


async def test_microphone_sends_nothing_while_paused() -> None:
    """A paused microphone sends no packets, and its timestamps go on with time."""
    now = 50.0
    microphone = Microphone(clock=lambda: now)
    now += FRAME_S
    await microphone.recv()
    microphone.pause()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(microphone.recv())
        await asyncio.sleep(0)
        assert not waiting.done()
        now += 2.0
        microphone.resume()
    pts = waiting.result().pts
    assert pts is not None
    assert pts == pytest.approx(2 * SAMPLE_RATE, abs=2 * FRAME_SAMPLES)
    microphone.stop()


async def test_microphone_stopped_ends_its_track() -> None:
    """A stopped track raises, as the sender expects, and drops what was being said."""
    microphone = Microphone()
    utterance = microphone.say(tone(1.0))
    microphone.stop()
    with pytest.raises(MediaStreamError):
        await microphone.recv()
    assert utterance.over.is_set()
