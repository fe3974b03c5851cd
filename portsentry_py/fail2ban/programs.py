"""Runs the programs of fail2ban, the firewall and the system to their end."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


def ran(words: Sequence[str | Path], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program without input, and read all that it prints, whatever bytes that is.

    Args:
        words: its path and arguments.
        seconds: how long it may take.

    Raises:
        OSError, ValueError: it cannot be started.
        subprocess.TimeoutExpired: it did not end in time, and was killed.
    """
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )
