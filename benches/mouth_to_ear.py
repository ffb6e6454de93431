"""From mouth to ear in a real browser: ours, and aiortc in the style of its server example.

A Chromium plays a voice with chirps into the track that it sends, and records what the track
that it receives brings; both are nodes of one ``AudioContext``, so that both are on its clock.
What is measured is the way of a chirp: the page's own source (not a sound card), Opus as the
browser sends it, loop-back, the server and its agent, back again, the browser's jitter buffer
and decoder, a recorder (not a loudspeaker).  The third column has no server: two connections
of the same page, which is what the browser takes for itself.  Run::

    python -m benches.mouth_to_ear
    python -m benches.mouth_to_ear --ways ours,ours-unset --rounds 5 --at-most 600

Each measurement has a server and a browser of its own, and they take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Route

from tests.browser.chromium import CHROMIUM, launch_chromium

from .analysis import percentile
from .calls import versions
from .machine import describe_machine
from .mouth_to_ear_sound import (
    PHASES,
    Phase,
    browser_figures,
    chirp_delays_ms,
    make_sound,
    phases_of,
)
from .processes import LoadFailed, cores, serving
from .under_test.catalogue import SERVERS, ServerUnderTest

__all__ = ["WAYS", "Way", "measure", "ratio", "summary", "table"]

_PAGE = Path(__file__).parent / "mouth_to_ear_page"
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_MARGIN_S = 40.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way from the mouth to the ear."""

    title: str
    server: ServerUnderTest | None
    """None: the page is connected to itself."""
    client: str
    """Which of ``connections.js``."""
    variation: Mapping[str, Any] = field(default_factory=dict)
    """What the page changes in every connection, see ``connections.js``."""


# In our own environment: the same aiortc, and nothing to install for it.
_AIORTC = replace(
    SERVERS["aiortc"],
    command=lambda port: [sys.executable, "-m", "benches.under_test.plain_aiortc", str(port)],
    peer=False,
)

_OURS = Way("ours", SERVERS["ours-adk"], "library")
_PLAIN = Way("plain aiortc", _AIORTC, "plain")

_BROWSER = Way("no server", None, "itself")


def _varied(way: Way, what: str, **variation: Any) -> Way:
    return replace(way, title=f"{way.title}, {what}", variation=variation)


WAYS: Mapping[str, Way] = {
    "ours": _OURS,
    "aiortc": _PLAIN,
    "browser": _BROWSER,
    # What single things are worth.
    "ours-bypassed": Way("ours, ADK bypassed", SERVERS["ours"], "library"),
    "ours-unset": _varied(_OURS, "no target", jitterBufferTargetMs=None),
    "ours-ptime-10": _varied(_OURS, "10 ms packets", ptimeMs=10),
    "aiortc-0": _varied(_PLAIN, "target 0", jitterBufferTargetMs=0),
    "browser-ptime-10": _varied(_BROWSER, "10 ms packets", ptimeMs=10),
    "jitter": _varied(_BROWSER, "jitter", jitterMs=30),
    "jitter-0": _varied(_BROWSER, "jitter, target 0", jitterMs=30, jitterBufferTargetMs=0),
    "jitter-40": _varied(_BROWSER, "jitter, target 40", jitterMs=30, jitterBufferTargetMs=40),
}

Run = dict[str, dict[str, Any]]
"""By phase: ``delays_ms``, ``chirps`` said, and what the browser says of its jitter buffer.

Empty where the call did not come about: the rounds keep their numbers.
"""


async def measure(way: Way, phases: Sequence[Phase]) -> Run:
    """One call, in a server and a browser of its own.

    Raises:
        LoadFailed: the server did not start, or the call did not come about.
    """
    with contextlib.ExitStack() as stack:
        origin = "http://localhost"
        if way.server is not None:
            running = await asyncio.to_thread(stack.enter_context, serving(way.server))
            origin = f"http://127.0.0.1:{running.port}"
        stack.enter_context(_off_the_servers_core())
        async with launch_chromium(has_microphone=False) as browser:
            page = await browser.new_page()
            try:
                async with asyncio.timeout(phases[-1].end_s + _MARGIN_S):
                    heard = await _call(page, origin, way, phases)
            except Exception as problem:  # whatever the page threw is why there is no figure
                raise LoadFailed(f"{way.title}: {problem}") from problem
    return _run_of(heard, phases)


