"""One row of the drill's table: a technique, and how far it came from the packet to the ban and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from portsentry_py.checks.drill.addresses import network_of
from portsentry_py.checks.drill.techniques import Technique
from portsentry_py.config.settings import Network
from portsentry_py.events.model import EvidenceEvent, TrapEvent

Mark = bool | None
"""True, False, or None for what was not tried."""


@dataclass(slots=True)
class Row:
    """A technique and what was seen of it.

    Attributes:
        source: the address that it came from.
        why_not: why it was not tried; empty if it was.
        begun: when it began, in seconds of the monotonic clock.
        line: the line with the gravest verdict about the source.
        line_seconds, ban_seconds: from the first probe until then; None if it did not come.
        jail: the jail that banned.
        tcp, udp: whether packets of the banned source got no answer, while those of another source did.
        forwarded: forwarded TCP ports that still answered.
        unbanned: whether fail2ban lifted the ban.
        let_in: whether a port answers the source again.
    """

    technique: Technique
    source: str
    target: str
    why_not: str = ""
    begun: float = 0.0
    line: EvidenceEvent | None = None
    line_seconds: float | None = None
    jail: str = ""
    ban_seconds: float | None = None
    tcp: Mark = None
    udp: Mark = None
    forwarded: tuple[int, ...] = ()
    unbanned: Mark = None
    let_in: Mark = None

    @property
    def network(self) -> Network:
        """What a ban of the source holds."""
        return network_of(self.source)

    @property
    def is_named(self) -> bool:
        """Whether the line names the technique."""
        if self.line is None:
            return False
        if self.technique.is_trap:
            return isinstance(self.line, TrapEvent)
        return self.line.scan_type == self.technique.method

    @property
    def verdict(self) -> str:
        """The verdict of the line; empty without one."""
        return self.line.verdict if self.line else ""

    def faults(self, *, armed: bool) -> Iterator[str]:
        """The steps that failed."""
        if self.why_not:
            return
        if self.line is None:
            yield "line"
            return
        if not self.is_named:
            yield "type"
        if self.verdict != "ban":
            yield "verdict"
        elif armed:
            if not self.jail:
                yield "ban"
            elif self.tcp is False or self.udp is False:
                yield "block"
            elif self.forwarded:
                yield "forwarded"
            if self.unbanned is False or self.let_in is False:
                yield "unban"

    def is_unproved(self, *, armed: bool) -> bool:
        """Whether a step could not be tried."""
        return bool(self.why_not) or (armed and bool(self.jail) and (self.tcp is None or self.let_in is None))

    def record(self, *, armed: bool) -> dict[str, Any]:
        """The row for programs."""
        return {
            "technique": self.technique.name,
            "source": self.source,
            "target": self.target,
            "not_tried": self.why_not,
            "line_seen": self.line is not None,
            "line_seconds": self.line_seconds,
            "scan_type": self.line.scan_type if self.line else None,
            "type_right": self.is_named,
            "verdict": self.verdict or None,
            "reason": self.line.reason if self.line else None,
            "jail": self.jail or None,
            "ban_seconds": self.ban_seconds,
            "blocked_tcp": self.tcp,
            "blocked_udp": self.udp,
            "forwarded_ports_open": list(self.forwarded),
            "unbanned": self.unbanned,
            "let_back_in": self.let_in,
            "faults": list(self.faults(armed=armed)),
        }
