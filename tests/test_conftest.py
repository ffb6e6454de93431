"""The checks that every test is held to find what they are there for."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONFIGURATION = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
markers =
    deadline(seconds): x
    leaves_resources(reason): x
"""

TIDY = """
import asyncio, os, threading, pytest

@pytest.fixture
async def port():
    async def serve(reader, writer):
        writer.close()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]

async def test_closes_its_connection_to_a_fixture(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()

async def test_uses_the_executor_of_its_loop():
    await asyncio.to_thread(lambda: None)

def test_starts_a_thread_that_ends():
    threading.Thread(target=lambda: None).start()

@pytest.mark.leaves_resources("a pipe of the whole process")
async def test_is_let_off():
    os.pipe()
"""

UNTIDY = """
import asyncio, os, socket, threading, pytest
kept = []

async def test_task():
    kept.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))

async def test_socket():
    kept.append(socket.create_server(("127.0.0.1", 0)))

def test_pipe():
    kept.append(os.pipe())

def test_thread():
    threading.Thread(target=threading.Event().wait, args=(2,), name="worker").start()

@pytest.mark.deadline(0.05)
async def test_hangs():
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned up")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> pytest.Pytester:
    """An empty suite with the conftest of this one, and a short grace."""
    conftest = (request.config.rootpath / "tests" / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("GRACE_S = 3.0", "GRACE_S = 0.2"))
    pytester.makeini(CONFIGURATION)
    return pytester


def test_tests_that_leave_nothing_pass(suite: pytest.Pytester) -> None:
    """Connections, tasks and threads that are closed in time are nobody's business."""
    suite.makepyfile(TIDY)
    suite.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_what_a_test_leaves_behind_is_named_and_fails_it(suite: pytest.Pytester) -> None:
    """A task, a socket, a pipe, a thread; a hanging test is cancelled at its deadline."""
    suite.makepyfile(UNTIDY)
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "-rA")
    result.assert_outcomes(passed=4, errors=4, failed=1)
    output = result.stdout.str()
    for complaint in ("tasks left behind", "left behind: socket:", "left behind: pipe:"):
        assert complaint in output
    assert "left behind: thread worker" in output
    assert "longer than its deadline of 0.05 s" in output
    assert "cleaned up" in output