@contextlib.contextmanager
def _off_the_servers_core() -> Iterator[None]:
    """What is started within it leaves the server's core alone, where there is another."""
    available = os.sched_getaffinity(0)
    os.sched_setaffinity(0, available - {cores()[0]} or available)
    try:
        yield
    finally:
        os.sched_setaffinity(0, available)


async def _call(page: Page, origin: str, way: Way, phases: Sequence[Phase]) -> dict[str, Any]:
    sound = make_sound(phases)

    async def serve(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name == "sound.s16":
            await route.fulfill(body=sound, content_type="application/octet-stream")
        else:
            file = _PAGE / name
            await route.fulfill(body=file.read_bytes(), content_type=_TYPES[file.suffix])

    # The page's files are put beside the server's own: one origin, and no server is changed.
    await page.route("**/mouth_to_ear/*", serve)
    await page.goto(f"{origin}/mouth_to_ear/index.html")
    heard: dict[str, Any] = await page.evaluate(
        "async (options) => (await import('./measure.js')).measure(options)",
        {
            "way": way.client,
            "variation": dict(way.variation),
            "marksS": [phases[0].begin_s, *(one.end_s for one in phases)],
        },
    )
    return heard


def _run_of(heard: Mapping[str, Any], phases: Sequence[Phase]) -> Run:
    recording = base64.b64decode(heard["recording"])
    marks = heard["statistics"]
    return {
        phase.name: {
            "delays_ms": [
                round(one, 2) for one in chirp_delays_ms(recording, heard["offset"], phase)
            ],
            "chirps": phase.end_s - phase.begin_s,
            **browser_figures(before, after),
        }
        for phase, before, after in zip(phases, marks, marks[1:], strict=False)
    }


# -- arithmetic ----------------------------------------------------------------------------


def summary(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """By phase: p50 and p90 of all chirps, the least and the most of the rounds' medians."""
    made = {}
    for phase in PHASES:
        parts = [run[phase] for run in runs if run.get(phase, {}).get("delays_ms")]
        if not parts:
            continue
        delays = [one for part in parts for one in part["delays_ms"]]
        medians = [statistics.median(part["delays_ms"]) for part in parts]
        made[phase] = {
            "p50_ms": statistics.median(delays),
            "p90_ms": percentile(delays, 0.9),
            "least_median_ms": min(medians),
            "most_median_ms": max(medians),
            "heard": len(delays),
            "said": sum(run[phase]["chirps"] for run in runs if phase in run),
            "jitter_buffer_ms": statistics.median(part["jitter_buffer_ms"] for part in parts),
        }
    return made


def ratio(ours: Sequence[Run], theirs: Sequence[Run], phase: str) -> dict[str, float] | None:
    """Of the medians of the two, round by round; None where no round has both."""
    ratios = [
        statistics.median(one[phase]["delays_ms"]) / statistics.median(other[phase]["delays_ms"])
        for one, other in zip(ours, theirs, strict=False)
        if one.get(phase, {}).get("delays_ms") and other.get(phase, {}).get("delays_ms")
    ]
    if not ratios:
        return None
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def table(summaries: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: a row a figure, a column a way, by its title; rounds in brackets."""
    lines = [
        "| mouth to ear in Chromium | " + " | ".join(summaries) + " |",
        "|---|" + "---|" * len(summaries),
    ]
    titles = {"speaking": "speaking without a pause", "spurts": "in spurts"}
    for phase in PHASES:
        parts = [one.get(phase) for one in summaries.values()]
        for title, cell in (
            (f"{titles[phase]}, p50, ms", _median_cell),
            ("  p90, ms", lambda part: f"{part['p90_ms']:.1f}"),
            (
                "  in the browser's jitter buffer, ms",
                lambda part: f"{part['jitter_buffer_ms']:.1f}",
            ),
            ("  chirps heard, of those said", lambda part: f"{part['heard']} of {part['said']}"),
        ):
            cells = ["" if part is None else cell(part) for part in parts]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _median_cell(part: Mapping[str, float]) -> str:
    low, high = part["least_median_ms"], part["most_median_ms"]
    return f"{part['p50_ms']:.1f} ({low:.1f} to {high:.1f})"


# -- command -------------------------------------------------------------------------------


async def _take_turns(
    names: Sequence[str], rounds: int, phases: Sequence[Phase], at_most_s: float
) -> tuple[dict[str, list[Run]], list[str]]:
    """Whole rounds, as many as are asked for and there is time for; one in any case."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    failures = []
    began = time.monotonic()
    for number in range(rounds):
        spent_s = time.monotonic() - began
        if number and spent_s * (number + 1) / number > at_most_s:
            print(f"no time for round {number + 1}", file=sys.stderr, flush=True)
            break
        for name in names:
            print(f"round {number + 1}: {WAYS[name].title}", file=sys.stderr, flush=True)
            try:
                runs[name].append(await measure(WAYS[name], phases))
            except LoadFailed as failure:
                print(failure, file=sys.stderr, flush=True)
                failures.append(str(failure))
                runs[name].append({})
    return runs, failures


def _result(
    options: argparse.Namespace, runs: Mapping[str, list[Run]], failures: Sequence[str]
) -> dict[str, Any]:
    ratios = {}
    if {"ours", "aiortc"} <= runs.keys():
        ratios = {phase: ratio(runs["ours"], runs["aiortc"], phase) for phase in PHASES}
    return {
        "taken_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe_machine(),
        "settings": {
            "rounds": max(map(len, runs.values())),
            "speaking_s": options.speaking,
            "spurts_s": options.spurts,
        },
        "ways": {
            name: {
                "title": WAYS[name].title,
                "work": server.work if (server := WAYS[name].server) else "",
                "versions": versions(server) if server else {},
                "summary": summary(some),
                "runs": some,
            }
            for name, some in runs.items()
            if any(some)
        },
        "ours_to_aiortc": ratios,
        "failures": list(failures),
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The table of a result, with what it was taken on."""
    machine = result["machine"]
    lines = [
        f"Taken {result['taken_at']} on {machine['cores']} cores of {machine['cpu']}, "
        f"Linux {machine['kernel']}; {result['settings']['rounds']} rounds.",
        "",
        table({one["title"]: one["summary"] for one in result["ways"].values()}),
        "",
    ]
    for phase, one in result["ours_to_aiortc"].items():
        if one is not None:
            lines.append(
                f"Ours is {one['median']:.2f} ({one['min']:.2f} to {one['max']:.2f}) "
                f"of plain aiortc, {phase}."
            )
    lines += [f"Did not run: {one}" for one in result["failures"]]
    return "\n".join(lines)


def _parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ways", default="ours,aiortc,browser", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speaking", type=int, default=4, help="seconds of a round")
    parser.add_argument("--spurts", type=int, default=4, help="seconds of a round")
    parser.add_argument(
        "--at-most", type=float, default=175.0, help="seconds; no round begins that would end later"
    )
    parser.add_argument("--output", type=Path, help="a JSON file for all that was measured")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print the table, keep the result if asked to."""
    options = _parse()
    if not CHROMIUM.exists():
        sys.exit(f"{CHROMIUM} is not there: apt-get install chromium")
    runs, failures = asyncio.run(
        _take_turns(
            options.ways.split(","),
            options.rounds,
            phases_of(options.speaking, options.spurts),
            options.at_most,
        )
    )
    result = _result(options, runs, failures)
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
