"""Kills one of three brokers again and again while hosts report bans: what is lost, and what comes late?"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from portsentry_py.events.model import time_us
from tests.lab.fleet.cluster import leader
from tests.lab.fleet.measured import Measured, spread
from tests.lab.support.machine import described
from tests.lab.support.tables import table
from tests.support.fleet_brokers import Broker
from tests.support.fleet_lab import FleetLab, now_us
from tests.support.waiting import wait_for

HOSTS = tuple(f"web{number}" for number in range(1, 7))
QUOTA: dict[str, Any] = {"new_per_minute": 10_000, "max_active": 100_000}
PROMISED_SECONDS = 1.0
_ROUNDS = 12
_PAUSE_SECONDS = 0.15
_DOWN_SECONDS = 3.0
# How long after a kill a ban may still suffer from it.
_AFTER_SECONDS = 6.0


@dataclass(slots=True)
class Reports:
    """Which host reported which address, and when."""

    hosts: dict[str, str] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kill:
    broker: str
    led: bool
    moment: float


@contextmanager
def reporting(lab: FleetLab, pause: float = _PAUSE_SECONDS) -> Iterator[Reports]:
    """Let the hosts report one scanner after the other, in turn."""
    found, ends = Reports(), threading.Event()

    def report() -> None:
        for number, name in enumerate(cycle(lab.hosts)):
            address = f"45.{100 + number // 62_500}.{number // 250 % 250}.{number % 250}"
            found.moments[address] = now_us() / 1e6
            lab.hosts[name].scan(address)
            found.hosts[address] = name
            if ends.wait(pause):
                return

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield found
    finally:
        ends.set()
        reporter.join()


def make_lab(folder: Path, program: Path, hosts: tuple[str, ...] = HOSTS) -> FleetLab:
    """Three brokers and hosts that hear each other."""
    lab = FleetLab(folder, hosts, program, brokers=3)
    lab.start_broker()
    lab.publish()
    for name in hosts:
        lab.host(name, **QUOTA)
    for number, name in enumerate(hosts):
        lab.hosts[name].scan(f"45.66.{number}.1")
    for number, name in enumerate(hosts):
        for other in hosts:
            if other != name:
                lab.hosts[other].wait_for_line(src_ip=f"45.66.{number}.1")
    return lab


def kill(lab: FleetLab, number: int, down: float = _DOWN_SECONDS) -> Kill:
    """Kill a broker and start it again; each second time the one that leads the stream."""
    led = leader(lab)
    names = {broker.folder.name: broker for broker in lab.brokers}
    victim: Broker = names[led] if number % 2 == 0 else lab.brokers[number // 2 % 3]
    time.sleep(number * 0.618 % 1)  # any moment of what happens once a second
    moment = now_us() / 1e6
    victim.kill()
    time.sleep(down)  # others elect a leader meanwhile
    victim.start()
    return Kill(victim.folder.name, victim.folder.name == led, moment)


def delays(lab: FleetLab, reports: Reports) -> dict[tuple[str, str], float]:
    """Seconds until each other host had each ban; what is lost is not in it."""
    found: dict[tuple[str, str], float] = {}
    for name, host in lab.hosts.items():
        for line in host.lines(verdict="ban"):
            address = line["src_ip"]
            if address in reports.moments and (address, name) not in found:
                found[address, name] = time_us(line["timestamp"]) / 1e6 - reports.moments[address]
    return found


def wait_for_all(lab: FleetLab, reports: Reports) -> int:
    """How many bans never came to a host, after a while."""
    wanted = {(address, name) for address, by in reports.hosts.items() for name in lab.hosts if name != by}
    try:
        wait_for(lambda: wanted <= delays(lab, reports).keys(), "every ban")
    except AssertionError:
        return len(wanted - delays(lab, reports).keys())
    return 0


def _row(what: str, found: list[float]) -> list[object]:
    late = sum(seconds > PROMISED_SECONDS for seconds in found)
    return [what, len(found), spread(found) if found else "", late]


def measure(folder: Path, program: Path) -> Measured:
    """Kill brokers, and say what came when."""
    lab = make_lab(folder, program)
    try:
        with reporting(lab) as reports:
            kills = [kill(lab, number) for number in range(_ROUNDS)]
            time.sleep(_AFTER_SECONDS)
        lost = wait_for_all(lab, reports)
        found = delays(lab, reports)
    finally:
        lab.close()

    def suffers(address: str, led: bool) -> bool:
        moment = reports.moments[address]
        return any(0 <= moment - (one.moment - 0.5) < _AFTER_SECONDS and one.led == led for one in kills)

    led = [seconds for (address, _), seconds in found.items() if suffers(address, True)]
    others = [seconds for (address, _), seconds in found.items() if suffers(address, False)]
    late = sum(seconds > PROMISED_SECONDS for seconds in found.values())
    rows = [
        _row("all", list(found.values())),
        _row("reported within 6 s of the death of the leader", led),
        _row("reported within 6 s of the death of another broker", others),
    ]
    leaders = sum(one.led for one in kills)
    text = (
        f"{described()}\n{len(HOSTS)} hosts report {len(reports.moments)} scanners over TLS to three brokers, which "
        f"keep the lists three times. Meanwhile {len(kills)} times one broker dies by SIGKILL, {leaders} times the one "
        f"that leads the stream, and starts again after {_DOWN_SECONDS:g} s. Lost: {lost} bans of "
        f"{len(reports.moments) * (len(HOSTS) - 1)}; later than {PROMISED_SECONDS:g} s: {late}.\n\n"
        + table(("bans", "heard", "line of the sensor to line of another host", "later than 1 s"), rows)
    )
    return Measured(text, not lost and not late)
