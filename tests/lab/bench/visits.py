"""What visitors of served ports cost: the packets of a session on the wire, and those that leave the kernel."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.capture.bpf import PLAIN, kernel_filter
from tests.lab.bench.programs import RunningSensor
from tests.lab.support.tables import count, table
from tests.support.capturing import Capture, capturing, packets_in
from tests.support.namespaces import Lab, opened
from tests.support.waiting import wait_for

_ENDS = 4  # SYN, SYN-ACK and the FINs of both sides
_QUIET_SECONDS = 1.0


@dataclass(frozen=True)
class Visits:
    """The packets of so many sessions: all, those that a filter passes which knows no host, and the sensor's."""

    sessions: int
    on_the_wire: int
    unknown: int
    sensor: int

    def rows(self) -> list[list[str]]:
        """For each filter, the packets in all and for a session."""
        named = {
            "on the wire": self.on_the_wire,
            "through a filter that knows nothing of the host": self.unknown,
            "through the sensor's filter": self.sensor,
        }
        return [[name, count(packets), f"{packets / self.sessions:.1f}"] for name, packets in named.items()]


def measure(requests: int) -> Visits:
    """Let a visitor make so many HTTP requests, in both families in turn, while it holds one more session open."""
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as name:
        folder = Path(name)
        running = RunningSensor(lab.target, folder, {})
        plain = ("-f", kernel_filter(PLAIN, vlan=True))
        with (
            capturing(lab.target, folder / "wire.pcapng", "-f", "tcp") as wire,
            capturing(lab.target, folder / "unknown.pcapng", *plain) as unknown,
        ):
            _visit(lab, requests)
            wait_for(lambda: packets_in(unknown.path) >= _ENDS * (requests + 1), "the end of every session")
            _settle(wire)
        counts = running.stop()
        if counts.dropped:
            raise AssertionError(f"{counts.dropped} packets were dropped")
        return Visits(requests + 1, packets_in(wire.path), packets_in(unknown.path), counts.packets)


def _visit(lab: Lab, requests: int) -> None:
    said = json.loads(lab.visitor.visit(lab.target, requests).communicate(timeout=60 + requests)[0])
    if said["answered"] != requests:
        raise AssertionError(f"{requests} requests, and {said['answered']} answers")


def _settle(capture: Capture) -> None:
    """Wait until nothing more comes."""
    before = -1
    while (now := packets_in(capture.path)) != before:
        before = now
        time.sleep(_QUIET_SECONDS)


def section(visits: Visits) -> str:
    head = ("TCP packets", "in all", "a session")
    return f"{count(visits.sessions)} sessions, nearly all of them an HTTP request.\n\n{table(head, visits.rows())}"
