"""Log lines: as text and as JSON, with the call they belong to."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import logging
from collections.abc import Iterator

import pytest

from rtc_server import logs

logger = logging.getLogger("rtc_server.tests")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is the process's own: put back what was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("rtc_server", "rtc_harness", *logs.QUIETER)
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def test_a_text_line_names_level_logger_and_message() -> None:
    stream = io.StringIO()
    logs.configure("text", "info", stream=stream)
    logger.info("call starts")
    logger.debug("not shown")
    assert stream.getvalue().endswith(" INFO rtc_server.tests call starts\n")
    assert stream.getvalue().count("\n") == 1


async def test_every_line_of_a_call_carries_its_id_also_from_the_tasks_it_starts() -> None:
    stream = io.StringIO()
    logs.configure("text", "info", stream=stream)

    async def inner() -> None:
        logger.info("inner")

    async def call(name: str) -> None:
        logs.call_id.set(name)
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())

    async with asyncio.TaskGroup() as group:
        group.create_task(call("c1"))
        group.create_task(call("c2"))
    logger.info("outer")
    logger.info("named", extra={"call_id": "c3"})
    lines = stream.getvalue().splitlines()
    assert sorted(line.split("INFO ")[1] for line in lines) == [
        "rtc_server.tests [c1] inner",
        "rtc_server.tests [c2] inner",
        "rtc_server.tests [c3] named",
        "rtc_server.tests outer",
    ]


def test_a_json_line_is_one_object_whatever_the_message_holds() -> None:
    stream = io.StringIO()
    logs.configure("json", "debug", stream=stream)
    logger.debug('two\nlines and "quotes" %s', 7, extra={"call_id": "c1"})
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == 'two\nlines and "quotes" 7'
    assert (first["level"], first["logger"]) == ("DEBUG", "rtc_server.tests")
    assert first["call_id"] == "c1"
    assert first["time"].endswith("Z")
    assert "ValueError: broken" in second["exception"]
    assert "call_id" not in second


def test_libraries_that_print_sdp_or_transcripts_are_held_back() -> None:
    stream = io.StringIO()
    logs.configure("text", "debug", stream=stream)
    for name in ("aioice.ice", "aiortc.rtcpeerconnection", "google_adk.flows", "google_genai.live"):
        logging.getLogger(name).info("SENTINEL")
        logging.getLogger(name).warning("trouble")
    assert "SENTINEL" not in stream.getvalue()
    assert stream.getvalue().count("trouble") == 4


def test_configured_again_a_line_is_written_once_and_other_handlers_stay() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = io.StringIO(), io.StringIO()
    logs.configure("text", "info", stream=first)
    logs.configure("json", "info", stream=second)
    logger.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    assert other in logging.getLogger().handlers


def test_what_adk_logs_and_raises_is_said_once_by_us() -> None:
    """Of a failed run; other words of the same loggers are heard."""
    stream = io.StringIO()
    logs.configure("text", "info", stream=stream)
    flow = logging.getLogger("google_adk.google.adk.live._live_llm_flow")
    runners = logging.getLogger("google_adk.google.adk.runners")
    flow.error("APIError in live flow: %s", "1011")
    flow.error("An unexpected error occurred in live flow: %s", "boom", exc_info=ValueError("x"))
    runners.error("Root node %s failed.", "talker", exc_info=ValueError("x"))
    assert stream.getvalue() == ""
    runners.error("Error closing toolset %s: %s", "tools", "x")
    assert stream.getvalue().endswith("Error closing toolset tools: x\n")


def test_the_words_of_adk_that_are_left_out_are_still_its_words() -> None:
    """And are followed by ``raise``."""
    from google.adk import runners
    from google.adk.live import _live_llm_flow

    for module, texts in zip((_live_llm_flow, runners), logs._RAISED_AS_WELL.values(), strict=True):
        assert f"google_adk.{module.__name__}" in logs._RAISED_AS_WELL
        source = inspect.getsource(module)
        for text in texts:
            _, *places = source.split(f"'{text}")
            assert places
            assert all("raise\n" in place[:120] for place in places), text
