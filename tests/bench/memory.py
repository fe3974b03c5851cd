"""Memory while ever more sources come: the running sensor, fed by a stand-in for dumpcap."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench import stream
from tests.bench.captures import TARGET
from tests.bench.cost import metered
from tests.bench.stream import TENTHS
from tests.bench.tables import count, counters, mebibytes, table
from tests.wire.waiting import wait_for

_ROOT = Path(__file__).parents[2]
_LOOK_SECONDS = 0.1
_STALL_SECONDS = 120.0


@dataclass(frozen=True)
class Growth:
    """The peak of memory in each tenth of the packets, and what the sensor says at the end."""

    packets: int
    seconds: float
    peaks: Sequence[int]
    status: dict[str, Any]


def measure(packets: int) -> Growth:
    """Feed the sensor with so many packets, each from another source."""
    with (
        tempfile.TemporaryDirectory(prefix="portsentry-py-") as name,
        _sensor(Path(name), packets) as process,
    ):
        folder = Path(name)
        progress = folder / "progress"
        evidence = (folder / "stderr").read_text
        wait_for(lambda: progress.exists() or process.poll() is not None, "the sensor", evidence=evidence)
        if process.poll() is not None:
            raise AssertionError(f"the sensor ended at once\n{evidence()}")
        begun = time.monotonic()
        peaks: list[int] = []
        with metered([process.pid], _stand_in(process)) as meter:
            while len(peaks) < TENTHS:
                _wait_for_tenth(progress, len(peaks) + 1)
                peaks.append(meter.peak_bytes)
                meter.weigh_anew()
                print(len(peaks), mebibytes(peaks[-1]), "MiB", flush=True)
            busy = meter.wait_until_quiet(_STALL_SECONDS, 1.0)
            peaks[-1] = max(peaks[-1], meter.peak_bytes)
        process.terminate()
        process.wait(60)
        last = json.loads((folder / "log").read_text(encoding="ascii").splitlines()[-1])
    if last["state"] != "stopped":
        raise AssertionError(f"the sensor did not say that it stopped: {last}")
    return Growth(packets, busy - begun, peaks, last)


@contextlib.contextmanager
def _sensor(folder: Path, packets: int) -> Iterator[subprocess.Popen[bytes]]:
    tools = folder / "tools"
    tools.mkdir()
    dumpcap = tools / "dumpcap"
    words = shlex.join([sys.executable, "-m", stream.__name__, str(packets), str(folder / "progress")])
    dumpcap.write_text(f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(_ROOT))} exec {words}\n", encoding="utf-8")
    dumpcap.chmod(0o755)
    settings = folder / "portsentry.yaml"
    settings.write_text(f"home: [{TARGET}]\n", encoding="ascii")
    command = [sys.executable, "-m", "portsentry_py", "run", "-i", "lo", "-c", str(settings)]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--log", str(folder / "log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _stand_in(process: subprocess.Popen[bytes]) -> list[int]:
    """Its memory is its own affair."""
    command = stream.__name__
    return [child.pid for child in psutil.Process(process.pid).children() if command in child.cmdline()]


def _wait_for_tenth(progress: Path, tenth: int) -> None:
    end = time.monotonic() + _STALL_SECONDS
    while len(progress.read_text(encoding="ascii").split()) < tenth:
        if time.monotonic() > end:
            raise AssertionError(f"no tenth of the packets went through in {_STALL_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)


def section(growth: Growth) -> str:
    """Give the table: a column for each tenth."""
    head = ["packets so far", *(count(growth.packets * (tenth + 1) / TENTHS) for tenth in range(TENTHS))]
    row = ["peak of memory, MiB", *map(mebibytes, growth.peaks)]
    second, last = growth.peaks[1], growth.peaks[-1]
    return (
        f"{table(head, [row])}\n"
        f"From the second tenth to the last it grew by {100 * (last - second) / second:.1f} %. "
        f"{count(growth.packets)} packets took {growth.seconds:.0f} s. "
        f"The last status line: {counters(growth.status)}.\n"
    )
