"""One host is cut off from all brokers for ten minutes of a simulated clock, and then starts again with nothing.

Real brokers, and the real agent of each host in one process: the clock that they read can be set ahead.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from portsentry_py.config.settings import OFF_WORD
from portsentry_py.config.settings import Fleet as Settings
from portsentry_py.events.model import FleetEvent, utc
from portsentry_py.fleet import credentials
from portsentry_py.fleet.agent import Agent, Host
from portsentry_py.fleet.protection import Protection
from tests.lab.fleet.measured import Measured
from tests.lab.fleet.relay import Relay
from tests.support.fleet_lab import FleetLab, now_us
from tests.support.log_lines import line

HOSTS = ("web1", "web2", "web3", "web4")
CUT = "web4"
_EACH = 20
_PATIENCE_SECONDS = 60.0
_PROMISED_SECONDS = 5.0
_AGENT_LOG = "portsentry_py.fleet"


class Clock:
    """The time of day, which can be set ahead."""

    def __init__(self) -> None:
        self._ahead_us = 0

    def now_us(self) -> int:
        return now_us() + self._ahead_us

    def advance(self, seconds: int) -> None:
        self._ahead_us += seconds * 1_000_000


@dataclass(slots=True)
class Member:
    """One host: its log, and the lines that its agent writes, each with the moment."""

    name: str
    log: Path
    clock: Clock
    lines: list[tuple[float, FleetEvent]] = field(default_factory=list)

    def agent(self, lab: FleetLab, servers: Sequence[str] = ()) -> Agent:
        secret = credentials.read(lab.operator / "hosts" / f"{self.name}.json")
        secret = replace(secret, servers=tuple(servers) or secret.servers)
        settings = Settings(mode="ban", state=OFF_WORD, new_per_minute=1000)
        return Agent(settings, secret, Host(self.log, Protection, self._write, self.clock.now_us))

    def _write(self, event: FleetEvent) -> None:
        self.lines.append((time.monotonic(), event))

    def report(self, address: str, **keys: object) -> None:
        """The sensor writes a ban, or what the keys make of it."""
        text = line(src_ip=address, source_verified=True, timestamp=utc(self.clock.now_us()), **keys) + b"\n"
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)

    def banned(self, since: float = 0) -> set[str]:
        return {event.src_ip for moment, event in self.lines if event.state == "reported" and moment >= since}

    def lifted(self) -> set[str]:
        return {event.src_ip for _, event in self.lines if event.state == "withdrawn"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the bans: how long they took to come back, and which came that were over."""

    back_seconds: float
    reboot_seconds: float
    revived: frozenset[str]

    @property
    def holds(self) -> bool:
        return max(self.back_seconds, self.reboot_seconds) <= _PROMISED_SECONDS and not self.revived


class _Moments(logging.Handler):
    """When the agents said something."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((time.monotonic(), record.getMessage()))

    def moment(self, text: str) -> float | None:
        return next((moment for moment, said in self.said if text in said), None)


async def _until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        await asyncio.sleep(0.01)


def _addresses(group: int) -> list[str]:
    return [f"45.{120 + group}.{number}.9" for number in range(_EACH)]


async def _play(lab: FleetLab, heard: _Moments) -> Outcome:
    clock = Clock()
    members = {name: Member(name, lab.folder / f"{name}.log", clock) for name in HOSTS}
    for member in members.values():
        member.log.touch()
    relays = [Relay(broker.address, broker.port) for broker in lab.brokers]
    servers = [
        f"tls://{broker.address}:{await relay.start()}" for broker, relay in zip(lab.brokers, relays, strict=True)
    ]
    agents = {name: member.agent(lab, servers if name == CUT else ()) for name, member in members.items()}
    jobs = {name: asyncio.create_task(agent.run()) for name, agent in agents.items()}
    try:
        outcome = await _cut_and_join(members, relays, heard)
        agents[CUT].stop()
        await jobs[CUT]
        active = members[CUT].banned(outcome.moment) - members[CUT].lifted()
        fresh = Member("web4", members[CUT].log, clock)
        began = time.monotonic()
        agents[CUT] = fresh.agent(lab)
        jobs[CUT] = asyncio.create_task(agents[CUT].run())
        await _until(lambda: active <= fresh.banned(), "all bans after the start")
        reboot = max(moment for moment, event in fresh.lines if event.src_ip in active) - began
        revived = frozenset((fresh.banned() | members[CUT].banned(outcome.moment)) - active)
        return Outcome(outcome.seconds, reboot, revived)
    finally:
        for agent in agents.values():
            agent.stop()
        await asyncio.gather(*jobs.values(), return_exceptions=True)
        await asyncio.gather(*(relay.close() for relay in relays))


@dataclass(frozen=True, slots=True)
class _Back:
    """The moment of the reconnection, and the seconds to the last ban."""

    moment: float
    seconds: float


async def _cut_and_join(members: dict[str, Member], relays: Sequence[Relay], heard: _Moments) -> _Back:
    """Ten minutes without a broker: bans end, begin and are lifted meanwhile."""
    clock, cut, others = members[CUT].clock, members[CUT], [one for name, one in members.items() if name != CUT]
    old, early, late = map(_addresses, range(3))
    await _report(others, old, cut)
    for relay in relays:
        relay.cut()
    await _until(lambda: heard.moment("the connection to the broker has ended") is not None, "the end")
    clock.advance(300)
    lifted = early[0]
    await _report(others, early, *others)
    others[0].report(lifted, verdict="watch", reason="withdrawn")
    await _until(lambda: lifted in others[1].lifted(), "what was lifted")
    clock.advance(301)  # the old bans are over
    await _report(others, late, *others)
    for relay in relays:
        relay.join()
    wanted = {*early, *late} - {lifted}
    await _until(lambda: wanted <= cut.banned(), "all bans after the reconnection")
    moment = heard.moment("broker: all is well again")
    assert moment is not None
    last = max(at for at, event in cut.lines if event.src_ip in wanted)
    return _Back(moment, last - moment)


async def _report(reporters: Sequence[Member], addresses: Sequence[str], *readers: Member) -> None:
    for number, address in enumerate(addresses):
        reporters[number % len(reporters)].report(address)
    await _until(
        lambda: all(
            {one for number, one in enumerate(addresses) if reporters[number % len(reporters)] is not reader}
            <= reader.banned()
            for reader in readers
        ),
        "the bans",
    )


def play(folder: Path, program: Path) -> Outcome:
    """All of it, with three real brokers."""
    lab = FleetLab(folder, HOSTS, program, brokers=3)
    heard, logger = _Moments(), logging.getLogger(_AGENT_LOG)
    logger.addHandler(heard)
    try:
        lab.start_broker()
        lab.publish()
        return asyncio.run(_play(lab, heard))
    finally:
        logger.removeHandler(heard)
        lab.close()


def measure(folder: Path, program: Path) -> Measured:
    """What the page says of it."""
    found = play(folder, program)
    text = (
        f"One of {len(HOSTS)} hosts is cut off from three brokers for ten minutes of a simulated clock. Meanwhile "
        f"{_EACH} bans end, {2 * _EACH} begin and one of these is lifted. All active bans are there "
        f"{found.back_seconds:.2f} s after it has a broker again, and {found.reboot_seconds:.2f} s after an agent "
        f"starts that knows nothing; {len(found.revived)} bans that were over came back."
    )
    return Measured(text, found.holds)
