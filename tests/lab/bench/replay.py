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
from tests.lab.bench.both import checkout
from tests.lab.bench.costliest import PER_SECOND, TARGET6
from tests.lab.bench.live import KINDS, WORST, note
from tests.lab.support.cost import metered
from tests.lab.support.tables import count, mebibytes, shown, table
from tests.support import frames
from tests.support.frames import Link
from tests.support.running import run
from tests.support.workloads import REPLAYED, TARGET, Frames, mixed

CAPTURES: Mapping[str, Frames] = MappingProxyType({**REPLAYED, "the four above in turn": mixed, WORST: KINDS[WORST]})
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


@dataclass(frozen=True)
class Weight:
    """What a meter has seen of one run: memory, and the part of the CPU time that is tshark's."""

    peak_bytes: int
    tshark_share: float


@dataclass(frozen=True)
class Row:
    """One capture: what tshark alone takes, and what the sensor with its tshark takes.

    `interpreted` is the sensor with an interpreted core, if `sensor` has a compiled one; else it is empty.
    """

    name: str
    packets: int
    bare: Sequence[Run]
    sensor: Sequence[Run]
    interpreted: Sequence[Run]
    bare_weight: Weight
    sensor_weight: Weight

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
        tshark_seconds = ours.cpu_seconds * self.sensor_weight.tshark_share
        return [
            self.name,
            f"{bare.seconds:.2f}",
            f"{ours.seconds:.2f}",
            f"{self.ratio:.2f}",
            count(self.rate),
            f"{bare.cpu_seconds * each:.2f}",
            f"{tshark_seconds * each:.2f}",
            f"{(ours.cpu_seconds - tshark_seconds) * each:.2f}",
            mebibytes(self.bare_weight.peak_bytes),
            mebibytes(self.sensor_weight.peak_bytes),
            *self._interpreted(),
        ]

    def _interpreted(self) -> list[str]:
        if not self.interpreted:
            return ["", ""]
        seconds = middle(self.interpreted).seconds
        return [f"{seconds:.2f}", f"{seconds / middle(self.bare).seconds:.2f}"]


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


@dataclass(frozen=True)
class Command:
    """A command line, its environment and its folder; its output is thrown away."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None = None

    def timed(self) -> Run:
        """Run it to its end. No meter looks on: on two cores it takes time from two busy processes, not from one."""
        begun = time.monotonic()
        process = self._started()
        return self._ended(process, begun)

    def weighed(self) -> Weight:
        """Run it to its end beside a meter."""
        begun = time.monotonic()
        process = self._started()
        with metered([process.pid]) as meter:
            run = self._ended(process, begun)
        return Weight(meter.peak_bytes, meter.cpu().get("tshark", 0.0) / run.cpu_seconds)

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(self.environment),
            cwd=self.folder,
        )

    def _ended(self, process: "subprocess.Popen[bytes]", begun: float) -> Run:
        assert process.stderr is not None
        with process.stderr as errors:
            said = errors.read()
        # Not `wait`: the kernel tells once what a process has cost, when it is collected.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise AssertionError(f"{self.words[0]} ended with {process.returncode}: {said.decode(errors='replace')}")
        return Run(seconds, usage.ru_utime + usage.ru_stime)


def bare(capture: Path) -> Command:
    """What tshark alone prints for the sensor."""
    return Command(tshark_command(find_tools().tshark, str(capture)), environment())


def sensor(capture: Path, folder: Path | None = None) -> Command:
    """The sensor of a folder, this one by default; its files are compiled to bytecode, as those of an installed one."""
    settings = capture.with_name("defaults.yaml")
    settings.write_text("{}\n", encoding="utf-8")
    words = ("replay", str(capture), "--home", TARGET, "--home", TARGET6, "-c", str(settings))
    bytecode = {"PYTHONPYCACHEPREFIX": str(capture.with_name("bytecode")), "PYTHONDONTWRITEBYTECODE": ""}
    return Command([sys.executable, "-m", "portsentry_py", *words], {**os.environ, **bytecode}, folder)


def compare(name: str, kind: Frames, packets: int, rounds: int) -> Row:
    """Let all read one capture: tshark and the sensor beside a meter, then each in turn, for at most so many rounds."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        capture = frames.write(Path(folder) / "capture.pcap", kind(packets, Link()), PER_SECOND)
        commands, interpreted = [bare(capture), sensor(capture)], checkout()
        weights = [command.weighed() for command in commands]
        if interpreted is not None:
            commands.append(sensor(capture, interpreted))
        begun = time.monotonic()
        turns = [[command.timed() for command in commands]]
        while len(turns) < rounds and time.monotonic() - begun < _ENOUGH_SECONDS:
            turns.append([command.timed() for command in commands])
    alone, ours, *others = zip(*turns, strict=True)
    return Row(name, packets, alone, ours, others[0] if others else (), *weights)


def pyshark(packets: int, captures: Mapping[str, Frames] = CAPTURES) -> dict[str, Pyshark]:
    """Let pyshark iterate over the beginning of each capture."""
    found = {}
    for name, kind in captures.items():
        with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
            capture = frames.write(Path(folder) / "capture.pcap", kind(packets, Link()), PER_SECOND)
            read, seconds = run(sys.executable, "-c", _PYSHARK, capture, seconds=600).split()
        found[name] = Pyshark(int(read), float(seconds))
    return found


def measure(packets: int, rounds: int, captures: Mapping[str, Frames] = CAPTURES) -> list[Row]:
    return [shown(compare(name, kind, packets, rounds)) for name, kind in captures.items()]


def section(rows: Sequence[Row], others: Mapping[str, Pyshark]) -> str:
    head = (
        *("capture", "tshark alone, s", "sensor, s", "ratio", "sensor, packets/s"),
        *("µs/packet: tshark alone", "the sensor's tshark", "the sensor itself"),
        *("memory, MiB: tshark alone", "sensor with tshark", "interpreted sensor, s", "ratio"),
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
