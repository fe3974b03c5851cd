"""What the worst floods that we know cost: bytes of log, and CPU time of fail2ban."""

import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.lab.bench.programs import RunningSensor
from tests.lab.support.cost import metered
from tests.lab.support.tables import count, table
from tests.support import tcpreplay
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.namespaces import opened
from tests.support.workloads import Frames, flood, scanner, scanners

FLOODS: Mapping[str, Frames] = MappingProxyType(
    {
        "forged scanners, eight ports each": scanners,
        "forged sources, one port each": flood,
        "one scanner, all ports": scanner,
    }
)
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Cost:
    """What happened in the second half of a flood: the budgets that may be spent at once are spent by then."""

    rate: float
    seconds: float
    log_bytes: int
    lines: int
    bans: int
    fail2ban_seconds: float

    @property
    def gigabytes_a_day(self) -> float:
        """If it went on."""
        return self.log_bytes / self.seconds * _DAY_SECONDS / 1e9

    @property
    def core_share(self) -> float:
        """fail2ban's part of one core, its actions included."""
        return self.fail2ban_seconds / self.seconds


def measure(per_second: int, seconds: int, floods: Mapping[str, Frames] = FLOODS) -> dict[str, Cost]:
    """Let each flood run before a sensor and a fail2ban that know nothing yet."""
    return {name: _one(kind, per_second, seconds) for name, kind in floods.items()}


def _one(kind: Frames, per_second: int, seconds: int) -> Cost:
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as name, ExitStack() as stack:
        folder = Path(name)
        lab.silence()
        capture = tcpreplay.recorded(folder / "flood.pcap", lab.visitor, lab.target, kind, per_second * seconds)
        running = RunningSensor(lab.target, folder, {})
        stack.callback(running.sensor.stop)
        jail = Fail2banServer(lab.target, folder, NFTABLES, log=running.sensor.log)
        stack.callback(jail.stop)
        meter = stack.enter_context(metered([jail.processes[-1].pid]))
        flooding = tcpreplay.start(lab.visitor, capture, per_second)
        time.sleep(seconds / 2)
        begun, size, lines = time.monotonic(), running.sensor.log.stat().st_size, running.lines()
        cpu, bans = sum(meter.cpu().values()), len(jail.banned())
        sent = tcpreplay.finish(flooding)
        took = time.monotonic() - begun
        return Cost(
            sent.rate,
            took,
            running.sensor.log.stat().st_size - size,
            running.lines() - lines,
            len(jail.banned()) - bans,
            sum(meter.cpu().values()) - cpu,
        )


def section(costs: Mapping[str, Cost]) -> str:
    """The table."""
    head = ("flood", "packets a second", "lines a second", "log, GB a day", "bans a minute", "fail2ban, of a core")
    return table(
        head,
        (
            [
                name,
                count(one.rate),
                f"{one.lines / one.seconds:.1f}",
                f"{one.gigabytes_a_day:.2f}",
                f"{one.bans / one.seconds * 60:.0f}",
                f"{one.core_share:.2f}",
            ]
            for name, one in costs.items()
        ),
    )
