"""Measures what the sensor costs before it works and beside others: starts, interfaces that come and go, memory.

    python -m tests.lab.footprint [--before DIR] [-o DIR]

DIR is an older checkout, which is measured in the same run. Writes footprint.md. Needs root.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import psutil

from portsentry_py.host.sensors import memory_bytes
from tests.lab.support import machine, program
from tests.lab.support.tables import mebibytes, table
from tests.support import churn, tcpreplay
from tests.support.frames import SYN, Link, segment
from tests.support.namespaces import Lab, ip, opened
from tests.support.paths import ROOT
from tests.support.sensor import Sensor
from tests.support.waiting import wait_for
from tests.support.workloads import strangers

_STARTS = 5
_COMING, _PORTS = 52, range(100, 108)
_STEADY, _STEADY_PER_SECOND = 1000, 100
_MANY = 16
_TO_ALL = Link(b"\xff" * 6, b"\x02\0\0\0\0\x01")
_HEAD = """# Starts, interfaces and memory

Written by `make footprint`. The last column is an older version, in the same run. Seconds depend on what else the
machine does: compare them within a row.

"""


@dataclass(frozen=True)
class Version:
    """A checkout whose sensor is measured."""

    name: str
    root: Path

    @property
    def words(self) -> tuple[str, ...]:
        """What Python runs, before the command."""
        script = f"import sys; sys.path.insert(0, {str(self.root)!r}); from portsentry_py.cli.main import main; main()"
        return ("-c", script)


def main(words: Sequence[str]) -> int:
    parser = program.parser("footprint", __doc__)
    parser.add_argument("--before", metavar="DIR", type=Path, help="an older checkout")
    arguments = program.begin(parser, words)
    program.need_root(parser)
    versions = [Version("now", ROOT), *([Version("before", arguments.before)] if arguments.before else [])]
    names = [version.name for version in versions]
    parts = [_HEAD + machine.described()]
    for title, rows in (("Starts", _starts(versions)), ("Interfaces", _churn(versions)), ("Memory", _memory(versions))):
        parts.append(f"## {title}\n\n" + table(["", *names], rows))
        print(parts[-1], flush=True)
    if arguments.output:
        (arguments.output / "footprint.md").write_text("\n".join(parts), encoding="utf-8")
    return 0


def _starts(versions: Sequence[Version]) -> Iterator[list[str]]:
    for command in (("--help",), ("run", "--help")):
        seconds = [_median(_cpu_seconds(version, command) for _ in range(_STARTS)) for version in versions]
        yield [f"`{' '.join(command)}`, CPU seconds", *(f"{one:.2f}" for one in seconds)]
    starts = [[_run_once(version) for _ in range(_STARTS)] for version in versions]
    for nth, title in enumerate(("seconds until it watches", "CPU seconds of all its processes until then")):
        yield [f"`run`, {title}", *(f"{_median(one[nth] for one in each):.2f}" for each in starts)]


def _median(seconds: Iterator[float]) -> float:
    return statistics.median(seconds)


def _cpu_seconds(version: Version, command: Sequence[str]) -> float:
    before = _spent_by_children()
    subprocess.run([sys.executable, *version.words, *command], stdout=subprocess.DEVNULL, check=True)
    return _spent_by_children() - before


def _spent_by_children() -> float:
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def _run_once(version: Version) -> tuple[float, float]:
    with _watching(version) as (_, sensor, begun):
        seconds = time.monotonic() - begun
        processes = [psutil.Process(sensor.process.pid), *psutil.Process(sensor.process.pid).children(recursive=True)]
        return seconds, sum(sum(process.cpu_times()[:4]) for process in processes)


@contextmanager
def _watching(version: Version, links: int = 0, **settings: object) -> Iterator[tuple[Lab, Sensor, float]]:
    """A sensor that has just said what it watches, on a host with these veth pairs, and when it was started."""
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        lab.silence()
        for nth in range(links):
            lab.target.run("ip", "link", "add", f"in{nth}", "type", "veth", "peer", "name", f"out{nth}")
            for name in (f"in{nth}", f"out{nth}"):
                ip("-n", lab.target.namespace, "link", "set", name, "up")
        begun = time.monotonic()
        sensor = Sensor(lab.target, Path(folder), settings, iface="", program=version.words)
        try:
            wait_for(lambda: "watches" in sensor.diagnostics.read_text(), "the start", evidence=sensor.evidence)
            yield lab, sensor, begun
        finally:
            sensor.stop()


def _churn(versions: Sequence[Version]) -> Iterator[list[str]]:
    found = [_churn_once(version) for version in versions]
    titles = (
        f"packets missed or dropped, of {_STEADY} on the interface that stays and {_COMING * len(_PORTS)} on others",
        "restarts",
        f"of {_COMING} scans, each on an interface of a moment, seen",
        "packets received",
    )
    yield from ([title, *(str(one[nth]) for one in found)] for nth, title in enumerate(titles))


def _churn_once(version: Version) -> tuple[int, int, int, int]:
    with _watching(version, lines={"scans_per_second": 1000}) as (lab, sensor, _):
        sensor.wait_until_ready()
        target = int(IPv4Address(lab.target.ipv4[0]))
        steady = tcpreplay.recorded(sensor.temporary / "steady.pcap", lab.scanner, lab.target, strangers, _STEADY)
        running = tcpreplay.start(lab.scanner, steady, _STEADY_PER_SECOND)
        sources = [IPv4Address(f"198.{18 + nth % 2}.{nth}.7") for nth in range(_COMING)]
        frames = ([segment(_TO_ALL, (int(one), 40_000, target, port), SYN, port) for port in _PORTS] for one in sources)
        text = "\n".join(" ".join(frame.hex() for frame in group) for group in frames)
        done = lab.target.run(sys.executable, churn.__file__, text=text)
        if done.returncode:
            raise AssertionError(done.stderr)
        tcpreplay.finish(running)
        last = sensor.settle()
        seen = {line["src_ip"] for line in sensor.matching(event_type="scan")} & set(map(str, sources))
        lost = last["packets_missed"] + last["packets_dropped"]
        return lost, last["restarts"], len(seen), last["packets"]


def _memory(versions: Sequence[Version]) -> Iterator[list[str]]:
    named = [f"in{nth}" for nth in range(_MANY)]
    for title, links, interfaces in (("one interface", 0, ["eth0"]), (f"{_MANY} interfaces", _MANY, named)):
        sizes = [_size(version, links, interfaces) for version in versions]
        yield [f"{title}, MiB of all processes at rest", *map(mebibytes, sizes)]


def _size(version: Version, links: int, interfaces: Sequence[str]) -> int:
    with _watching(version, links, interfaces=list(interfaces)) as (_, sensor, _):
        sensor.wait_until_ready()
        sensor.settle()
        return memory_bytes([sensor.process.pid])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
