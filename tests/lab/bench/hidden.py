"""A scan inside a flood: whether it is found, when, and whether the counts add up."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.bench.programs import RunningSensor
from tests.lab.bench.tail import first_bans
from tests.lab.support.cost import metered
from tests.lab.support.tables import count, counters, table
from tests.lab.support.wiretap import tapped
from tests.support import tcpreplay
from tests.support.namespaces import Lab, opened
from tests.support.running import fields
from tests.support.tcpreplay import Sent
from tests.support.workloads import flood

_PATIENCE_SECONDS = 120.0
_SYN_ONLY = 0x02
# Of these, the sensor's filter drops segments with this one alone.
FLAGS, ACK_ONLY = 0x17, 0x10


@dataclass(frozen=True)
class Scan:
    """What the wire saw of the scanner."""

    begun: float
    seconds: float
    probes: int
    packets: int


@dataclass(frozen=True)
class Outcome:
    """What was sent, what was seen, and when the scanner was named."""

    sent: Sent
    scan: Scan
    named_seconds: float | None
    behind_seconds: float
    connections: int
    scans: int
    status: dict[str, Any]

    @property
    def on_the_wire(self) -> int:
        """Packets that the sensor should have seen or know to be dropped."""
        return self.sent.packets + self.scan.packets

    @property
    def attempts(self) -> int:
        """Attempts on ports that nobody serves: each is a connection line, or counted as held back."""
        return self.sent.packets + self.scan.probes

    @property
    def held(self) -> int:
        """First packets of sources that sent no second; the flood is not answered, so each is an attempt."""
        return int(self.status.get("packets_held", 0))

    @property
    def accounted(self) -> int:
        """Attempts that the sensor tells of, in a line or in a count."""
        return self.connections + int(self.status["lines_suppressed"]) + self.held


def measure(per_second: int, seconds: int) -> Outcome:
    """Send a flood, and let nmap scan in the middle of it."""
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as name, ExitStack() as stack:
        folder = Path(name)
        lab.silence()
        # Not a shorter one again and again: forged sources that come back are another story.
        packets = per_second * seconds
        capture = tcpreplay.recorded(folder / "flood.pcap", lab.visitor, lab.target, flood, packets)
        tap = folder / "scan.pcapng"
        before = lab.target.pids()
        running = RunningSensor(lab.target, folder, {})
        stack.callback(running.sensor.stop)
        meter = stack.enter_context(metered(lab.target.pids() - before))
        # What the sensor's filter lets through of what the scanner sends and gets.
        what = f"host {lab.scanner.ipv4[0]} and tcp and tcp[13] & {FLAGS} != {ACK_ONLY}"
        stack.enter_context(tapped(lab.scanner, tap, what))
        lines = stack.enter_context(first_bans(running.sensor.log))
        flooding = tcpreplay.start(lab.visitor, capture, per_second)
        time.sleep(seconds / 3)
        begun = time.time()
        _scan(lab)
        took = time.time() - begun
        sent = tcpreplay.finish(flooding)
        last = time.monotonic()
        behind = meter.wait_until_quiet(_PATIENCE_SECONDS, 1.0) - last
        status = running.last_status()
        scan = _seen(tap, took)
        named = lines.get(lab.scanner.ipv4[0])
        return Outcome(
            sent,
            scan,
            None if named is None else named - scan.begun,
            max(0.0, behind),
            len(running.sensor.matching(event_type="connection")),
            len(running.sensor.matching(event_type="scan")),
            status,
        )


def _scan(lab: Lab) -> None:
    done = lab.scanner.run("nmap", "-n", "-Pn", "-sS", "-F", lab.target.ipv4[0], seconds=300)
    if done.returncode != 0:
        raise AssertionError(f"nmap: {done.stderr.strip()}")


def _seen(tap: Path, seconds: float) -> Scan:
    rows = fields(tap, ("frame.time_epoch", "tcp.flags", "tcp.dstport", "tcp.srcport"))
    served = {port for _, flags, _, port in rows if int(flags, 16) & 0x12 == 0x12}
    # A probe that nmap repeats is one attempt.
    probes = {tuple(ends) for _, flags, *ends in rows if int(flags, 16) & 0xFF == _SYN_ONLY}
    return Scan(float(rows[0][0]), seconds, sum(port not in served for port, _ in probes), len(rows))


def section(outcome: Outcome) -> str:
    status = outcome.status
    seen = status["packets"] + status["packets_dropped"]
    rows = [
        ["sent by the flood", count(outcome.sent.packets)],
        ["sent by and to the scanner, through the filter", count(outcome.scan.packets)],
        ["**sum**", count(outcome.on_the_wire)],
        ["`packets` of the last status line", count(status["packets"])],
        ["`packets_dropped`", count(status["packets_dropped"])],
        ["**sum**", count(seen)],
        ["attempts on unserved ports", count(outcome.attempts)],
        ["connection lines", count(outcome.connections)],
        ["`lines_suppressed`", count(status["lines_suppressed"])],
        ["`packets_held`", count(outcome.held)],
        ["**sum**", count(outcome.accounted)],
    ]
    named = (
        "was not named with the verdict `ban`"
        if outcome.named_seconds is None
        else f"was named with the verdict `ban` {outcome.named_seconds:.2f} s after its first packet"
    )
    return (
        f"{count(outcome.sent.rate)} forged SYNs a second for {outcome.sent.seconds:.0f} s; "
        f"`nmap -sS -F` took {outcome.scan.seconds:.1f} s of it. The scanner {named}. "
        f"The sensor was {outcome.behind_seconds:.1f} s behind when the flood ended.\n\n"
        f"{table(('what', 'number'), rows)}\n"
        f"There were {count(outcome.scans)} scan lines. The last status line: {counters(status)}.\n"
    )
