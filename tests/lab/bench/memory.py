"""Memory while ever more sources come: the running sensor, fed by a stand-in for dumpcap."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.lab.bench import stream
from tests.lab.bench.stream import through
from tests.lab.support.cost import metered
from tests.lab.support.tables import count, counters, mebibytes, table
from tests.support.paths import ROOT
from tests.support.waiting import wait_for
from tests.support.workloads import TARGET

TENTHS = 10
_LOOK_SECONDS = 0.1
_STALL_SECONDS = 120.0


@dataclass(frozen=True)
class Growth:
    """The peak of memory in each tenth of the packets, and what the sensor says at the end."""

    packets: int
    seconds: float
    peaks: Sequence[dict[str, int]]
    status: dict[str, Any]


def measure(packets: int) -> Growth:
    """Feed the sensor with these packets, each from another source."""
    with (
        tempfile.TemporaryDirectory(prefix="portsentry-py-") as name,
        sensor(Path(name), [stream.__name__, packets]) as process,
    ):
        folder = Path(name)
        progress = folder / "progress"
        evidence = (folder / "stderr").read_text
        wait_for(lambda: progress.exists() or process.poll() is not None, "the sensor", evidence=evidence)
        if process.poll() is not None:
            raise AssertionError(f"the sensor ended at once\n{evidence()}")
        begun = busy = time.monotonic()
        peaks: list[dict[str, int]] = []
        with metered([process.pid], is_stand_in) as meter:
            while len(peaks) < TENTHS:
                _wait_for(progress, packets * (len(peaks) + 1) // TENTHS)
                if len(peaks) == TENTHS - 1:
                    busy = meter.wait_until_quiet(_STALL_SECONDS, 1.0)
                peaks.append(meter.peak_of)
                meter.weigh_anew()
                print(len(peaks), mebibytes(sum(peaks[-1].values())), "MiB", flush=True)
        log = folder / "log"
        wait_for(lambda: _arrived(process, log) >= packets, "the last packets", evidence=evidence)
        process.terminate()
        process.wait(60)
        last = _last_line(log)
    if last["state"] != "stopped":
        raise AssertionError(f"the sensor did not say that it stopped: {last}")
    return Growth(packets, busy - begun, peaks, last)


@contextlib.contextmanager
def sensor(folder: Path, stand_in: Sequence[object]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a sensor whose dumpcap is a stand-in: the words for `python -m`, and a file for its progress."""
    tools = folder / "tools"
    tools.mkdir()
    dumpcap = tools / "dumpcap"
    words = shlex.join([sys.executable, "-m", *map(str, stand_in), str(folder / "progress")])
    dumpcap.write_text(f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {words}\n", encoding="utf-8")
    dumpcap.chmod(0o755)
    settings = folder / "portsentry.yaml"
    # A second stand-in would make the same packets again.
    settings.write_text(f"home: [{TARGET}]\ncapture: {{workers: 1}}\nstate: {folder / 'state'}\n", encoding="ascii")
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


def is_stand_in(process: psutil.Process) -> bool:
    """Its memory is its own affair."""
    return any(word.endswith(".stream") for word in process.cmdline())


def _arrived(process: subprocess.Popen[bytes], log: Path) -> int:
    """Ask for a status line; returns the number of packets in the latest one."""
    process.send_signal(signal.SIGHUP)
    return int(_last_line(log).get("packets", 0))


def _last_line(log: Path) -> dict[str, Any]:
    whole, _, _ = log.read_text(encoding="ascii").rpartition("\n")
    return dict(json.loads(whole.splitlines()[-1]))


def _wait_for(progress: Path, packets: int) -> None:
    before, end = 0, time.monotonic() + _STALL_SECONDS
    while (now := through(progress)) < packets:
        if now > before:
            before, end = now, time.monotonic() + _STALL_SECONDS
        if time.monotonic() > end:
            raise AssertionError(f"{now} packets went through, and no more in {_STALL_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)


def section(growth: Growth) -> str:
    """The table: a column for each tenth."""
    tenth = growth.packets // TENTHS
    head = ["packets so far", *(count(tenth * (number + 1)) for number in range(TENTHS))]
    rows = [["all, MiB", *(mebibytes(sum(peak.values())) for peak in growth.peaks)]]
    rows += [
        [f"{name}, MiB", *(mebibytes(peak.get(name, 0)) for peak in growth.peaks)] for name in ("tshark", "python")
    ]
    grown = {
        name: (growth.peaks[-1].get(name, 0) - growth.peaks[1].get(name, 0)) / (growth.packets - 2 * tenth)
        for name in ("tshark", "python")
    }
    each = " and ".join(f"{name} by {size:,.0f} bytes" for name, size in grown.items())
    return (
        f"{table(head, rows)}\n"
        f"From the second tenth on, each new source lets {each} grow. "
        f"{count(growth.packets)} packets took {growth.seconds:.0f} s. "
        f"The last status line: {counters(growth.status)}.\n"
    )
