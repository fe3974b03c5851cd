"""Tries what the thief of one host's key can do to the others, with a real broker.

Three hosts share bans over loopback. The thief has the key of the third, whom all trust. After each attack an honest
host reports a scanner, and when the victim has that line, what the thief achieved there is counted.
"""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from portsentry_py.events.model import time_us
from portsentry_py.fleet.messages import MOST_BANS, Ban, BanMessage, StateMessage, encode
from portsentry_py.fleet.subjects import inbox
from portsentry_py.host.host_state import host_state
from tests.lab.fleet.cluster import client
from tests.lab.fleet.measured import Measured, spread
from tests.lab.support.machine import described
from tests.lab.support.tables import table
from tests.support.fleet_lab import BROKER, FleetLab, now_us
from tests.support.waiting import wait_for

VICTIM, HONEST, THIEF = "web1", "web2", "web3"
IGNORED, ALLOWED, HOME = "45.90.1.1", "45.90.2.2", "45.90.3.3"
HELD = "45.91.1.1"
QUOTA: dict[str, Any] = {"new_per_minute": 20, "max_active": 500}
_BURST = 10 * 20
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_COUNT = 100


class Thief:
    """The holder of the key of one host: a client of NATS without any of our code between."""

    def __init__(self, client: Any, faults: list[str]) -> None:
        self.client = client
        self.faults = faults
        self._issued_us = 0

    def stamp(self) -> int:
        self._issued_us = max(now_us(), self._issued_us + 1)
        return self._issued_us

    async def ban(self, address: str, *, issued_us: int = 0, until_us: int = 0, prefix: int = 0) -> None:
        """A ban with a claimed proof."""
        message = {
            "version": 1,
            "issued_us": issued_us or self.stamp(),
            "ban": {
                "address": address,
                "prefix": prefix or (64 if ":" in address else 32),
                "verified": True,
                "evidence": "port_scan",
                "scan_type": "syn",
                "until_us": until_us or now_us() + 600_000_000,
            },
        }
        await self.live(json.dumps(message).encode())

    async def live(self, payload: bytes, name: str = THIEF) -> None:
        await self.client.publish(f"psp.ban.{name}", payload)

    async def state(self, *addresses: str, name: str = THIEF, headers: dict[str, str] | None = None) -> None:
        bans = tuple(Ban(one, 32, True, "port_scan", "syn", now_us() + 600_000_000) for one in addresses)
        payload = encode(StateMessage(1, self.stamp(), bans))
        await self.client.publish(f"psp.state.{name}", payload, headers=headers)

    async def ask(self, subject: str, payload: bytes = b"{}") -> str:
        """A call of the broker's administration; its answer, or the refusal."""
        try:
            return str((await self.client.request(subject, payload, timeout=1)).data)
        except Exception as error:  # noqa: BLE001 - any refusal will do
            return type(error).__name__


@dataclass(frozen=True, slots=True)
class Attack:
    """One thing that the thief tries.

    Attributes:
        says: what the victim or the broker says of it, in one line.
        most: how many sources it may have banned, all within the quota.
    """

    name: str
    run: Callable[[Thief], Awaitable[object]]
    says: str
    most: int = 0


async def _consumers(thief: Thief) -> None:
    config = {"stream_name": "PSP", "config": {"ack_policy": "none", "deliver_subject": f"{inbox(THIEF)}.x"}}
    for number in range(100):
        await thief.client.publish(f"$JS.API.CONSUMER.CREATE.PSP.c{number}", json.dumps(config).encode())


async def _purge(thief: Thief) -> None:
    for call in ("STREAM.PURGE.PSP", "STREAM.DELETE.PSP", "STREAM.MSG.DELETE.PSP", "STREAM.UPDATE.PSP"):
        answer = await thief.ask(f"$JS.API.{call}", b'{"seq":1,"name":"PSP","subjects":["psp.>"]}')
        assert "success" not in answer, answer


async def _protected(thief: Thief) -> None:
    host = host_state(())
    for address in sorted({*host.own, *host.protected})[:200]:
        if "%" not in address:
            await thief.ban(address)


