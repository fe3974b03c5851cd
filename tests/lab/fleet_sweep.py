"""Simulates fleets that see together: what a sweep must do to be named, who else is, and what it costs a host.

    python -m tests.lab.fleet_sweep [--hosts N ...] [-o DIR]

Every host has the sending side of the product, and one of them the receiving side, which reads what all others read.
Exits with 1 if something is not as promised.
"""

import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, ip_network
from itertools import count
from typing import Any

from portsentry_py.config.settings import Fleet
from portsentry_py.events.model import utc
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.contacts import Contacts, contact_of
from portsentry_py.fleet.messages import Contact, encode
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.receiver import Receiver
from portsentry_py.fleet.roster import Roster
from portsentry_py.report.log_reader import read_event
from tests.lab.support import program
from tests.lab.support.machine import described
from tests.lab.support.page import put
from tests.lab.support.tables import table
from tests.support.log_lines import line

PAGE = "fleet-sweep.md"
SIZES = (100, 1000, 10_000)
START_US = 1_795_000_000_000_000 // 3_600_000_000 * 3_600_000_000
_SECOND_US = 1_000_000
_HOUR = 3600
_WARM, _LAST = _HOUR // 2, 9 * _HOUR // 4
# What reaches a host in an hour: scanners that visit every address three times a day, bots that ask at random, and
# strays that nobody sees twice.
_SCANNERS, _VISITS_PER_HOUR = 400, 1 / 8
_BOTS, _BOTS_PER_HOUR = 200_000, 200
_STRAYS_PER_HOUR = 50
NOISE_PER_HOUR = _SCANNERS * _VISITS_PER_HOUR + _BOTS_PER_HOUR + _STRAYS_PER_HOUR
_CRAWLERS, _FORGED = 50, 200
MUST_BE_NAMED = {"1,000 hosts a second": 0.001, "1 host a second": 1.0}
GAPS = MUST_BE_NAMED | {"1 host a minute": 60.0, "1 host in 20 minutes": 1200.0, "1 host an hour": 3600.0}
PROVEN = "1 host a minute, banned with a proof by one"
CRAWLER, MONITOR, FORGED = "crawlers", "monitor of a port that is closed everywhere", "forged innocents"
Knock = tuple[float, int, Contact]
"""When, at which host, and what."""


@dataclass(slots=True)
class Watched:
    """A source that is looked for: when it began, when it was named, and how many hosts it had asked by then."""

    begun: float
    asked: int = 0
    named: float = 0.0
    asked_then: int = 0
    verdict: str = ""


