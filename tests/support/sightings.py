"""Sightings, as the flow table gives them to the source table."""

from portsentry_py.config.settings import Limits
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.core.source_table import SourceTable
from portsentry_py.events.model import Direction, Proto, ScanType
from tests.support.build import HOST, SCANNER, SECOND_US, START_US, syn


def sighting(
    kind: Kind,
    port: int,
    *,
    source: str = SCANNER,
    target: str = HOST,
    proto: Proto = "tcp",
    scan_type: ScanType = "syn",
    at: float = 0,
    direction: Direction = "inbound",
    ttl: int = 64,
    seq: int = 0,
    home_known: bool = True,
) -> Sighting:
    """A sighting of a raw SYN; no sequence number, so that equal probes are no twins."""
    packet = syn(source, port)[0].packet._replace(ttl=ttl, seq=seq)
    return Sighting(
        kind=kind,
        time_us=START_US + round(at * SECOND_US),
        source=source,
        target=target,
        port=port,
        proto=proto,
        scan_type=scan_type,
        direction=direction,
        packet=packet,
        home_known=home_known,
    )


def noted(*sightings: Sighting, limits: Limits | None = None) -> tuple[SourceTable, SourceRecord]:
    """A table with these sightings in it, and the record of the last one's source."""
    table = SourceTable(limits or Limits())
    record = [table.update(one) for one in sightings][-1]
    return table, record


def probes(*ports: int, at: float = 0, ttl: int = 64) -> list[Sighting]:
    return [sighting(Kind.PROBE, port, at=at, ttl=ttl) for port in ports]


def proof(ttl: int = 64, at: float = 0) -> list[Sighting]:
    """Was on a served port, acknowledged what we sent, and left."""
    return [sighting(Kind.SERVED, 80, ttl=ttl, at=at), sighting(Kind.PROVEN, 80, ttl=ttl, at=at)]
