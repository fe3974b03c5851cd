"""The running sensor over visitors, scans and floods on a wire, for as long as is wanted."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.lab.soak.quarters import QUARTERS, Quarter
from tests.lab.support.cost import metered, spent
from tests.support import tcpreplay
from tests.support.namespaces import Lab, opened
from tests.support.sensor import Sensor
from tests.support.workloads import strangers, visitors

_PER_SECOND = 1_500
_ROUND_SECONDS = 10
_FLOOD, _FLOOD_PER_SECOND, _FLOOD_EVERY = 25_000, 5_000, 12
_SCAN_EVERY = 3


def measure(seconds: int) -> tuple[list[Quarter], dict[str, Any]]:
    """Run for this time; returns the quarters and the last status line."""
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as name, ExitStack() as stack:
        folder = Path(name)
        tcpreplay.connect_feed(lab)
        lab.silence()
        packets = _PER_SECOND * min(_ROUND_SECONDS, seconds // QUARTERS)
        ordinary = tcpreplay.recorded(folder / "visitors.pcap", lab.visitor, lab.target, visitors, packets)
        flood = tcpreplay.recorded(folder / "flood.pcap", lab.visitor, lab.target, strangers, _FLOOD)
        sensor = Sensor(lab.target, folder)
        stack.callback(sensor.stop)
        sensor.wait_until_ready()
        with metered([sensor.process.pid]) as meter:
            quarters, rounds = [], 0
            for _ in range(QUARTERS):
                begun, before, cpu = time.monotonic(), sensor.status_now()["packets"], meter.cpu()
                meter.weigh_anew()
                while time.monotonic() - begun < seconds / QUARTERS:
                    _round(lab, ordinary, flood, rounds)
                    rounds += 1
                given = sensor.status_now()["packets"] - before
                used = sum(spent(cpu, meter.cpu()).values())
                quarters.append(Quarter(given, used, dict(meter.peak_of)))
            sensor.settle()
        sensor.stop()
        return quarters, sensor.lines()[-1]


def _round(lab: Lab, ordinary: Path, flood: Path, number: int) -> None:
    sender = tcpreplay.start_both(lab, ordinary, _PER_SECOND)
    if number % _SCAN_EVERY == 0:
        lab.scanner.run("nmap", "-n", "-Pn", "-sS", "-F", "--max-retries", "0", lab.target.ipv4[0])
    if number % _FLOOD_EVERY == 1:
        tcpreplay.finish(tcpreplay.start(lab.visitor, flood, _FLOOD_PER_SECOND))
    tcpreplay.finish(sender)
