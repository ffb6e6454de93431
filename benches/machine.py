"""What a result was taken on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from . import libopus

__all__ = ["describe_machine"]


def describe_machine() -> dict[str, Any]:
    """Processor, kernel, Python, libopus, and how busy the machine is."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libopus": libopus.version(),
        "load_average": [round(one, 2) for one in os.getloadavg()],
    }
