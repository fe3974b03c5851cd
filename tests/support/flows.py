"""A flow table, and what it says of packets."""

import struct
from collections.abc import Iterable, Sequence

from portsentry_py.config.settings import Limits
from portsentry_py.core.flows import FlowTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ICMP, ICMPV6, SCTP, Packet
from portsentry_py.core.protocols import Protocols
from portsentry_py.core.sighting import Kind, Sighting
from tests.support.build import US, Sent, micros

Step = tuple[Kind, str, int]
PROOFS = {Kind.PROVEN, Kind.SESSION}
NETWORK6 = "2001:db8:bad::/64"
NEIGHBOUR6 = "2001:db8:bad::77"
REFUSED_PROBE = [Kind.PROBE, Kind.REFUSED]
REPLAY = HostState(own=US.own, peers_known=False)


def table(host: HostState = US, limits: Limits | None = None) -> FlowTable:
    flows = FlowTable(limits or Limits())
    flows.set_host(host)
    return flows


def observe(flows: FlowTable, packet: Packet) -> Sequence[Sighting]:
    """The sightings that one packet makes."""
    return Protocols(flows).observe(packet)


def sightings(flows: FlowTable, *traffic: Sent | Iterable[Sent]) -> list[Sighting]:
    """All sightings of the traffic, with those of the time before each packet."""
    seen: list[Sighting] = []
    for some in traffic:
        for sent in [some] if isinstance(some, Sent) else some:
            seen += flows.advance(sent.time_us)
            seen += observe(flows, sent.packet)
    return seen


def steps(flows: FlowTable, *traffic: Sent | Iterable[Sent]) -> list[Step]:
    return [(one.kind, one.source, one.port) for one in sightings(flows, *traffic)]


def kinds(flows: FlowTable, *traffic: Sent | Iterable[Sent]) -> list[Kind]:
    return [kind for kind, _, _ in steps(flows, *traffic)]


def silent(seen: Iterable[Sighting]) -> set[int]:
    return {one.port for one in seen if one.kind is Kind.SILENT}


def icmp(src: str, dst: str, kind: int, *, at: float = 0) -> Sent:
    """An ICMP or ICMPv6 message without a quotation."""
    return Sent(micros(at), src, dst, ICMPV6 if ":" in src else ICMP, bytes([kind, 0, 0, 0, 0, 0, 0, 0]))


def sctp(src: str, dst: str, src_port: int, dest_port: int, chunk: int, *, at: float = 0) -> Sent:
    """An SCTP packet whose first chunk is of that type."""
    head = struct.pack("!HHII", src_port, dest_port, 0, 0)
    return Sent(micros(at), src, dst, SCTP, head + bytes([chunk, 0, 0, 4]))
