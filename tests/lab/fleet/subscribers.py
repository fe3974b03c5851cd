"""Ten thousand hosts on one broker: when has the last of them a ban, and what does it cost?

Nearly all are simulated: sockets of one process that read, without TLS. One is a real `fleet run`.
"""

import asyncio
import json
import time
from pathlib import Path

import psutil

from portsentry_py.fleet.identity import new_seed, public_key
from portsentry_py.fleet.messages import Ban, BanMessage, StateMessage, encode
from portsentry_py.fleet.subjects import ban_subject, state_subject
from tests.lab.fleet.measured import Measured, spread
from tests.lab.fleet.simulated import Awaited, Subscriber, connect
from tests.lab.support.machine import described
from tests.lab.support.tables import count, mebibytes, table
from tests.support.fleet_lab import FleetHost, FleetLab, fleet, now_us
from tests.support.waiting import wait_for

REAL = "real"
COUNT = 10_000
_ROUNDS = 20
_LIST = 10
_PROMISED_SECONDS = 5.0


def populate(lab: FleetLab, number: int) -> list[str]:
    """Add simulated hosts to the operator's list at once, and the real one by the command; the seeds."""
    seeds = [new_seed("host") for _ in range(number)]
    path = lab.operator / "fleet.json"
    found = json.loads(path.read_text())
    found["hosts"] = {
        f"h{index}": {"address": f"45.{index // 250 % 250}.{index % 250}.1", "key": public_key(seed)}
        for index, seed in enumerate(seeds)
    }
    path.write_text(json.dumps(found))
    fleet("add-host", lab.operator, REAL, "--address", "45.255.1.1")
    return seeds


def _ban(address: str) -> Ban:
    return Ban(address, 32, True, "port_scan", "syn", now_us() + 600_000_000)


def _state(index: int) -> bytes:
    bans = tuple(_ban(f"{46 + index // 6250}.{index // 25 % 250}.{index % 25 * _LIST + one}.9") for one in range(_LIST))
    return encode(StateMessage(1, now_us(), bans))


async def _play(lab: FleetLab, seeds: list[str], rounds: int) -> tuple[list[float], int, int, FleetHost, float]:
    """Connect, leave a list of each with the broker, and let bans travel."""
    broker = psutil.Process(lab.brokers[0].pid)
    empty, awaited = broker.memory_info().rss, Awaited()
    hosts = await connect(seeds, lab.brokers[0].port, awaited)
    try:
        for index, host in enumerate(hosts):
            host.publish(state_subject(f"h{index}"), _state(index))
        await asyncio.gather(*(host.flush() for host in hosts))
        for host in hosts:
            host.subscribe()
        await asyncio.gather(*(host.flush() for host in hosts))
        seconds = [await _round(hosts, awaited, number) for number in range(rounds)]
        full = broker.memory_info().rss
        real, caught_up = await asyncio.to_thread(_start_real, lab, len(seeds))
        return seconds, empty, full, real, caught_up
    finally:
        for host in hosts:
            host.close()


async def _round(hosts: list[Subscriber], awaited: Awaited, number: int) -> float:
    """One ban of one host; seconds until the last one has it."""
    address = f"45.254.{number}.9"
    awaited.begin(address.encode(), len(hosts))
    began = time.monotonic()
    hosts[number * 101 % len(hosts)].publish(
        ban_subject("h" + str(number * 101 % len(hosts))), encode(BanMessage(1, now_us(), _ban(address)))
    )
    await asyncio.wait_for(awaited.arrived.wait(), 60)
    return time.monotonic() - began


def _start_real(lab: FleetLab, number: int) -> tuple[FleetHost, float]:
    """Start a real host; seconds until it has accepted the lists of all others."""
    began = time.monotonic()
    real = lab.host(REAL, plain_text=True, new_per_minute=10_000)
    wait_for(lambda: len(real.lines(verdict="ban")) >= number * _LIST, "all bans", seconds=120, evidence=real.said)
    return real, time.monotonic() - began


def measure(folder: Path, program: Path, number: int = COUNT, rounds: int = _ROUNDS) -> Measured:
    """All of it."""
    lab = FleetLab(folder, (), program, addresses=("127.0.0.1",), plain=True)
    try:
        seeds = populate(lab, number)
        lab.start_broker()
        lab.publish()
        seconds, empty, full, real, caught_up = asyncio.run(_play(lab, seeds, rounds))
        memory = psutil.Process(real.pid).memory_info().rss
    finally:
        lab.close()
    rows = (
        ("a ban to the last of all hosts", spread(seconds)),
        ("memory of the broker, without a host", f"{mebibytes(empty)} MiB"),
        (f"memory of the broker with {count(number)} hosts and the list of each", f"{mebibytes(full)} MiB"),
        (
            f"a real host reads {count(number)} lists of {_LIST} bans, from its start to the last line",
            f"{caught_up:.1f} s",
        ),
        ("memory of this host then", f"{mebibytes(memory)} MiB"),
    )
    text = (
        f"{described()}\n{count(number)} hosts have a connection each to one broker, authenticated by keys, without "
        f"TLS; one process simulates them, which takes its share of the two cores.\n\n"
        + table(("what", "figure"), rows)
    )
    return Measured(text, max(seconds) <= _PROMISED_SECONDS)
