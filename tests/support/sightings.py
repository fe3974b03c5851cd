"""Sightings, as the flow table gives them to the source table."""

from __future__ import annotations

from portsentry_py.core.sighting import Kind, Sighting
from tests.support.build import HOST, SCANNER, SECOND_US, START_US, syn


def sighting(
    kind: Kind,
    port: int,
    *,
    source: str = SCANNER,
    target: str = HOST,
    proto: str = "tcp",
    scan_type: str = "syn",
    at: float = 0,
    direction: str = "inbound",
    ttl: int = 64,
    seq: int = 0,
    tunnelled: bool = False,
    home_known: bool = True,
) -> Sighting:
    """A sighting of a raw SYN; no sequence number, so that equal probes are no twins."""
    packet = syn(source, port)[0].packet._replace(ttl=ttl, seq=seq, tunnelled=tunnelled)
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
