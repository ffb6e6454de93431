"""``python -m rtc_server`` is ``rtc-server``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="rtc-server")
