"""Scans inside floods of each kind: what the sensor loses, and when fail2ban has banned the scanner."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.ban_time import NMAP
from tests.lab.bench.hidden import ACK_ONLY, FLAGS
from tests.lab.bench.live import KINDS, SETTINGS, WORST, note, passed, start
from tests.lab.bench.programs import RunningSensor
from tests.lab.support.cost import metered
from tests.lab.support.kernel_rules import watched
from tests.lab.support.tables import count, shown, table
from tests.lab.support.wiretap import sent as sent_by
from tests.lab.support.wiretap import tapped
from tests.support import tcpreplay
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.namespaces import IFACE, opened
from tests.support.tcpreplay import Sent
from tests.support.waiting import wait_for

_PATIENCE_SECONDS, _LAST_SECONDS = 120.0, 15.0
# No flood forges a source of this network.
_NETWORK = "198.19.0.0/16"
FLOODS = (*((kind, 40_000) for kind in KINDS), ("forged flood", 140_000))


@dataclass(frozen=True)
class Row:
    """One flood: what was sent and lost, and the seconds from the first packet of each scan to the kernel's rule."""

    kind: str
    sent: Sent
    lost: int
    behind_seconds: float
    scans: int
    named: int
    bans: Sequence[float]

    def cells(self) -> list[str]:
        return [
            self.kind,
            count(self.sent.rate),
            count(self.sent.packets),
            count(self.lost),
            f"{self.behind_seconds:.1f}",
            str(self.scans),
            str(self.named),
            str(len(self.bans)),
            f"{statistics.median(self.bans):.2f}" if self.bans else "",
            f"{max(self.bans):.2f}" if self.bans else "",
        ]


def scanner(number: int) -> str:
    """An address in a network of its own."""
    return f"198.19.{number}.9"


def measure(seconds: int, scans: int, floods: Sequence[tuple[str, int]] = FLOODS) -> list[Row]:
    """Send each flood for some seconds, with scans by nmap spread over it, before a new sensor and a new fail2ban."""
    return [shown(_one(kind, rate, seconds, scans)) for kind, rate in floods]


def _one(kind: str, per_second: int, seconds: int, scans: int) -> Row:
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as name, ExitStack() as stack:
        folder = Path(name)
        tcpreplay.connect_feed(lab)
        lab.silence()
        lab.target.run("ip", "route", "add", _NETWORK, "dev", IFACE)
        scanners = [scanner(number) for number in range(scans)]
        for one in scanners:
            lab.scanner.run("ip", "addr", "add", f"{one}/32", "dev", IFACE)
        flood = tcpreplay.recorded(folder / f"{kind}.pcap", lab.visitor, lab.target, KINDS[kind], per_second * seconds)
        tap = folder / "scan.pcapng"
        before = lab.target.pids()
        running = RunningSensor(lab.target, folder, dict(SETTINGS))
        stack.callback(running.sensor.stop)
        meter = stack.enter_context(metered(lab.target.pids() - before))
        jail = Fail2banServer(lab.target, folder, NFTABLES, log=running.sensor.log)
        stack.callback(jail.stop)
        ruled = stack.enter_context(watched(lab.target))
        stack.enter_context(tapped(lab.scanner, tap, f"net {_NETWORK} and tcp and tcp[13] & {FLAGS} != {ACK_ONLY}"))
        flooding = start(lab, flood, per_second)
        begun = time.monotonic()
        for number, one in enumerate(scanners):
            # When the scan begins is what is measured.
            time.sleep(max(0.0, begun + seconds * (number + 1) / (scans + 1) - time.monotonic()))
            lab.scanner.run(*NMAP, "-F", "--max-retries", "1", "-S", one, lab.target.ipv4[0])
        sent = tcpreplay.finish(flooding)
        last = time.monotonic()
        behind = meter.wait_until_quiet(_PATIENCE_SECONDS, 1.0) - last
        # Forged sources spend the budget of bans: then a scanner that proved nothing is watched.
        with suppress(AssertionError):
            wait_for(lambda: len(ruled.keys() & set(scanners)) == scans, "all bans", seconds=_LAST_SECONDS)
        status = running.last_status()
        moments = sent_by(tap)
        lost = passed(kind, sent.packets) + sum(map(len, moments.values())) - status["packets"]
        named = {line["src_ip"] for line in running.sensor.matching(event_type="scan")} & set(scanners)
        bans = [ruled[one] - moments[one][0] for one in scanners if one in ruled]
        return Row(kind, sent, lost, max(0.0, behind), scans, len(named), bans)


def section(rows: Sequence[Row]) -> str:
    """The table."""
    head = (
        *("packets", "sent in a second", "sent", "lost", "behind at the end, s"),
        *("scans", "with a line", "banned", "ban: median, s", "longest, s"),
    )
    costliest = f"\n{note()}" if any(row.kind == WORST for row in rows) else ""
    return f"{table(head, (row.cells() for row in rows))}{costliest}"
