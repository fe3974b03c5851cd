"""Trap: a port that nobody has a reason to touch was touched (portsentry, portanoia)."""

from portsentry_py.config.settings import PortScan, Traps
from portsentry_py.core.detectors.base import SETTLED, Detector
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord

_SCAN_PORTS = PortScan().min_ports


class TrapDetector(Detector):
    """Every touch of a trap port is evidence.

    One packet can be forged in anybody's name, so one touch bans only a source that has proved itself, or
    where the operator chose the peers' behaviour. A touch counts once it is known that nobody serves the
    port; an open trap's answer ends a touch, and an acknowledgement of that answer is proof.
    """

    kinds = SETTLED | {Kind.TRAPPED, Kind.PROVEN, Kind.SESSION}
    is_always_asked = True

    def __init__(self, settings: Traps) -> None:
        self.trap_ports = {"tcp": settings.tcp, "udp": settings.udp}
        self._ban_at = 1 if settings.ban_on == "first" else 2

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if not record.trap_touches or sighting.port not in self.trap_ports.get(sighting.proto, ()):
            return None
        # Datagrams can be forged two by two: without proof, they ban only in the number of a port scan.
        ban_at = _SCAN_PORTS if sighting.proto == "udp" and self._ban_at > 1 else self._ban_at
        weight = len(record.unserved) if ban_at == _SCAN_PORTS else record.trap_touches
        bannable = weight >= ban_at or record.verified
        return Finding("trap", sighting, record, sighting.scan_type, bannable, "decoy_port")
