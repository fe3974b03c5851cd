"""What this host asked for: whom it queried, who may answer late, and whose answers look like probes.

Every question of the form "may this packet be an answer?" is a look-up here. Nothing that an outsider sends makes an
entry; only packets of ours do, and refusals of ours.
"""

from dataclasses import dataclass, field
from typing import Literal

from portsentry_py.core.host_state import wide_network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import TCP, UDP, Packet

ServerKind = Literal["resolver", "ntp_server", "dhcp_server"]

# A connection that has just ended: the peer may still check who called it, and send what it had on the way.
_CONTACT_US = 600_000_000
_SERVER_US = 3_600_000_000
_SERVERS: dict[int, ServerKind] = {53: "resolver", 67: "dhcp_server", 123: "ntp_server", 547: "dhcp_server"}
_MAX_SERVERS = 1024
_MAX_CONTACTS = 16_384
_MAX_REFUSED = 1024
# Late packets of one dead connection, or of a few, come from as many ports of the peer; a scanner that probes
# the range of client ports uses more, or learns nothing.
_MAX_LATE_PORTS = 3
# Reply-looking datagrams that are refused at this many ports of ours, by a source that we never queried, are a scan:
# twice a port scan's number, because an answer to a query before our memory looks the same.
_SCAN_PORTS = 16
# Answers that others asked for in our name (reflection) come from many networks at once.
_REFLECTED_PORTS = 4
_REFLECTING_NETWORKS = 3
_REFLECTION_US = 60_000_000


@dataclass(slots=True)
class _Refused:
    """Reply-looking probes of one source that we refused, the first at each port, and whether they count as a scan."""

    probes: dict[tuple[int, str, int], Packet] = field(default_factory=dict)
    last_us: int = 0
    are_counted: bool = False


class Expectations:
    """The look-ups, bounded; the least recently used entry goes first."""

    def __init__(self, max_addresses: int) -> None:
        self._queried: LruTable[str, bool] = LruTable(max_addresses)  # a set with an order
        self.is_queried = self._queried.holds
        """Whether we sent an address something that it may answer."""
        self._servers: LruTable[str, tuple[ServerKind, int]] = LruTable(_MAX_SERVERS)
        self._contacts: LruTable[str, int] = LruTable(_MAX_CONTACTS)
        self._late_ports: LruTable[str, frozenset[int]] = LruTable(max_addresses)
        self._refused: LruTable[str, _Refused] = LruTable(_MAX_REFUSED)

    def query(self, address: str) -> None:
        """We sent the address something new."""
        self._queried.put(address, True)

    def answer(self, packet: Packet) -> None:
        """The packet answers something that we sent."""
        if packet.proto == TCP:
            self.contact(packet.src, packet.time_us)
        elif packet.proto == UDP and packet.src_port in _SERVERS:
            self._servers.put(packet.src, (_SERVERS[packet.src_port], packet.time_us))

    def contact(self, address: str, now_us: int) -> None:
        """A connection with the address is open, or has just ended."""
        self._contacts.put(address, now_us)

    def is_contact(self, address: str, now_us: int) -> bool:
        """Whether a connection with the address is or was just open."""
        contact_us = self._contacts.peek(address)
        return contact_us is not None and abs(now_us - contact_us) <= _CONTACT_US

    def server(self, address: str, now_us: int) -> ServerKind | None:
        """The kind of server, if the address answered a query of ours within the last hour."""
        kind, answered_us = self._servers.peek(address) or (None, 0)
        return kind if abs(now_us - answered_us) <= _SERVER_US else None

    def is_late(self, segment: Packet, local_ports: range) -> bool:
        """Whether a TCP segment that we reset may belong to a connection of ours that is gone.

        After a crash or a restart of this host its peers go on sending to its client ports.
        """
        if segment.dest_port not in local_ports:
            return False
        ports = (self._late_ports.touch(segment.src) or frozenset()) | {segment.src_port}
        if len(ports) > _MAX_LATE_PORTS:
            return False
        self._late_ports.put(segment.src, ports)
        return True

    def refused(self, source: str, probe: Packet) -> tuple[Packet, ...]:
        """We refused a probe that looks like a reply, of a source that we never queried.

        Returns:
            The probes that count from now on, those before it included; none while they are too few, or while so
            many networks send such packets that others must have queried them in our name.
        """
        kept = self._refused.touch(source)
        if kept is None:
            kept = _Refused()
            self._refused.put(source, kept)
        kept.last_us = probe.time_us
        if len(kept.probes) < _SCAN_PORTS:
            kept.probes[probe.proto, probe.dst, probe.dest_port] = probe
        if len(kept.probes) < _SCAN_PORTS or self._is_reflection(probe.time_us):
            return ()
        before, kept.are_counted = kept.are_counted, True
        return (probe,) if before else (*(one for one in kept.probes.values() if one is not probe), probe)

    def _is_reflection(self, now_us: int) -> bool:
        networks = {
            wide_network_of(source.partition("/")[0])
            for source, kept in self._refused.items()
            if len(kept.probes) >= _REFLECTED_PORTS and abs(now_us - kept.last_us) <= _REFLECTION_US
        }
        return len(networks) >= _REFLECTING_NETWORKS
