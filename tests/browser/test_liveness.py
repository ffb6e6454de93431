"""When a connection is given up, and when the next one is placed: the rules, without a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.blank_page import open_blank_page
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(60)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """One for all: the rules keep nothing between two tests."""
    async with StandInServer() as server, open_blank_page(browser, server) as page:
        yield page


LIVE_THROUGH = """
async ({ events, untilMs, tickMs }) => {
  const { LivenessRule } = await import("/client/liveness.js");
  const rule = new LivenessRule(0);
  const pings = [];
  const slept = new Set();
  for (let nowMs = tickMs; nowMs <= untilMs; nowMs += tickMs) {
    for (const event of events) {
      const [atMs, what, packets] = event;
      if (atMs <= nowMs - tickMs || atMs > nowMs || slept.has(event)) continue;
      if (what === "heard") rule.heard(nowMs);
      if (what === "answered") rule.answered(nowMs);
      if (what === "received") rule.received(packets, nowMs);
      if (what === "suspect") rule.suspect(nowMs);
      if (what === "sleep") {
        nowMs += packets;
        slept.add(event); // once, though the clock may come there again
      }
    }
    const said = rule.tick(nowMs);
    if (said === "dead") return { deadAtMs: nowMs, pings };
    if (said === "ping") pings.push(nowMs);
  }
  return { deadAtMs: null, pings };
}
"""

Event = tuple[float, str] | tuple[float, str, float]


async def live_through(
    page: Page,
    events: list[Event],
    *,
    until_ms: int = 60_000,
    tick_ms: int = 250,
) -> dict[str, Any]:
    """Tick by tick with these events: when the connection is given up, and all pings until then."""
    arguments = {"events": events, "untilMs": until_ms, "tickMs": tick_ms}
    result: dict[str, Any] = await page.evaluate(LIVE_THROUGH, arguments)
    return result


# -- the other end -------------------------------------------------------------------------


async def test_other_end_that_answers_is_asked_every_second_and_never_given_up(
    page: Page,
) -> None:
    answers: list[Event] = [(ms + 200, "heard") for ms in range(1_000, 60_000, 1_000)]
    result = await live_through(page, answers, until_ms=59_000)
    assert result["deadAtMs"] is None
    assert result["pings"] == list(range(1_000, 60_000, 1_000))


async def test_path_on_which_nothing_comes_is_given_up_within_three_seconds(
    page: Page,
) -> None:
    """The worst case: the path broke as soon as the last ping had been answered."""
    result = await live_through(page, [(1_001, "heard")])
    assert 2_500 <= result["deadAtMs"] - 1_001 <= 3_000


async def test_packets_show_that_the_path_is_there_while_an_answer_is_sent_again(
    page: Page,
) -> None:
    """A lost answer comes after four seconds; meanwhile audio went on."""
    packets: list[Event] = [(ms, "received", ms) for ms in range(1_000, 5_000, 500)]
    answers: list[Event] = [(ms, "heard") for ms in range(5_000, 20_000, 500)]
    result = await live_through(page, [*packets, *answers], until_ms=20_000)
    assert result["deadAtMs"] is None


async def test_other_end_that_sends_packets_but_answers_no_more_is_given_up_in_the_end(
    page: Page,
) -> None:
    packets: list[Event] = [(ms, "received", ms) for ms in range(1_000, 60_000, 250)]
    result = await live_through(page, [(500, "answered"), *packets])
    assert 8_000 <= result["deadAtMs"] <= 10_000


async def test_other_end_that_never_answered_a_ping_is_not_gone_when_it_does_not(
    page: Page,
) -> None:
    """Another server may not know them; its packets show that it is there."""
    packets: list[Event] = [(ms, "received", ms) for ms in range(1_000, 60_000, 250)]
    assert (await live_through(page, packets))["deadAtMs"] is None


async def test_same_count_of_packets_is_no_sign_of_life(
    page: Page,
) -> None:
    packets: list[Event] = [(ms, "received", 700) for ms in range(250, 60_000, 250)]
    assert await live_through(page, packets) == await live_through(page, [])


async def test_suspicion_asks_at_once_and_has_less_patience(
    page: Page,
) -> None:
    """As after `online`: two seconds in all."""
    result = await live_through(page, [(500, "suspect")])
    assert 1_750 <= result["deadAtMs"] <= 2_250


async def test_suspicion_that_was_wrong_leaves_nothing_behind(
    page: Page,
) -> None:
    """After an answer the patience is the usual one."""
    result = await live_through(page, [(500, "suspect"), (700, "heard")])
    assert result["deadAtMs"] >= 3_200


async def test_further_suspicions_do_not_put_the_end_off(
    page: Page,
) -> None:
    """A network that comes and goes says so many times."""
    flapping: list[Event] = [(ms, "suspect") for ms in range(500, 60_000, 250)]
    result = await live_through(page, flapping)
    assert result["deadAtMs"] <= 2_250


async def test_sleep_in_the_middle_of_a_ping_does_not_end_a_connection_that_answers(
    page: Page,
) -> None:
    """A minute passes between two ticks: the other end is asked again, then believed."""
    events: list[Event] = [(1_250, "sleep", 60_000), (61_750, "heard")]
    result = await live_through(page, events, until_ms=63_500)
    assert result["deadAtMs"] is None
    assert 61_250 in result["pings"]


async def test_connection_that_is_gone_after_a_sleep_is_given_up_soon(
    page: Page,
) -> None:
    result = await live_through(page, [(1_250, "sleep", 60_000)], until_ms=90_000)
    assert 62_500 <= result["deadAtMs"] <= 63_250


async def test_connection_that_is_gone_when_the_clock_was_set_back_is_given_up_as_soon(
    page: Page,
) -> None:
    """A minute back: no deadline of before lies a minute ahead."""
    result = await live_through(page, [(1_250, "sleep", -60_000)], until_ms=2_000)
    assert result["deadAtMs"] is not None
    assert -57_500 <= result["deadAtMs"] <= -56_500


async def test_connection_that_answers_outlives_a_clock_that_is_set_back(
    page: Page,
) -> None:
    """It is asked at once, and every second from then on."""
    answers: list[Event] = [(ms, "heard") for ms in range(-58_500, 2_000, 500)]
    result = await live_through(page, [(1_250, "sleep", -60_000), *answers], until_ms=2_000)
    assert result["deadAtMs"] is None
    assert -58_750 in result["pings"]
    assert len(result["pings"]) >= 50


async def test_ticks_that_a_hidden_tab_gets_more_rarely_are_no_sleep(
    page: Page,
) -> None:
    """Timers of a tab in the background come once a second."""
    answers: list[Event] = [(ms + 400, "heard") for ms in range(1_000, 30_000, 1_000)]
    result = await live_through(page, answers, until_ms=30_000, tick_ms=1_000)
    assert result["deadAtMs"] is None
    silent = await live_through(page, [], tick_ms=1_000)
    assert silent["deadAtMs"] <= 5_000


# -- redialling ----------------------------------------------------------------------------

WAIT = """
async ({ calls, random }) => {
  const { Redial } = await import("/client/redial.js");
  const redial = new Redial(() => random);
  return calls.map((how) => how === "reset" ? redial.reset() : redial.nextWaitS(how));
}
"""


async def waits(page: Page, calls: list[Any], *, random: float) -> list[float]:
    result: list[float] = await page.evaluate(WAIT, {"calls": calls, "random": random})
    return result


async def test_waits_double_up_to_three_seconds_and_longer_when_nobody_waits_any_more(
    page: Page,
) -> None:
    """The longest of each, that is with the jitter at its most."""
    all_waits = await waits(page, [{}] * 40, random=1)
    assert all_waits[:5] == pytest.approx([0.4, 0.8, 1.6, 3, 3])
    assert max(all_waits[:20]) == 3
    assert set(all_waits[20:]) == {15}


async def test_jitter_takes_up_to_half_of_a_wait_away(
    page: Page,
) -> None:
    """A hundred pages whose server restarts do not come together."""
    assert (await waits(page, [{}] * 3, random=0)) == pytest.approx([0.2, 0.4, 0.8])


async def test_server_that_is_away_for_an_hour_is_asked_less_than_six_times_a_minute(
    page: Page,
) -> None:
    """And the requests of the first minute are at most thirty, jitter at its least."""
    all_waits = await waits(page, [{}] * 600, random=0)
    elapsed = [sum(all_waits[: n + 1]) for n in range(len(all_waits))]
    assert sum(at < 60 for at in elapsed) <= 30
    assert sum(at < 3600 for at in elapsed) < 500


async def test_server_that_says_when_is_not_asked_before(
    page: Page,
) -> None:
    calls = [{"atLeastS": 20}, {"atLeastS": 0.1}]
    assert await waits(page, calls, random=0) == pytest.approx([20, 0.4])


async def test_those_whom_the_server_told_the_same_do_not_come_together(
    page: Page,
) -> None:
    """Later by up to a fifth, and never sooner."""
    assert await waits(page, [{"atLeastS": 20}], random=0.5) == pytest.approx([22])
    assert await waits(page, [{"atLeastS": 20}], random=1) == pytest.approx([24])


async def test_waits_without_a_network_are_short_and_count_for_nothing(
    page: Page,
) -> None:
    """An hour in a tunnel must not make the page slow at its end."""
    calls: list[Any] = [{"online": False}] * 1000 + [{}]
    all_waits = await waits(page, calls, random=1)
    assert set(all_waits[:-1]) == {1.5}
    assert all_waits[-1] == pytest.approx(0.4)


async def test_call_that_came_up_makes_the_next_wait_short(
    page: Page,
) -> None:
    all_waits = await waits(page, [{}, {}, {}, {}, "reset", {}], random=1)
    assert all_waits[-1] == pytest.approx(0.4)
