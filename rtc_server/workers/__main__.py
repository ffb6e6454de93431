"""``python -m rtc_server.workers FD``: a worker, started by the front and by nobody else."""

from __future__ import annotations

import sys

from .worker import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