async def _everybody(thief: Thief) -> None:
    for address in ("0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "10.0.0.1", "::", "fe80::1", "fd00::1"):
        await thief.ban(address)


async def _networks(thief: Thief) -> None:
    for address, prefix in (("45.0.0.0/8", 8), ("45.92.0.0", 8), ("0.0.0.0", 0), ("2a00::", 16), ("45.92.0.0/24", 32)):
        await thief.ban(address, prefix=prefix or 1)


async def _replay(thief: Thief) -> None:
    payload = encode(BanMessage(1, thief.stamp(), Ban("45.93.1.1", 32, True, "port_scan", "syn", now_us())))
    await thief.state()
    await thief.live(payload)


async def _malformed(thief: Thief) -> None:
    for payload in (b"", b"{", b"\xff" * 400, b"[" * 500, b'{"version":1}', b"null", b'{"version":1e999}'):
        await thief.live(payload)


async def _text(thief: Thief) -> None:
    line = '45.94.1.1","verdict":"ban","x":"\n{"timestamp":"","event_type":"scan","verdict":"ban"}'
    for address in (line, "45.94.1.1\n", "$(reboot)", "\x1b[2J", "45.94.1.1 "):
        await thief.ban(address)


async def _large(thief: Thief) -> None:
    await thief.live(b"x" * 1_000_000)
    await thief.client.publish(f"psp.state.{THIEF}", b"[" * 1_000_000)


async def _list(thief: Thief) -> None:
    await thief.state(*(f"45.95.{number // 250}.{number % 250}" for number in range(MOST_BANS)))


async def _many(thief: Thief) -> None:
    for number in range(100_000):
        await thief.ban(f"45.{96 + number // 65_536}.{number // 256 % 256}.{number % 256}")
        if number % 500 == 0:
            await thief.client.flush(30)


async def _junk(thief: Thief) -> None:
    for _ in range(20_000):
        await thief.live(b"x")


async def _foreign_ban(thief: Thief) -> None:
    await thief.live(
        encode(BanMessage(1, thief.stamp(), Ban("45.92.1.1", 32, True, "trap", "syn", now_us() * 2))), HONEST
    )


async def _each(thief: Thief, addresses: Sequence[str]) -> None:
    for address in addresses:
        await thief.ban(address)


ATTACKS = (
    Attack("a ban in the name of another host", _foreign_ban, "permissions violation"),
    Attack("lift the bans of another host", lambda thief: thief.state(name=HONEST), "permissions violation"),
    Attack("a roster", lambda thief: thief.client.publish("psp.roster", b"{}"), "permissions violation"),
    Attack(
        "rollup: one header that replaces all that is kept",
        lambda thief: thief.state(headers={"Nats-Rollup": "all"}),
        "",
    ),
    Attack("purge, delete and change the stream", _purge, "permissions violation"),
    Attack("100 consumers of the stream", _consumers, "permissions violation"),
    Attack(
        "read the answers to another host",
        lambda thief: thief.client.subscribe(f"{inbox(VICTIM)}.>"),
        "permissions violation",
    ),
    Attack("own addresses, gateways, resolvers of the victim", _protected, "must never be banned here"),
    Attack("an address of `ignore`", lambda thief: _each(thief, [IGNORED]), "(ignore_list)"),
    Attack("an address of the allowlist", lambda thief: _each(thief, [ALLOWED]), "(ignore_list)"),
    Attack("an address of `home`", lambda thief: _each(thief, [HOME]), "(home_network)"),
    Attack("a host of the fleet", lambda thief: _each(thief, ["45.33.1.1", "45.33.2.2"]), "allowlist of the fleet"),
    Attack("an address of the fleet's allowlist", lambda thief: _each(thief, ["9.9.9.9"]), "allowlist of the fleet"),
    Attack("0.0.0.0, multicast, loopback, private addresses", _everybody, "not public"),
    Attack("a /8, and other networks", _networks, "none of ours"),
    Attack(
        "a ban from the future", lambda thief: thief.ban("45.92.2.1", issued_us=now_us() + _HOUR_US), "from the future"
    ),
    Attack("an old ban", lambda thief: thief.ban("45.92.3.1", issued_us=now_us() - _HOUR_US), "older than another one"),
    Attack("a ban that is over", lambda thief: thief.ban("45.92.4.1", until_us=now_us() - 1), "that is over"),
    Attack("a recorded ban, sent again", _replay, "older than another one"),
    Attack("malformed payloads", _malformed, "none of ours"),
    Attack("1 MB payloads", _large, "too long"),
    Attack("text for the log, the terminal and the shell", _text, "none of ours"),
    Attack(
        "a ban of ten years", lambda thief: thief.ban("45.92.5.1", until_us=now_us() + 3650 * _DAY_US), "shortened", 1
    ),
    Attack(f"a list of {MOST_BANS} strangers", _list, "new_per_minute", _BURST),
    Attack("100,000 bans", _many, "new_per_minute", _BURST),
    Attack("20,000 messages of junk", _junk, "some are not read"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What an attack achieved."""

    name: str
    banned: int
    most: int
    said: str
    holds: bool

    def cells(self) -> list[str]:
        allowed = f"{self.banned} (the quota permits {self.most})" if self.most else str(self.banned)
        return [self.name, allowed, self.said or "the stream keeps what it has", "yes" if self.holds else "**no**"]


class Suite:
    """The fleet with a thief in it."""

    def __init__(self, lab: FleetLab) -> None:
        self.lab = lab
        self.victim, self.honest = lab.hosts[VICTIM], lab.hosts[HONEST]
        self._marks = 0

    async def play(self) -> list[Row]:
        """Every attack, one after the other."""
        self.honest.scan(HELD)
        self.victim.wait_for_line(src_ip=HELD)
        faults = list[str]()

        async def fault(error: Exception) -> None:
            faults.append(str(error).lower())

        async with client(self.lab.operator / "hosts" / f"{THIEF}.json", error_cb=fault) as opened:
            thief = Thief(opened, faults)
            return [await self._played(attack, thief) for attack in ATTACKS]

    async def _played(self, attack: Attack, thief: Thief) -> Row:
        thief.faults.clear()
        before = self._by_thief()
        await attack.run(thief)
        await thief.client.flush(60)
        await asyncio.to_thread(self._settle)
        banned = len(self._by_thief() - before)
        said = await asyncio.to_thread(self._said, attack, thief)
        holds = (
            banned <= attack.most
            and (bool(said) or not attack.says)
            and self.victim.runs()
            and self.honest.runs()
            and not self.victim.lines(src_ip=HELD, state="withdrawn")
            and await self._roster_is_kept(thief)
        )
        return Row(attack.name, banned, attack.most, said.rpartition("agent:")[2], holds)

    def _said(self, attack: Attack, thief: Thief) -> str:
        """The line about an attack: the victim looks once a second whether there is something to say."""
        if not attack.says:
            return ""

        def look() -> str | None:
            lines = [*thief.faults, *self.victim.said().splitlines()]
            return next((line for line in lines if attack.says in line), None)

        try:
            return wait_for(look, attack.says)
        except AssertionError:
            return ""

    async def _roster_is_kept(self, thief: Thief) -> bool:
        found = await thief.client.request("$JS.API.DIRECT.GET.PSP.psp.roster", b"", timeout=10)
        return b"signature" in found.data

    def _settle(self) -> None:
        """Wait until the victim has taken what was sent before."""
        self._marks += 1
        mark = f"45.99.{self._marks}.1"
        self.honest.scan(mark)
        self.victim.wait_for_line(src_ip=mark)

    def _by_thief(self) -> set[str]:
        return {line["src_ip"] for line in self.victim.lines(verdict="ban") if THIEF in line["reporters"]}


def latencies(lab: FleetLab, count: int) -> list[float]:
    """Seconds from a line of the sensor to the line at another host, by the clock that both have."""
    honest, victim = lab.hosts[HONEST], lab.hosts[VICTIM]
    found = []
    for number in range(count):
        address = f"45.98.{number // 250}.{number % 250}"
        begun = now_us()
        honest.scan(address)
        line = victim.wait_for_line(src_ip=address)
        found.append((time_us(line["timestamp"]) - begun) / 1e6)
    return found


def version(broker: Path) -> str:
    return subprocess.run([broker, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def make_lab(folder: Path, broker: Path = BROKER, *, plain: bool = False) -> FleetLab:
    """A fleet of which one host is the thief's."""
    lab = FleetLab(folder, (VICTIM, HONEST, THIEF), broker, addresses=("127.0.0.1",) if plain else (), plain=plain)
    lab.allow("9.9.9.0/24")
    lab.start_broker()
    lab.publish()
    for name in (VICTIM, HONEST):
        lab.host(name, ignore=[IGNORED], home=[str(ip_network(HOME))], allowed=[ALLOWED], **QUOTA)
    lab.hosts[HONEST].scan("45.66.1.1")
    lab.hosts[VICTIM].wait_for_line(src_ip="45.66.1.1")
    return lab


def measure(folder: Path, broker: Path) -> Measured:
    """Every attack, and what it achieved."""
    lab = make_lab(folder, broker)
    try:
        seconds = latencies(lab, _COUNT)
        rows = asyncio.run(Suite(lab).play())
    finally:
        lab.close()
    head = ("attack", "sources banned at the victim", "said in one line", "holds")
    measured = f"From the line of one sensor to the line of another host, over {len(seconds)} bans: {spread(seconds)}."
    paragraphs = (
        described(),
        f"The broker is nats-server {version(broker)}. {measured}",
        f"{sum(row.holds for row in rows)} of {len(rows)} attacks have no effect beyond the quota.",
        table(head, [row.cells() for row in rows]),
    )
    return Measured("\n\n".join(paragraphs), all(row.holds for row in rows))


def on_old_broker(folder: Path, broker: Path) -> tuple[str, str, str]:
    """The same without TLS, which old brokers cannot begin with: version, what a host says of it, what holds."""
    lab = make_lab(folder, broker, plain=True)
    try:
        rows = asyncio.run(Suite(lab).play())
        said = next((line for line in lab.hosts[VICTIM].said().splitlines() if "the broker is nats" in line), "")
    finally:
        lab.close()
    broken = [row.name for row in rows if not row.holds]
    result = f"{len(rows) - len(broken)} of {len(rows)}" + (f"; not: {', '.join(broken)}" if broken else "")
    return version(broker), said.rpartition("agent:")[2], result
