"""The nouns of the suite: an attack, the stage on which it is played, and what was observed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.lab.attacks.wire.ip import Frame, Packet
from tests.support.sensor import Line

Sent = Packet | Frame
SERVED_TCP, SERVED_UDP = (22, 80, 443, 3000, 8080), (1194, 5353)
BLIND = "blind"
"""The fact that a live sensor no longer sees what comes, or has ended."""
PORTS = range(600, 700)
"""A hundred ports that nobody serves and that are no traps."""


class Stage(Protocol):
    """Where an attack happens: between namespaces (`live`) or in a capture file (`replay`)."""

    facts: dict[str, Any]
    """What the attack itself measured; `expectation` reads it."""

    def send(self, *packets: Sent, every: float = 0.002) -> None:
        """The attacker sends packets: those that the attack needs. They are counted."""

    def scan(self, *packets: Sent, every: float = 0.002) -> None:
        """Send the probes of a scan that follows. They are not counted."""

    def pause(self, seconds: float) -> None:
        """Let time pass, with the victim's ordinary traffic in it."""

    def visit(self, guest: str, sessions: int, *, port: int = 80, every: float = 0.05) -> None:
        """Open and close real TCP sessions with a served port of the victim."""

    def ask(self, server: str, port: int = 53) -> None:
        """The victim sends a datagram to a server, which answers from that port."""


Play = Callable[[Any], None]
"""Plays on a stage: a `Tape`, a `Wire`, or either."""


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        name: begins with its class; `expected.py` knows it by this name.
        gain: what the attacker gains if it works, in one sentence.
        play: does it.
        way: `replay` or `live`.
        forges: whether its packets carry somebody else's address, so that an innocent may be banned.
        settings: of the sensor, where they are not the defaults.
        home: addresses and networks that are the victim's, for a replay.
        starts: whether a sensor runs before the attack begins (live).
    """

    name: str
    gain: str
    play: Play
    way: str = "replay"
    forges: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    home: tuple[str, ...] = ("203.0.113.1", "203.0.113.250", "2001:db8:113::1")
    starts: bool = True


@dataclass(frozen=True)
class Observed:
    """What an attack led to.

    Args:
        lines: all of the sensor's.
        packets: that the attack needed.
        banned: for each mode of the shipped filter, the addresses and networks that it takes from the lines.
        learned: ports about which the victim told the attacker something; None where nobody looked.
        facts: what the attack measured.
        diagnostics: the sensor's stderr.
        code: the sensor's exit code.
        sent: when the attacker sent each packet, in seconds since 1970 (replay).
        fewest: for each mode, the smallest number of packets that bans an innocent; empty if none does.
    """

    lines: Sequence[Line]
    packets: int
    banned: Mapping[str, frozenset[str]]
    learned: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: str = ""
    code: int = 0
    sent: Sequence[float] = ()
    fewest: Mapping[str, int] = field(default_factory=dict)

    @property
    def evidence(self) -> list[Line]:
        """The lines about sources that scan or touch traps."""
        return [line for line in self.lines if line["event_type"] in {"scan", "trap"}]
