"""Trap: a decoy port, which nobody has a reason to touch, was touched (portsentry, portanoia)."""

from portsentry_py.config.settings import Traps
from portsentry_py.core.detectors.base import SETTLED
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord

# An open decoy's answer ends a touch; an acknowledgement of it is proof.
_TOUCHES = SETTLED | {Kind.TRAPPED}
_PROOFS = frozenset({Kind.PROVEN, Kind.SESSION})


class TrapDetector:
    """Every touch of a decoy port is evidence.

    One packet can be forged in anybody's name, so one touch bans only a source that has proved itself, or
    where the operator chose the peers' behaviour. A touch counts once it is known that nobody serves it.
    """

    kinds = _TOUCHES | _PROOFS
    direction = "inbound"

    def __init__(self, settings: Traps) -> None:
        self.ports = {"tcp": settings.tcp, "udp": settings.udp}
        self._ban_at = 1 if settings.ban_on == "first" else 2

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.port not in self.ports.get(sighting.proto, ()):
            return None
        if sighting.kind in _TOUCHES:
            record.trap_touches += 1
        elif record.trap_touches:
            record.trap_answered = True
        else:
            return None
        bannable = record.trap_touches >= self._ban_at or record.verified
        return Finding("trap", sighting, record, sighting.scan_type, bannable, "decoy_port")