@dataclass(slots=True)
class Result:
    """What one fleet did.

    Attributes:
        offered: contacts that the hosts took.
        sent: of these, published.
        messages: messages that each host reads.
        size: their bytes.
        cpu: seconds that the reading took one host.
        table: bytes of the table of one host, and the sources in it.
        watched: the sources that are looked for, by name.
        groups: the others that were named, by group and verdict.
        lines: that one host wrote.
        refused: what a host refused, by the cause.
    """

    hosts: int
    offered: int = 0
    sent: int = 0
    messages: int = 0
    size: int = 0
    cpu: float = 0.0
    table: tuple[int, int] = (0, 0)
    watched: dict[str, Watched] = field(default_factory=dict)
    groups: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    lines: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class Simulation:
    """One fleet of this size."""

    def __init__(self, hosts: int, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._addresses = map(str, map(IPv4Address, count(int(IPv4Address("20.0.0.1")))))
        names = [f"h{number}" for number in range(hosts)]
        first = int(IPv4Address("45.0.0.1"))
        roster = Roster(1, {name: ip_network(first + number * 256) for number, name in enumerate(names)})
        self._names = names
        self._senders = [Contacts(b"", self._chance.randrange) for _ in names]
        self.receiver = Receiver(Fleet(mode="ban"), names[0])
        self.receiver.set_roster(roster, START_US)
        self.receiver.set_protection(Protection(), START_US)
        self._group_of: dict[str, str] = {}
        self._watched_as: dict[str, str] = {}
        self.result = Result(hosts)

    def run(self) -> Result:
        """Live through the time."""
        planned = self._plan()
        noise = self._noise()
        step = max(1, self.result.hosts // 2500)
        for second in range(0, _LAST, step):
            now_us = START_US + second * _SECOND_US
            while planned and planned[0][0] < second + step:
                self._knock(planned.popleft(), now_us)
            for knock in noise(second, step):
                self._knock(knock, now_us)
            self._send(now_us)
            self.receiver.tick(now_us)
        sources = len(self.receiver.sweeps.table)
        self.result.table = deep_size(self.receiver.sweeps.table), sources
        self.result.refused = {why: number for (_, why), number in self.receiver.refusals.counts.items()}
        return self.result

    def _plan(self) -> deque[Knock]:
        """The knocks of those who are looked for, in order."""
        found: list[Knock] = []
        for name, gap in GAPS.items():
            self._sweep(found, name, gap)
        proof = self._sweep(found, PROVEN, 60)
        found.append((_WARM, 0, Contact(proof, 22, "syn", True)))
        hosts, chance = range(self.result.hosts), self._chance
        # A name of a site that moved away leads to one host that serves none.
        found += [(_WARM, chance.choice(hosts), self._new(CRAWLER, 443)) for _ in range(_CRAWLERS)]
        monitor = self._new(MONITOR, 8080)
        found += [(_WARM + chance.random() * 300, host, monitor) for host in hosts]
        for number in range(_FORGED):
            innocent = self._new(FORGED, 23)
            found += [(_WARM + 60 + number * 10, host, innocent) for host in chance.sample(hosts, 5)]
        return deque(sorted(found, key=lambda knock: knock[0]))

    def _sweep(self, found: list[Knock], name: str, gap: float) -> str:
        contact = Contact(next(self._addresses), 22, "syn", False)
        self._watched_as[contact.address] = name
        self.result.watched[name] = Watched(_WARM)
        order = self._chance.sample(range(self.result.hosts), self.result.hosts)
        for number, host in enumerate(order):
            if _WARM + number * gap >= _LAST:
                break
            found.append((_WARM + number * gap, host, contact))
        return contact.address

    def _new(self, group: str, port: int) -> Contact:
        contact = Contact(next(self._addresses), port, "syn", False)
        self._group_of[contact.address] = group
        return contact

    def _noise(self) -> Callable[[int, int], Iterator[Knock]]:
        scanners = [self._new("scanners of the whole internet", 22) for _ in range(_SCANNERS)]
        bots = [self._new("bots", 23) for _ in range(_BOTS)]
        hosts, chance = self.result.hosts, self._chance
        rates = (_SCANNERS * _VISITS_PER_HOUR, _BOTS_PER_HOUR, _STRAYS_PER_HOUR)

        def of(second: int, step: int) -> Iterator[Knock]:
            for kind, rate in enumerate(rates):
                mean = rate * hosts * step / _HOUR
                for _ in range(max(0, round(chance.gauss(mean, mean**0.5)))):
                    if kind == 2:
                        contact = Contact(next(self._addresses), 445, "syn", False)
                    else:
                        contact = chance.choice(bots if kind else scanners)
                    yield second, chance.randrange(hosts), contact

        return of

    def _knock(self, knock: Knock, now_us: int) -> None:
        _, host, contact = knock
        self.result.offered += 1
        name = self._watched_as.get(contact.address)
        if name is not None:
            self.result.watched[name].asked += 1
        self._senders[host].take(contact, now_us)
        if host == 0:
            self._note(self.receiver.take_own(contact, now_us), now_us)

    def _send(self, now_us: int) -> None:
        hosts, sweeps, result = self.result.hosts, self.receiver.sweeps, self.result
        for name, sender in zip(self._names, self._senders, strict=True):
            # The table of one host stands for those of all: they heard the same.
            batch = sender.batch(now_us, hosts, partial(sweeps.rank, host=name))
            if batch is None:
                continue
            payload = encode(batch)
            result.sent += len(batch.contacts)
            result.messages += 1
            result.size += len(payload)
            begun = time.process_time()
            changes = self.receiver.take("seen", name, payload, now_us)
            result.cpu += time.process_time() - begun
            self._note(changes, now_us)

    def _note(self, changes: list[Change], now_us: int) -> None:
        for change in changes:
            self.result.lines += 1
            verdict = "watch" if change.is_doubtful else "ban"
            name = self._watched_as.get(change.ban.address)
            if name is not None:
                one = self.result.watched[name]
                one.verdict = verdict if one.verdict != "ban" else "ban"
                if not one.named:
                    one.named, one.asked_then = (now_us - START_US) / _SECOND_US, one.asked
                continue
            group = self.result.groups.setdefault(self._group_of.get(change.ban.address, "strays"), {})
            group.setdefault(verdict, set()).add(change.ban.address)


def deep_size(thing: Any) -> int:
    """The bytes of an object and of all that it alone holds."""
    seen: set[int] = set()

    def size(one: Any) -> int:
        if id(one) in seen or isinstance(one, type):
            return 0
        seen.add(id(one))
        total = sys.getsizeof(one)
        if isinstance(one, dict):
            total += sum(size(key) + size(value) for key, value in one.items())
        elif isinstance(one, (tuple, list)):
            total += sum(map(size, one))
        slots: Iterable[str] = getattr(type(one), "__slots__", ()) or getattr(type(one), "__struct_fields__", ())
        names = [*vars(one)] if hasattr(one, "__dict__") else [*slots]
        return total + sum(size(getattr(one, name)) for name in names)

    return size(thing)


def fullest(hosts: int = 10_000) -> int:
    """The bytes of a table of one host that cannot hold more: two hours of sources that twenty hosts met."""
    simulation = Simulation(6)
    sweeps = simulation.receiver.sweeps
    witnesses = [(f"h{number}", f"45.0.{number}.0/24") for number in range(hosts)]
    addresses = map(str, map(IPv4Address, count(int(IPv4Address("20.0.0.1")))))
    for hour in range(2):
        for number in range(65_536):
            contact = Contact(next(addresses), 22, "syn", False)
            for place in range(20):
                witness = witnesses[(number + place) % hosts]
                sweeps.table.add(contact.address, witness, contact, START_US + hour * _HOUR * _SECOND_US, proven=False)
    return deep_size(sweeps.table)


def cost_of_a_line(lines: int = 5000) -> float:
    """The seconds that a line of the log costs its own host, from its bytes to the sending side."""
    simulation, sender = Simulation(100), Contacts(b"", random.randrange)
    words = {"event_type": "connection", "verdict": "none", "technique": "none", "outcome": "refused", "src_port": 4}
    texts = [
        line(timestamp=utc(START_US), src_ip=f"20.9.{number // 250}.{number % 250}", **words) for number in range(lines)
    ]
    begun = time.process_time()
    for text in texts:
        contact = contact_of(read_event(text), START_US)
        assert contact is not None
        if simulation.receiver.counts(contact):
            sender.take(contact, START_US)
            simulation.receiver.take_own(contact, START_US)
    return (time.process_time() - begun) / lines


def holds(result: Result) -> bool:
    """Whether sweeps are named, and nobody who can be forged or is innocent is banned."""
    sweeps = result.watched
    named = all(sweeps[name].verdict == "watch" for name in MUST_BE_NAMED)
    innocent = CRAWLER not in result.groups and all("ban" not in verdicts for verdicts in result.groups.values())
    return named and innocent and sweeps[PROVEN].verdict == "ban" and "strays" not in result.groups


def described_costs(results: Sequence[Result]) -> str:
    head = (
        *("hosts", "contacts of a host in an hour", "of these published", "messages read a second"),
        *("bytes read a second", "CPU of the reading", "table", "deliveries of the broker a second"),
    )
    rows = []
    for one in results:
        hours = _LAST / _HOUR
        deliveries = one.messages / _LAST * one.hosts
        rows.append(
            (
                f"{one.hosts:,}",
                f"{one.offered / one.hosts / hours:,.0f}",
                f"{one.sent / one.hosts / hours:,.1f}",
                f"{one.messages / _LAST:,.1f}",
                f"{one.size / _LAST:,.0f}",
                f"{100 * one.cpu / _LAST:.2f} % of a core",
                f"{one.table[0] / 2**20:.1f} MiB for {one.table[1]:,} sources",
                f"{deliveries:,.0f} ({one.size / _LAST * one.hosts / 1e6:,.1f} MB)",
            )
        )
    return table(head, rows)


def described_sweeps(results: Sequence[Result]) -> str:
    head = ("one source asks", *(f"{one.hosts:,} hosts" for one in results))
    return table(head, [(name, *(_named(one.watched[name]) for one in results)) for name in results[0].watched])


def _named(one: Watched) -> str:
    if not one.verdict:
        return f"not named ({one.asked} hosts asked)"
    seconds = max(1, one.named - one.begun)
    return f"`{one.verdict}` after {seconds:,.0f} s, {one.asked_then:,} hosts asked"


def described_others(results: Sequence[Result]) -> str:
    groups = (CRAWLER, MONITOR, FORGED, "strays", "bots", "scanners of the whole internet")
    head = ("who", *(f"{one.hosts:,} hosts" for one in results))
    rows = [(group, *(_counted(one.groups.get(group, {})) for one in results)) for group in groups]
    rows.append(("lines of a host in an hour", *(f"{one.lines / _LAST * _HOUR:,.0f}" for one in results)))
    rows.append(("refused by the quota", *(f"{one.refused.get('quota_new', 0):,}" for one in results)))
    return table(head, rows)


def _counted(verdicts: dict[str, set[str]]) -> str:
    return ", ".join(f"{len(sources):,} `{verdict}`" for verdict, sources in verdicts.items()) or "0"


def measure(sizes: Sequence[int]) -> tuple[str, bool]:
    """The text of the page, and whether everything is as promised."""
    results = [Simulation(hosts).run() for hosts in sizes]
    line_cost, table_size = cost_of_a_line(), fullest()
    time_span = f"Simulated: {_LAST / _HOUR:.2f} hours, of which the first half hour is noise alone"
    own = f"A line of its own log costs a host {1e6 * line_cost:.0f} µs."
    parts = (
        described(),
        f"{time_span}: {NOISE_PER_HOUR:.0f} contacts of each host in an hour.\n",
        described_sweeps(results),
        "Who else is named:\n",
        described_others(results),
        described_costs(results),
        f"{own} A table that is full takes {table_size / 2**20:.0f} MiB.",
    )
    text = "\n".join(parts)
    return text, all(map(holds, results))


def main(words: Sequence[str], measured: Callable[[Sequence[int]], tuple[str, bool]] = measure) -> int:
    """Simulate them, and write the page."""
    made = program.parser("fleet_sweep", __doc__ or "")
    made.add_argument("--hosts", type=int, nargs="+", default=SIZES, help="sizes of fleets")
    arguments = program.begin(made, words)
    text, is_good = measured(arguments.hosts)
    print(text)
    if arguments.output:
        put(arguments.output / PAGE, "figures", text)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
