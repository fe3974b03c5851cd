"""A row of the page: a scan, how it is sent, and what is expected of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tests.lab.attacks.attack import Sent
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FOUR, SIX
from tests.lab.attacks.tape import Tape
from tests.support.namespaces import IFACE, ip
from tests.support.sensor import Line

Expected = Literal["ban", "watch", "unseen"]
PORTS = "600-639"
"""Forty ports that nobody serves and that are no traps."""
_FEW = 8
_UNANSWERED = "The kernel drops it and answers nothing, so the scanner learns nothing either."
_OPTIONS = ("-n", "-Pn", "--disable-arp-ping", "-T4", "--max-retries", "1", "--host-timeout", "60s")


@dataclass(frozen=True)
class Party:
    """Who scans, from where: addresses that no row before had.

    Attributes:
        wire: the hosts.
        source: the scanner's address.
        other: a second address of it, in another network.
        target: the victim's.
        ports: forty that nobody serves and no other row asks for: rows that send the same would look like one sender
            with spoofed twins.
    """

    wire: Wire
    source: str
    other: str
    target: str
    ports: range

    def nmap(self, words: str, *, ports: str = PORTS) -> None:
        """Run nmap against the target, without names, host discovery and pauses; `ports` may be empty."""
        chosen = ("-p", ports) if ports else ()
        family = ("-6",) if ":" in self.target else ()
        self.wire.run("nmap", *family, *_OPTIONS, *chosen, *words.split(), self.target)

    def run(self, *command: str) -> None:
        """Run another tool; its exit code tells of lost answers, not of a failure."""
        self.wire.run(*command, tolerant=True)

    def send(self, packets: Iterable[Sent], *, every: float = 0.002) -> None:
        """Send packets as they are."""
        self.wire.scan(*packets, every=every)


@dataclass(frozen=True)
class Row:
    """A scan.

    Attributes:
        group: the table that it is in.
        command: what a person would type, or what is sent, in words.
        live: sends it between namespaces; None for a row in simulated time.
        replayed: sends it in a capture with simulated time.
        family: 4 or 6.
        expected: the verdict at least.
        why: the reason, where `ban` is not expected.
        has_ports: whether it asks for the ports of its party, so that what the victim tells about them is known.
    """

    group: str
    command: str
    live: Callable[[Party], None] | None = None
    replayed: Callable[[Tape], None] | None = None
    family: int = 4
    expected: Expected = "ban"
    why: str = ""
    has_ports: bool = False


@dataclass(frozen=True)
class Seen:
    """What the sensor said about the scanner of a row.

    `learned` are the ports about which the victim told it something; None where that is not known.
    """

    row: Row
    lines: tuple[Line, ...]
    learned: int | None = None

    @property
    def verdict(self) -> str:
        """The worst of its lines."""
        verdicts = {line["verdict"] for line in self.lines}
        return next((word for word in ("ban", "watch", "ignore") if word in verdicts), "unseen")

    @property
    def first(self) -> Line | None:
        """The first line with the verdict."""
        return next((line for line in self.lines if line["verdict"] == self.verdict), None)

    @property
    def is_expected(self) -> bool:
        """Whether the scanner got the verdict that is expected, or a worse one."""
        order = ("ban", "watch", "ignore", "unseen")
        return self.is_unanswered or order.index(self.verdict) <= order.index(self.row.expected)

    @property
    def is_unanswered(self) -> bool:
        """Whether the victim told the scanner nothing."""
        return self.learned is not None and self.learned < _FEW

    @property
    def why(self) -> str:
        """The reason of a verdict that is no ban."""
        if self.verdict == "ban":
            return ""
        if self.is_unanswered:
            return _UNANSWERED
        return self.row.why or (self.first or {"reason": ""})["reason"]


def party(wire: Wire, number: int, family: int) -> Party:
    """A scanner with addresses of its own, each in a network that no other row uses."""
    if family == 4:
        source, other, target = f"198.18.{number}.66", f"198.19.{number}.67", FOUR.victim
    else:
        source, other = (f"2001:db8:{start + number:x}:1::66" for start in (0x1000, 0x2000))
        target = SIX.victim
    wire.own(source)
    wire.own(other)
    ip("-n", wire.lab.scanner.namespace, "route", "replace", target, "dev", IFACE, "src", source)
    return Party(wire, source, other, target, ports_of(number))


def ports_of(number: int) -> range:
    """The ports of the row of that number."""
    return range(10_000 + 50 * number, 10_040 + 50 * number)
