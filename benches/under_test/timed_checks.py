"""Our server with ADK bypassed, looking every 20 ms whether ICE is through, as aioice does.

Run: ``python -m benches.under_test.timed_checks PORT``.
"""

from __future__ import annotations

import sys
from unittest import mock

from rtc_server import event_loop, logs
from rtc_server.peer import aiortc_internals

from .bypassed import serve_bypassed

if __name__ == "__main__":
    logs.configure("text", "warning")
    with mock.patch.object(aiortc_internals, "end_checks_at_once", return_value=None):
        event_loop.run(serve_bypassed(int(sys.argv[1])))
