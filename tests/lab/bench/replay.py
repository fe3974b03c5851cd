"""Capture files through the sensor, beside tshark alone with the same command line, and beside pyshark."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from portsentry_py.capture.commands import environment, tshark_command
from portsentry_py.capture.toolchain import find_tools
from tests.lab.bench.costliest import TARGET6
from tests.lab.bench.live import KINDS, WORST, note
from tests.lab.support.cost import metered
from tests.lab.support.tables import count, mebibytes, shown, table
from tests.support import frames
from tests.support.frames import Link
from tests.support.running import run
from tests.support.workloads import REPLAYED, TARGET, Frames, mixed

CAPTURES: Mapping[str, Frames] = MappingProxyType({**REPLAYED, "the four above in turn": mixed, WORST: KINDS[WORST]})
_PER_SECOND = 10_000
# After this long no further round is needed: chance is small against it.
_ENOUGH_SECONDS = 90.0
_PYSHARK = """
import sys, time, pyshark
begun = time.monotonic()
with pyshark.FileCapture(sys.argv[1]) as capture:
    print(sum(1 for packet in capture), time.monotonic() - begun)
"""


@dataclass(frozen=True)
class Run:
    """One process and its children, from start to end."""

    seconds: float
    cpu_seconds: float
    tshark_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Row:
    """One capture: what tshark alone takes, and what the sensor with its tshark takes."""

    name: str
    packets: int
    bare: Sequence[Run]
    sensor: Sequence[Run]

    @property
    def ratio(self) -> float:
        """How many times longer the sensor takes."""
        return middle(self.sensor).seconds / middle(self.bare).seconds

    @property
    def rate(self) -> float:
        return self.packets / middle(self.sensor).seconds

    def cells(self) -> list[str]:
        bare, ours = middle(self.bare), middle(self.sensor)
        each = 1e6 / self.packets
        return [
            self.name,
            f"{bare.seconds:.2f}",
            f"{ours.seconds:.2f}",
            f"{self.ratio:.2f}",
            count(self.rate),
            f"{bare.cpu_seconds * each:.2f}",
            f"{ours.tshark_seconds * each:.2f}",
            f"{(ours.cpu_seconds - ours.tshark_seconds) * each:.2f}",
            mebibytes(bare.peak_bytes),
            mebibytes(ours.peak_bytes),
        ]


@dataclass(frozen=True)
class Pyshark:
    packets: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.packets / self.seconds


def middle(runs: Sequence[Run]) -> Run:
    """The run of median length."""
    length = statistics.median_low(run.seconds for run in runs)
    return next(run for run in runs if run.seconds == length)


def timed(command: Sequence[str], environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end, its output thrown away."""
    begun = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    with metered([process.pid]) as meter:
        said = process.stderr.read() if process.stderr else b""
        # Not `wait`: the kernel tells once what a process has cost, when it is collected.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stderr:
        process.stderr.close()
    if process.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {process.returncode}: {said.decode(errors='replace')}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, meter.cpu().get("tshark", 0.0), meter.peak_bytes)


def bare(capture: Path) -> Run:
    """Let tshark alone print what it prints for the sensor."""
    return timed(tshark_command(find_tools().tshark, str(capture)), environment())


def sensor(capture: Path) -> Run:
    settings = capture.with_name("defaults.yaml")
    settings.write_text("{}\n", encoding="utf-8")
    words = ("replay", str(capture), "--home", TARGET, "--home", TARGET6, "-c", str(settings))
    return timed([sys.executable, "-m", "portsentry_py", *words])


def compare(name: str, kind: Frames, packets: int, rounds: int) -> Row:
    """Let both read one capture in turn, for at most this many rounds."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        capture = frames.write(Path(folder) / "capture.pcap", kind(packets, Link()), _PER_SECOND)
        begun = time.monotonic()
        pairs = [(bare(capture), sensor(capture))]
        while len(pairs) < rounds and time.monotonic() - begun < _ENOUGH_SECONDS:
            pairs.append((bare(capture), sensor(capture)))
    return Row(name, packets, [first for first, _ in pairs], [second for _, second in pairs])


def pyshark(packets: int, captures: Mapping[str, Frames] = CAPTURES) -> dict[str, Pyshark]:
    """Let pyshark iterate over the beginning of each capture."""
    found = {}
    for name, kind in captures.items():
        with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
            capture = frames.write(Path(folder) / "capture.pcap", kind(packets, Link()), _PER_SECOND)
            read, seconds = run(sys.executable, "-c", _PYSHARK, capture, seconds=600).split()
        found[name] = Pyshark(int(read), float(seconds))
    return found


def measure(packets: int, rounds: int, captures: Mapping[str, Frames] = CAPTURES) -> list[Row]:
    return [shown(compare(name, kind, packets, rounds)) for name, kind in captures.items()]


def section(rows: Sequence[Row], others: Mapping[str, Pyshark]) -> str:
    head = (
        *("capture", "tshark alone, s", "sensor, s", "ratio", "sensor, packets/s"),
        *("µs/packet: tshark alone", "the sensor's tshark", "the sensor itself"),
        *("memory, MiB: tshark alone", "sensor with tshark"),
    )
    rounds = max(len(row.bare) for row in rows)
    costliest = f"{note()}\n" if WORST in others else ""
    beside = [
        [row.name, count(others[row.name].rate), count(row.rate), f"{row.rate / others[row.name].rate:,.0f}"]
        for row in rows
    ]
    some = count(others[rows[0].name].packets)
    return (
        f"{count(rows[0].packets)} packets each, up to {rounds} times in turn, the median of each.\n\n"
        f"{table(head, (row.cells() for row in rows))}\n{costliest}"
        f"pyshark reads the first {some} packets of the same captures, and does nothing else with them:\n\n"
        f"{table(('capture', 'pyshark, packets/s', 'sensor, packets/s', 'ratio'), beside)}"
    )
