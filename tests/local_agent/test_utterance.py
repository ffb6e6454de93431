"""When an utterance begins, pauses and ends."""

from __future__ import annotations

from itertools import pairwise

from rtc_server.local_agent.utterance import EndpointRules, Signal, Utterance

PIECE = b"\x01\x00" * 512
PIECE_MS = 32


def feed(utterance: Utterance, ms: int, probability: float) -> list[Signal]:
    return [utterance.push(PIECE, probability) for _ in range(ms // PIECE_MS)]


def test_silence_is_nothing() -> None:
    utterance = Utterance()
    assert set(feed(utterance, 2000, 0.0)) == {Signal.NONE}
    assert not utterance.is_active


def test_short_burst_is_discarded() -> None:
    utterance = Utterance()
    assert set(feed(utterance, 200, 0.9)) == {Signal.NONE}
    assert feed(utterance, 320, 0.0)[-2:] == [Signal.DISCARDED, Signal.NONE]
    assert not utterance.is_active


def test_hypothesis_is_wanted_after_enough_voice_and_then_at_intervals() -> None:
    signals = feed(Utterance(), 1600, 0.9)
    wanted = [i * PIECE_MS for i, signal in enumerate(signals) if Signal.PARTIAL in signal]
    assert wanted[0] in range(224, 257)
    assert all(b - a >= 400 for a, b in pairwise(wanted))


def test_guess_comes_before_the_end() -> None:
    utterance = Utterance()
    feed(utterance, 640, 0.9)
    signals = feed(utterance, 320, 0.0)
    guess, end = signals.index(Signal.GUESS), signals.index(Signal.ENDED)
    assert (guess + 1) * PIECE_MS in range(190, 224)
    assert (end + 1) * PIECE_MS in range(280, 312)


def test_speech_that_goes_on_voids_the_guess() -> None:
    utterance = Utterance()
    feed(utterance, 640, 0.9)
    assert Signal.GUESS in feed(utterance, 224, 0.0)
    assert Signal.RESUMED in utterance.push(PIECE, 0.9)
    assert Signal.GUESS in feed(utterance, 224, 0.0)


def test_wavering_detector_does_not_end_a_word() -> None:
    utterance = Utterance()
    feed(utterance, 640, 0.9)
    assert Signal.GUESS not in feed(utterance, 640, 0.4)


def test_endless_speech_is_cut_off() -> None:
    utterance = Utterance(EndpointRules(longest_ms=3000))
    signals = feed(utterance, 3200, 0.9)
    assert Signal.ENDED in signals[3000 // PIECE_MS]


def test_audio_keeps_what_was_before_the_voice_and_little_of_the_silence_after() -> None:
    utterance = Utterance()
    feed(utterance, 3200, 0.0)
    feed(utterance, 320, 0.9)
    feed(utterance, 256, 0.0)
    assert len(utterance.audio) == (320 + 320 + 96) * 32
