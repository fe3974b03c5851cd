"""On what was measured."""

import os
import platform
import re
from pathlib import Path

import psutil

from portsentry_py.capture.toolchain import find_tools

_MODEL = re.compile(r"^model name\s*: (.+)$", re.MULTILINE)
_GIBI = 1 << 30


def described() -> str:
    """One sentence about the machine and the programs that matter."""
    model = _MODEL.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = psutil.virtual_memory().total / _GIBI
    return (
        f"Measured on {os.cpu_count()} cores ({model[1] if model else platform.machine()}) with "
        f"{memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, tshark {find_tools().version}; sender, sensor and everything "
        "else share them.\n"
    )
