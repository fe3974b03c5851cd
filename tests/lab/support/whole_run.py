"""What a program costs from its start to its end."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """The kernel's account of a process and of the children that it waited for.

    Attributes:
        seconds: from its start to its end.
        cpu_seconds: of all cores, user and system.
        peak_bytes: most resident memory of its largest process.
        output: standard output.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str

    def cells(self) -> list[str]:
        """Seconds, CPU seconds and peak memory in MB, as a table shows them."""
        return [f"{self.seconds:.1f}", f"{self.cpu_seconds:.1f}", f"{self.peak_bytes / 1e6:,.0f}"]


def cost_of(*words: str | Path, prefix: Sequence[str] = ()) -> Cost:
    """Run a program to its end.

    Args:
        words: the program and its arguments.
        prefix: a command that becomes the program, such as nsenter(1).

    Raises:
        AssertionError: the program failed.
    """
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*prefix, *map(str, words)], stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        if process.returncode:
            raise AssertionError(f"{' '.join(map(str, words))} ended with {process.returncode}")
        output.seek(0)
        text = output.read().decode()
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text)
