"""From mouth to ear: the arithmetic of it; the browser's part is tried in ``browser/``."""

from __future__ import annotations

import numpy as np
import pytest

from benches.mouth_to_ear import WAYS, Run, ratio, summary, table
from benches.mouth_to_ear_sound import (
    PAGE_RATE,
    browser_figures,
    chirp_delays_ms,
    make_sound,
    phases_of,
)

SPEAKING, SPURTS = phases_of(3, 2)


def recording(delay_ms: float, offset: int = 0, loudness: float = 0.3) -> bytes:
    """What a page hears that is so late, with noise, from sample ``offset`` of the sound on."""
    sound = np.frombuffer(make_sound([SPEAKING, SPURTS]), "<i2").astype(np.float64)
    late = np.concatenate(
        [np.zeros(round(delay_ms * PAGE_RATE / 1000)), sound, np.zeros(PAGE_RATE)]
    )
    late += np.random.default_rng(1).normal(0, 300, len(late))
    if offset < 0:
        late = np.concatenate([np.zeros(-offset), late])
    return np.rint(late[max(0, offset) :] * loudness).astype("<i2").tobytes()


def run_of(*delays_ms: float, spurts: tuple[float, ...] = (100.0,)) -> Run:
    """A round in which the chirps were so late."""
    return {
        "speaking": {"delays_ms": list(delays_ms), "chirps": 3, "jitter_buffer_ms": 20.0},
        "spurts": {"delays_ms": list(spurts), "chirps": 1, "jitter_buffer_ms": 30.0},
    }


@pytest.mark.parametrize("delay_ms", [0.5, 123.25, 640.0])
@pytest.mark.parametrize("offset", [-4801, 2400])
def test_a_chirp_is_as_late_as_the_recording_is(delay_ms: float, offset: int) -> None:
    """In both phases, whenever the recording began, to a tenth of a millisecond."""
    heard = recording(delay_ms, offset)
    for phase, chirps in ((SPEAKING, 3), (SPURTS, 2)):
        assert chirp_delays_ms(heard, offset, phase) == pytest.approx([delay_ms] * chirps, abs=0.1)


def test_a_chirp_that_is_not_heard_is_left_out() -> None:
    """Its place is silent: two of three are found, and nothing is made up."""
    heard = np.frombuffer(recording(100.0), "<i2").copy()
    gone = round((SPEAKING.begin_s + 1.5) * PAGE_RATE)
    heard[gone : gone + PAGE_RATE // 2] = 0
    delays = chirp_delays_ms(heard.tobytes(), 0, SPEAKING)
    assert delays == pytest.approx([100.0] * 2, abs=0.1)


def test_a_recording_that_ends_early_has_the_chirps_before_its_end() -> None:
    """A call that was cut off is no error."""
    heard = recording(100.0)[: round(5.2 * PAGE_RATE) * 2]
    assert len(chirp_delays_ms(heard, 0, SPEAKING)) == 2
    assert chirp_delays_ms(b"", 0, SPURTS) == []


def test_spurts_are_silent_between_the_chirps() -> None:
    """Half of each second, long enough that the agent's turn ends."""
    sound = np.frombuffer(make_sound([SPEAKING, SPURTS]), "<i2")
    second = sound[SPURTS.begin_s * PAGE_RATE :][:PAGE_RATE]
    assert not second[round(0.8 * PAGE_RATE) :].any()
    assert not second[: round(0.35 * PAGE_RATE)].any()
    assert np.abs(second[round(0.5 * PAGE_RATE) :][: PAGE_RATE // 10]).max() > 10_000


def test_the_browsers_figures_are_of_the_time_between_two_samples() -> None:
    """A second in which the jitter buffer kept 30 ms, and a hundredth was made up."""
    before = {"jitterBufferDelay": 1000.0, "jitterBufferEmittedCount": 48_000}
    after = {
        "jitterBufferDelay": 1000.0 + 0.03 * 48_000,
        "jitterBufferEmittedCount": 96_000,
        "totalSamplesReceived": 48_000,
        "concealedSamples": 480,
    }
    figures = browser_figures(before, after)
    assert figures["jitter_buffer_ms"] == pytest.approx(30.0)
    assert figures["concealed_share"] == pytest.approx(0.01)


def test_summary_is_of_all_chirps_and_says_how_far_the_rounds_lie_apart() -> None:
    """p50 and p90 over the chirps; the spread is that of the rounds' medians."""
    told = summary([run_of(100.0, 110.0, 120.0), run_of(130.0, 140.0)])["speaking"]
    assert (told["p50_ms"], told["p90_ms"]) == (120.0, 140.0)
    assert (told["least_median_ms"], told["most_median_ms"]) == (110.0, 135.0)
    assert (told["heard"], told["said"]) == (5, 6)


def test_a_phase_in_which_nothing_was_heard_has_no_figure() -> None:
    """It does not count as quick."""
    told = summary([run_of(100.0, spurts=())])
    assert "spurts" not in told
    assert "| in spurts, p50, ms |  |" in table({"one": told})


def test_the_ratio_compares_the_rounds_in_pairs() -> None:
    """What the machine did in a round met both."""
    told = ratio([run_of(100.0), run_of(200.0)], [run_of(200.0), run_of(250.0)], "speaking")
    assert told == {"median": pytest.approx(0.65), "min": 0.5, "max": 0.8}
    assert ratio([run_of()], [run_of(1.0)], "speaking") is None


def test_a_call_that_did_not_come_about_leaves_its_round_out() -> None:
    """The rounds after it are still compared with their own."""
    ours, theirs = [{}, run_of(100.0)], [run_of(400.0), run_of(200.0)]
    told = ratio(ours, theirs, "speaking")
    assert told is not None
    assert told["median"] == pytest.approx(0.5)
    assert summary(ours)["speaking"]["said"] == 3


def test_the_two_that_are_compared_run_in_the_same_environment() -> None:
    """Nothing has to be installed for aiortc, and its version is ours."""
    for name in ("ours", "aiortc"):
        server = WAYS[name].server
        assert server is not None
        assert server.command(1)[0] == str(server.python)
