"""Live, at rising rates: what is lost, how far behind the log is, and what it costs."""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product, takewhile
from pathlib import Path

from tests.lab.bench.live import KINDS, WORST, note, passed, start
from tests.lab.bench.programs import INSTALLED, SENSOR, Counts, Program
from tests.lab.support.cost import metered, spent
from tests.lab.support.tables import count, mebibytes, micros, shown, table
from tests.support import tcpreplay
from tests.support.namespaces import Host, Lab, opened
from tests.support.tcpreplay import Sent
from tests.support.waiting import wait_for

_PATIENCE_SECONDS = 120.0
# Behind by less than this, it kept up: dumpcap's timer and ours are in it.
KEPT_UP_SECONDS = 1.5
_ANSWERED_SHARE = 1.01
# Further behind than this, a peer is not tried faster.
_HOPELESS_SECONDS = 5.0


@dataclass(frozen=True)
class Trial:
    program: str
    kind: str
    wanted: int | None
    sent: Sent
    counts: Counts | None
    cpu: dict[str, float]
    behind_seconds: float
    lines: int
    peak_bytes: int

    @property
    def lost(self) -> int | None:
        """Packets that passed the filter and were not seen, if the program counts them."""
        return None if self.counts is None else max(0, passed(self.kind, self.sent.packets) - self.counts.packets)

    @property
    def kept_up(self) -> bool:
        """Whether nothing was lost and nothing was left to do when the last packet was sent."""
        return not self.lost and self.behind_seconds <= KEPT_UP_SECONDS

    def cells(self) -> list[str]:
        seconds = self.sent.seconds + self.behind_seconds
        rate = "full speed: " if self.wanted is None else ""
        return [
            self.program,
            self.kind,
            f"{rate}{count(self.sent.rate)}",
            count(self.sent.packets),
            "does not tell" if self.counts is None else count(self.lost or 0),
            "" if self.counts is None else count(self.counts.dropped),
            f"{self.behind_seconds:.1f}",
            micros(self.cpu, self.sent.packets),
            f"{self.lines / seconds:,.1f}",
            mebibytes(self.peak_bytes),
        ]


@dataclass(frozen=True)
class Plan:
    """Which rates the sensor gets, for each kind of packets, and the peers for all; None is a burst at full speed."""

    ours: Mapping[str, Sequence[int | None]]
    peers: Sequence[int | None]
    seconds: float
    most: int
    burst: int

    def packets(self, rate: int | None) -> int:
        return self.burst if rate is None else min(self.most, int(rate * self.seconds))


FULL = Plan(
    {
        "forged flood": (5_000, 20_000, 40_000, 80_000, 140_000, None),
        "one scanner": (20_000, 40_000, 80_000),
        "forged pool": (20_000, 40_000, 80_000),
        "visitors": (20_000, 40_000, 80_000),
        "all four in turn": (20_000, 40_000, 80_000),
        WORST: (20_000, 40_000, 80_000),
    },
    (5_000, 20_000, 40_000),
    10,
    # So many that the kernel's buffer cannot hold them: it alone takes some 400,000.
    1_000_000,
    300_000,
)
QUICK = Plan({"forged flood": (5_000, 20_000, None), "visitors": (20_000,)}, (5_000,), 2, 50_000, 50_000)


def trial(lab: Lab, program: Program, capture: Path, rate: int | None, packets: int) -> Trial:
    """Let one program watch the first packets of a capture, named after their kind, at one rate."""
    target = lab.target
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as name:
        before = target.pids()
        with program.started(target, Path(name)) as running, metered(_newcomers(target, before)) as meter:
            meter.wait_until_quiet(_PATIENCE_SECONDS, program.nap_seconds)
            meter.weigh_anew()
            used = meter.cpu()
            sent = tcpreplay.finish(start(lab, capture, rate, packets))
            last = time.monotonic()
            busy = meter.wait_until_quiet(_PATIENCE_SECONDS, program.nap_seconds)
            cpu = spent(used, meter.cpu())
            peak = meter.peak_bytes
            counts = running.stop()
            lines = running.lines()
        if counts and counts.packets > _ANSWERED_SHARE * sent.packets:
            raise AssertionError(f"somebody answers: {sent.packets} packets sent, {counts.packets} seen")
        behind = max(0.0, busy - last)
        return Trial(program.name, capture.stem, rate, sent, counts, cpu, behind, lines, peak)


def _newcomers(host: Host, before: set[int]) -> set[int]:
    """A program that was started enters the host's namespace a moment later."""
    return wait_for(lambda: host.pids() - before, "the program to start")


def installed() -> list[Program]:
    path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin"
    return [one for one in INSTALLED if shutil.which(one.name) or shutil.which(one.name, path=path)]


def measure(plan: Plan, peers: Sequence[Program]) -> list[Trial]:
    """Try the sensor at all rates, then each peer, one program after the other."""
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as name:
        tcpreplay.connect_feed(lab)
        lab.silence()
        captures = [_recorded(lab, Path(name), kind, plan.most) for kind in plan.ours]
        found = [
            shown(trial(lab, SENSOR, capture, rate, plan.packets(rate)))
            for capture in captures
            for rate in plan.ours[capture.stem]
        ]
        for program, capture in product(peers, captures):
            for rate in plan.peers:
                found.append(shown(trial(lab, program, capture, rate, plan.packets(rate))))
                if found[-1].behind_seconds > _HOPELESS_SECONDS:
                    break
    return found


def _recorded(lab: Lab, folder: Path, kind: str, packets: int) -> Path:
    return tcpreplay.recorded(folder / f"{kind}.pcap", lab.visitor, lab.target, KINDS[kind], packets)


def section(trials: Sequence[Trial]) -> str:
    head = (
        *("program", "packets", "sent in a second", "sent", "lost", "dropped", "behind at the end, s"),
        *("CPU µs/packet", "log lines/s", "memory, MiB"),
    )
    ours = [one for one in trials if one.program == SENSOR.name]
    kinds = dict.fromkeys(one.kind for one in ours)
    best = "".join(f"- {kind}: {_best([one for one in ours if one.kind == kind])}.\n" for kind in kinds)
    costliest = f"{note()}\n" if WORST in kinds else ""
    return f"{table(head, (one.cells() for one in trials))}\n{costliest}What the sensor bears:\n\n{best}"


def _best(ours: Sequence[Trial]) -> str:
    rising = sorted((one for one in ours if one.wanted is not None), key=lambda one: one.sent.rate)
    whole = list(takewhile(lambda one: not one.lost, rising))
    steady = [one for one in whole if one.kept_up]
    parts = []
    if steady:
        parts.append(f"it keeps up with {count(max(one.sent.rate for one in steady))} packets a second")
    if whole:
        parts.append(f"nothing is lost up to {count(max(one.sent.rate for one in whole))} packets a second")
    for one in ours:
        if one.wanted is None:
            fate = f"loses {count(one.lost)}" if one.lost else "is kept whole"
            parts.append(f"a burst of {count(one.sent.packets)} packets at full speed {fate}")
    return ", ".join(parts)
