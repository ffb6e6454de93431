"""The playout buffer: what is played, and the account of what was heard."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from rtc_server.media.playout_buffer import Heard, PlayoutBuffer, PlayoutFrame

from .conftest import from_s16, s16, sine, vowel

RATE = 24_000
FRAME_BYTES = RATE // 50 * 2


def audio(seconds: float, rate: int = RATE) -> bytes:
    """A ramp: no two frames are alike."""
    return (np.arange(round(seconds * rate)) % 20_000 + 1_000).astype("<i2").tobytes()


def read_all(buffer: PlayoutBuffer, now: float = 0.0) -> list[PlayoutFrame]:
    frames = []
    while (frame := buffer.read(now)) is not None:
        frames.append(frame)
    return frames


def sound(frames: list[PlayoutFrame]) -> bytes:
    return b"".join(frame.pcm for frame in frames if not frame.closing)


@pytest.fixture
def buffer() -> PlayoutBuffer:
    return PlayoutBuffer()


# Playing


def test_there_is_nothing_to_read_before_the_first_write(buffer: PlayoutBuffer) -> None:
    assert buffer.read(0.0) is None
    assert buffer.is_empty
    assert buffer.buffered_s == 0


@pytest.mark.parametrize("rate", [8_000, 12_000, 16_000, 24_000, 48_000])
def test_rates_opus_takes_are_played_unchanged(buffer: PlayoutBuffer, rate: int) -> None:
    pcm = audio(0.1, rate)
    buffer.write(1, pcm, rate, 0.0)
    frames = read_all(buffer)
    assert sound(frames) == pcm
    assert {frame.rate for frame in frames} == {rate}
    assert [frame.closing for frame in frames] == [False] * 5 + [True]


@pytest.mark.parametrize("rate", [11_025, 22_050, 32_000, 44_100, 96_000])
def test_other_rates_are_resampled_to_24_khz(buffer: PlayoutBuffer, rate: int) -> None:
    for start in range(0, rate, rate // 10):
        buffer.write(1, s16(sine(440, 1.0, rate)[start : start + rate // 10]), rate, 0.0)
    buffer.finish(1)
    frames = read_all(buffer)
    assert {frame.rate for frame in frames} == {RATE}
    played = from_s16(sound(frames))
    assert len(played) == pytest.approx(RATE, abs=FRAME_BYTES)
    crossings = np.count_nonzero(np.diff(np.signbit(played[1000:-1000])))
    assert crossings / 2 / ((len(played) - 2000) / RATE) == pytest.approx(440, abs=2)
    assert buffer.heard(1).ms == pytest.approx(1000, abs=1)


@pytest.mark.parametrize("rate", [0, -1, 3_000, 1_000_000])
def test_a_rate_of_nonsense_is_refused(buffer: PlayoutBuffer, rate: int) -> None:
    with pytest.raises(ValueError, match="kHz"):
        buffer.write(1, bytes(100), rate, 0.0)


@pytest.mark.parametrize("size", [1, 3, 7, 333, 961, 4_801])
def test_odd_pieces_come_out_whole(buffer: PlayoutBuffer, size: int) -> None:
    """Half a sample waits for its other half."""
    pcm = audio(0.2)
    for start in range(0, len(pcm), size):
        buffer.write(1, pcm[start : start + size], RATE, 0.0)
    assert sound(read_all(buffer)) == pcm


def test_half_samples_of_two_turns_are_kept_apart(buffer: PlayoutBuffer) -> None:
    one, two = audio(0.02), audio(0.02)[::-1]
    buffer.write(1, one[:481], RATE, 0.0)
    buffer.write(2, two[:3], RATE, 0.0)
    buffer.write(2, two[3:], RATE, 0.0)
    buffer.finish(1)
    buffer.finish(2)
    frames = read_all(buffer)
    assert frames[0].pcm == one[:480].ljust(FRAME_BYTES, b"\0")
    assert frames[1].pcm == two


def test_writes_of_no_bytes_change_nothing(buffer: PlayoutBuffer) -> None:
    assert buffer.write(1, b"", RATE, 0.0) == 0.0
    assert buffer.write(1, b"", 44_100, 0.0) == 0.0
    assert buffer.is_empty
    assert buffer.read(1.0) is None


def test_frames_tell_whether_they_can_be_heard(buffer: PlayoutBuffer) -> None:
    buffer.write(1, bytes(FRAME_BYTES) + audio(0.02), RATE, 0.0)
    assert [frame.audible for frame in read_all(buffer)] == [False, True, False]


def test_turns_play_one_after_another_in_the_order_of_writing(buffer: PlayoutBuffer) -> None:
    buffer.write(5, audio(0.04), RATE, 0.0)
    buffer.write(3, audio(0.04), RATE, 0.0)
    buffer.write(4, audio(0.02), RATE, 0.0)
    frames = read_all(buffer)
    assert [frame.turn for frame in frames] == [5, 5, 3, 3, 4, 4]
    assert [frame.closing for frame in frames] == [False] * 5 + [True]


def test_another_rate_closes_the_spurt_of_the_first(buffer: PlayoutBuffer) -> None:
    """Each rate has an encoder of its own, whose look-ahead has to be emptied."""
    buffer.write(1, audio(0.04, 24_000), 24_000, 0.0)
    buffer.write(2, audio(0.04, 16_000), 16_000, 0.0)
    frames = read_all(buffer)
    assert [(frame.turn, frame.rate, frame.closing) for frame in frames] == [
        (1, 24_000, False),
        (1, 24_000, False),
        (1, 24_000, True),
        (2, 16_000, False),
        (2, 16_000, False),
        (2, 16_000, True),
    ]
    assert all(len(frame.pcm) == frame.rate // 50 * 2 for frame in frames)


def test_one_turn_may_change_its_rate(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.04, 24_000), 24_000, 0.0)
    buffer.write(1, audio(0.04, 22_050), 22_050, 0.0)
    buffer.write(1, audio(0.04, 48_000), 48_000, 0.0)
    buffer.finish(1)
    frames = read_all(buffer)
    assert [frame.rate for frame in frames if not frame.closing] == [24_000] * 4 + [48_000] * 2
    assert buffer.heard(1).ms == pytest.approx(120, abs=1)


# Closing


def test_each_spurt_is_closed_exactly_once(buffer: PlayoutBuffer) -> None:
    for spurt in range(3):
        buffer.write(1, audio(0.04), RATE, 0.0)
        assert [frame.closing for frame in read_all(buffer)] == [False, False, True], spurt
        assert buffer.read(0.0) is None


def test_the_closing_frame_is_silence_and_is_not_counted(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.02), RATE, 0.0)
    buffer.finish(1)
    _, closing = read_all(buffer)
    assert closing == PlayoutFrame(bytes(FRAME_BYTES), RATE, 1, audible=False, closing=True)
    assert buffer.heard(1).ms == 20


def test_a_turn_that_starves_is_closed_and_goes_on(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.02), RATE, 0.0)
    assert len(read_all(buffer)) == 2
    buffer.write(1, audio(0.02), RATE, 1.0)
    assert [frame.closing for frame in read_all(buffer, 1.0)] == [False, True]
    assert buffer.heard(1).ms == 40


# Tails


def test_a_tail_waits_60_ms_for_the_rest_of_its_frame(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.03), RATE, 10.0)
    assert buffer.read(10.0) is not None
    assert buffer.read(10.059) is None
    assert not buffer.is_empty
    tail = buffer.read(10.061)
    assert tail is not None
    assert tail.pcm == audio(0.03)[FRAME_BYTES:].ljust(FRAME_BYTES, b"\0")
    assert buffer.heard(1).ms == 30, "the padding is no audio"
    closing = buffer.read(10.08)
    assert closing is not None
    assert closing.closing


def test_a_tail_that_is_completed_in_time_is_not_padded(buffer: PlayoutBuffer) -> None:
    pcm = audio(0.04)
    buffer.write(1, pcm[:1440], RATE, 10.0)
    buffer.read(10.0)
    assert buffer.read(10.02) is None
    buffer.write(1, pcm[1440:], RATE, 10.03)
    frame = buffer.read(10.04)
    assert frame is not None
    assert frame.pcm == pcm[FRAME_BYTES:]


def test_a_tail_is_played_at_once_when_its_turn_is_finished(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.03), RATE, 10.0)
    buffer.finish(1)
    assert [frame.closing for frame in read_all(buffer, 10.0)] == [False, False, True]


def test_a_tail_is_played_at_once_when_the_next_turn_is_behind_it(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.03), RATE, 10.0)
    buffer.write(2, audio(0.02), RATE, 10.0)
    assert [frame.turn for frame in read_all(buffer, 10.0)] == [1, 1, 2, 2]


# Drained


def test_a_turn_is_drained_when_it_is_finished_and_read(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.04), RATE, 0.0)
    buffer.finish(1)
    assert not buffer.drained(1)
    buffer.read(0.0)
    assert not buffer.drained(1)
    buffer.read(0.0)
    assert buffer.drained(1)


def test_a_turn_that_is_read_and_not_finished_is_not_drained(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.02), RATE, 0.0)
    read_all(buffer)
    assert not buffer.drained(1)
    buffer.finish(1)
    assert buffer.drained(1)


def test_a_turn_without_audio_is_drained_when_finished(buffer: PlayoutBuffer) -> None:
    buffer.mark_text(1, "hello")
    assert not buffer.drained(1)
    buffer.finish(1)
    assert buffer.drained(1)
    assert buffer.heard(1) == Heard(1, 0, "")


def test_an_unknown_turn_is_drained_and_unheard(buffer: PlayoutBuffer) -> None:
    assert buffer.drained(7)
    assert buffer.heard(7) == Heard(7, 0, "")


# Flushing


def test_flush_in_mid_sentence_says_what_was_heard(buffer: PlayoutBuffer) -> None:
    buffer.mark_text(1, "one two three four five")
    buffer.write(1, audio(2.0), RATE, 0.0)
    for _ in range(50):
        buffer.read(0.0)
    assert buffer.flush() == [Heard(1, 1000, "one two")]
    assert buffer.is_empty
    assert buffer.buffered_s == 0
    assert buffer.drained(1)
    assert buffer.heard(1) == Heard(1, 1000, "one two")


def test_after_a_flush_only_the_closing_frame_is_read(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(2.0), RATE, 0.0)
    buffer.read(0.0)
    buffer.flush()
    assert [frame.closing for frame in read_all(buffer)] == [True]


def test_a_flush_while_nothing_plays_closes_nothing(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(2.0), RATE, 0.0)
    assert buffer.flush() == [Heard(1, 0, "")]
    assert buffer.read(0.0) is None


def test_flush_cuts_off_every_turn_that_is_not_drained(buffer: PlayoutBuffer) -> None:
    """Drained ones are over; those that only have text, or starve, are not."""
    for turn in (1, 2, 3, 4):
        buffer.write(turn, audio(0.04), RATE, 0.0)
        if turn < 4:
            buffer.finish(turn)
    buffer.mark_text(5, "soon")
    for _ in range(3):
        buffer.read(0.0)
    assert buffer.flush() == [
        Heard(2, 20, ""),
        Heard(3, 0, ""),
        Heard(4, 0, ""),
        Heard(5, 0, ""),
    ]
    assert buffer.flush() == []


def test_a_turn_that_has_starved_is_cut_off_too(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.04), RATE, 0.0)
    read_all(buffer)
    assert buffer.flush() == [Heard(1, 40, "")]
    assert buffer.read(0.0) is None


def test_what_comes_to_a_flushed_turn_later_is_left_out(buffer: PlayoutBuffer) -> None:
    buffer.mark_text(1, "one two")
    buffer.write(1, audio(1.0), RATE, 0.0)
    buffer.read(0.0)
    flushed = buffer.flush()
    assert buffer.write(1, audio(1.0), RATE, 0.0) == 0.0
    buffer.mark_text(1, "one two three")
    buffer.finish(1)
    assert [buffer.heard(1)] == flushed
    assert buffer.is_empty


def test_the_next_turn_plays_after_a_flush(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(1.0), RATE, 0.0)
    buffer.read(0.0)
    buffer.flush()
    buffer.write(2, audio(0.02), RATE, 0.0)
    assert [(frame.turn, frame.closing) for frame in read_all(buffer)] == [(2, False), (2, True)]


# Forgetting


def test_forget_drops_the_ledger(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.02), RATE, 0.0)
    buffer.finish(1)
    read_all(buffer)
    buffer.forget(1)
    assert buffer.heard(1) == Heard(1, 0, "")
    assert buffer.flush() == []
    buffer.forget(1)


def test_forget_drops_what_is_left_of_the_audio(buffer: PlayoutBuffer) -> None:
    buffer.write(1, audio(0.06), RATE, 0.0)
    buffer.write(2, audio(0.02), RATE, 0.0)
    buffer.read(0.0)
    buffer.forget(1)
    assert buffer.buffered_s == pytest.approx(0.02)
    assert [frame.turn for frame in read_all(buffer)] == [2, 2]


# Capacity


def test_what_does_not_fit_is_dropped_from_the_end_and_reported() -> None:
    buffer = PlayoutBuffer(capacity_s=1.0)
    pcm = audio(1.5)
    assert buffer.write(1, pcm, RATE, 0.0) == pytest.approx(0.5)
    assert buffer.write(1, audio(0.25), RATE, 0.0) == pytest.approx(0.25)
    assert buffer.write(2, audio(0.25, 8_000), 8_000, 0.0) == pytest.approx(0.25)
    assert buffer.buffered_s == pytest.approx(1.0)
    assert sound(read_all(buffer)) == pcm[: RATE * 2]
    assert buffer.heard(1).ms == 1000
    assert buffer.write(1, audio(0.5), RATE, 0.0) == 0.0


def test_buffered_time_counts_all_rates_alike(buffer: PlayoutBuffer) -> None:
    for turn, rate in enumerate((8_000, 16_000, 48_000)):
        buffer.write(turn, audio(0.5, rate), rate, 0.0)
    assert buffer.buffered_s == pytest.approx(1.5)
    buffer.read(0.0)
    assert buffer.buffered_s == pytest.approx(1.48)


@pytest.mark.parametrize("piece_s", [0.01, 0.1, 600.0])
def test_ten_minutes_in_a_burst_cost_as_much_a_second_as_one(piece_s: float) -> None:
    """Twice as much takes twice as long, not four times (thread time; generous)."""

    def cost(seconds: float) -> float:
        buffer = PlayoutBuffer()
        pcm = bytes(round(min(piece_s, seconds) * RATE) * 2)
        start = time.thread_time()
        for _ in range(round(seconds / min(piece_s, seconds))):
            buffer.write(1, pcm, RATE, 0.0)
        while buffer.read(0.0) is not None:
            pass
        return time.thread_time() - start

    cost(10)
    assert cost(600) < 4 * 4 * max(cost(150), 0.01)


def test_random_play_keeps_the_account() -> None:
    """Whatever is written, read and flushed: what went in is heard, buffered or flushed."""
    generator = np.random.default_rng(int(os.environ.get("SEED", "7")))
    buffer = PlayoutBuffer(capacity_s=3.0)
    written = read = flushed = dropped = 0.0
    turn = 1
    for _ in range(3000):
        action = generator.integers(0, 10)
        if action < 4:
            seconds = int(generator.integers(0, 2400)) / RATE
            written += seconds
            dropped += buffer.write(turn, audio(seconds), RATE, 0.0)
        elif action < 8:
            before = buffer.buffered_s
            buffer.read(0.0)
            read += before - buffer.buffered_s
        elif action == 8:
            buffer.finish(turn)
            turn += 1
        elif generator.integers(0, 10) == 0:
            flushed += buffer.buffered_s
            buffer.flush()
            turn += 1
    assert dropped > 0
    assert written == pytest.approx(read + flushed + dropped + buffer.buffered_s)
    heard = sum(buffer.heard(each).ms for each in range(1, turn + 1))
    assert heard == pytest.approx(read * 1000, abs=turn)


# Streams in real time


class RealTime:
    """An agent that says what it hears, in pieces of 40 ms, and a listener."""

    def __init__(self, buffer: PlayoutBuffer) -> None:
        self.buffer = buffer
        self.now = 0.0
        self.frames: list[PlayoutFrame] = []
        self.backlogs: list[float] = []
        self._voice = s16(vowel(60.0, RATE))
        self._at = 0
        self._owed = 0

    def go_on(self, seconds: float, *, stalled: bool = False) -> None:
        """A stalled agent owes what it should have said, and says it at once afterwards."""
        for _ in range(round(seconds / 0.02)):
            self._owed += FRAME_BYTES
            if not stalled and self._owed >= 2 * FRAME_BYTES:
                piece = self._voice[self._at : self._at + self._owed]
                self._at += self._owed
                self._owed = 0
                self.buffer.write(1, piece, RATE, self.now)
            frame = self.buffer.read(self.now)
            if frame is not None and not frame.closing:
                self.frames.append(frame)
            self.backlogs.append(self.buffer.buffered_s)
            self.now += 0.02

    def delay_s(self) -> float:
        """What waited at least, in the last second."""
        return min(self.backlogs[-50:])


@pytest.mark.parametrize("stall_s", [0.04, 0.1, 0.3])
def test_the_delay_of_a_stall_is_gone_some_seconds_later(
    buffer: PlayoutBuffer, stall_s: float
) -> None:
    """Not a sample is lost: the sound goes faster until it has caught up."""
    agent = RealTime(buffer)
    agent.go_on(3.0)
    before = agent.delay_s()
    agent.go_on(stall_s, stalled=True)
    agent.go_on(1.0)
    assert agent.delay_s() >= before + stall_s - 0.021, "it was late for good"
    agent.go_on(11.0)
    assert agent.delay_s() <= before + 0.01
    said_ms = round((agent.now - agent.buffer.buffered_s) * 1000)
    heard_ms = buffer.heard(1).ms
    assert abs(said_ms - heard_ms) <= 60, "what was left out of the sound was heard all the same"
    assert len(agent.frames) * 20 < heard_ms


def test_a_stream_in_time_is_played_sample_by_sample(buffer: PlayoutBuffer) -> None:
    agent = RealTime(buffer)
    agent.go_on(20.0)
    pcm = sound(agent.frames)
    assert pcm == agent._voice[: len(pcm)]


@pytest.mark.parametrize("speed", [1.1, 1.5, 4.0])
def test_an_agent_faster_than_real_time_is_played_sample_by_sample(
    buffer: PlayoutBuffer, speed: float
) -> None:
    """However much waits, it is speech and not delay."""
    voice = s16(vowel(12.0, RATE))
    frames = []
    written = 0
    size = int(0.04 * speed * RATE) * 2
    for number in range(700):
        now = number * 0.02
        if number % 2 == 0 and written < len(voice):
            buffer.write(1, voice[written : written + size], RATE, now)
            written += size
        frame = buffer.read(now)
        if frame is not None:
            frames.append(frame)
    assert sound(frames)[: len(voice)] == voice


def test_a_stall_right_before_an_interruption_leaves_no_old_sound(buffer: PlayoutBuffer) -> None:
    agent = RealTime(buffer)
    agent.go_on(3.0)
    agent.go_on(0.2, stalled=True)
    agent.go_on(3.0)
    [cut] = buffer.flush()
    assert cut.turn == 1
    frame = buffer.read(agent.now)
    assert frame is not None
    assert frame.closing
    assert buffer.read(agent.now) is None
    assert buffer.buffered_s == 0
