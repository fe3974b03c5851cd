"""Trap: a decoy port, which nobody has a reason to touch, was touched (portsentry, portanoia)."""

from portsentry_py.finding import Finding
from portsentry_py.ledger import SourceRecord
from portsentry_py.settings import Traps
from portsentry_py.sighting import Kind, Sighting


class TrapDetector:
    """Every touch of a decoy port is evidence.

    One packet can be forged in anybody's name, so one touch bans only a source that has proved itself, or
    where the operator chose the peers' behaviour. A touch counts once it is known that nobody serves it.
    """

    technique = "trap"

    def __init__(self, settings: Traps) -> None:
        self._ports = {"tcp": settings.tcp, "udp": settings.udp}
        self._ban_at = 1 if settings.ban_on == "first" else 2

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.kind not in {Kind.REFUSED, Kind.SILENT} or sighting.direction != "inbound":
            return None
        if sighting.port not in self._ports.get(sighting.proto, ()):
            return None
        record.trap_touches += 1
        return Finding(
            technique=self.technique,
            sighting=sighting,
            record=record,
            scan_type=sighting.scan_type,
            bannable=record.trap_touches >= self._ban_at or record.verified,
            reason="decoy_port",
            weight=record.trap_touches,
        )
