"""What this host asked for: whom it queried, who may answer late, and whose answers look like probes.

Every question of the form "may this packet be an answer?" is a look-up here. Only packets and refusals of this host
make an entry, but for what an outsider gets excused, which is bounded.
"""

from dataclasses import dataclass, field
from typing import Literal

from portsentry_py.core.allowance import Allowance
from portsentry_py.core.host_state import HostState, network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import FIN, RST, SYN, TCP, UDP, Packet
from portsentry_py.core.probe_types import proto_name
from portsentry_py.core.reflection import FIRST_CLIENT_PORT, Reflection

ServerKind = Literal["resolver", "ntp_server", "dhcp_server"]

# A connection that has just ended: the peer may still check who called it, and send what it had on the way.
_CONTACT_US = 600_000_000
_SERVER_US = 3_600_000_000
_SERVERS: dict[int, ServerKind] = {53: "resolver", 67: "dhcp_server", 123: "ntp_server", 547: "dhcp_server"}
_MAX_SERVERS = 1024
_MAX_CONTACTS = 16_384
# So many answers to one UDP socket of ours: more than a query has, so the peer is one of a game, a call or a tunnel.
_UDP_SESSION_ANSWERS = 3
# Sessions that name ports of the client for further connections or datagrams: FTP (RFC 959, RFC 4217), RTSP (RFC 7826),
# SIP (RFC 3261), H.323. The port of the server, and the protocol of what it sends to the named ports.
_CONTROL_PORTS = {21: TCP, 990: TCP, 554: UDP, 8554: UDP, 1720: UDP, 5060: UDP, 5061: UDP}
_FTP_DATA = 20
# Ports of ours for data or media that are excused of one source. A server whose client drops its data connections gives
# up long before; a scanner has this many ports for nothing.
_MAX_EXCUSED = 64
_EXCUSED_US = 3_600_000_000
_MAX_EXCUSED_SOURCES = 4096
# A socket that sent a datagram may get answers for this long, from anybody: the members of a group (SSDP, mDNS,
# WS-Discovery, SLP, NetBIOS, LLMNR), or other ports and addresses of a server (TFTP, STUN).
_SOCKET_US = 60_000_000
_MAX_SOCKETS = 16_384
# After a crash or a restart of this host, its peers go on sending to its client ports, from the few ports that they
# serve. A scanner that probes the range of client ports uses more ports, or more segments than any pool of connections.
_MAX_LATE_PORTS = 8
_MAX_LATE_SEGMENTS = 512
_LATE_US = 3_600_000_000
_FIRST_DYNAMIC_PORT = 32_768  # where the client ports of a host behind this one begin: Linux, others begin later
_MAX_REFUSED = 1024
_REFUSED_US = 86_400_000_000
# Reply-looking packets that belong to no flow and are refused at this many ports of ours are a scan: twice a port
# scan's number, because an answer to a query before our memory looks the same. One query is no licence for more.
_SCAN_PORTS = 16
# A datagram for so many hosts of ours at one port, within this time, is a sweep: no hosts share a client's port.
_SWEPT_HOSTS = 8
_SWEEP_US = 60_000_000
_MAX_SWEEPS = 1024
_MAX_SWEPT = 64


@dataclass(slots=True)
class _Contact:
    """When a connection with an address was open last.

    Attributes:
        data_proto: the protocol of the data that it lets expect; 0 if it lets expect none.
        is_answered: False while only our call was seen.
    """

    last_us: int
    data_proto: int = 0
    is_answered: bool = True


@dataclass(slots=True)
class _Late:
    """The segments of one peer that may be late: since when, from which of its ports, and how many."""

    first_us: int
    ports: tuple[int, ...] = ()
    segments: int = 0


@dataclass(slots=True)
class _Refused:
    """Reply-looking probes of one source that we refused, the latest at each port, and whether they count as a scan."""

    probes: dict[tuple[int, str, int], Packet] = field(default_factory=dict)
    are_counted: bool = False


class Expectations:
    """The look-ups, bounded; the least recently used entry goes first."""

    def __init__(self, max_addresses: int) -> None:
        self._host = HostState()
        self._queried: LruTable[str, bool] = LruTable(max_addresses)  # a set with an order
        self.is_queried = self._queried.holds
        """Whether we sent an address something that it may answer."""
        self._servers: LruTable[str, tuple[ServerKind, int]] = LruTable(_MAX_SERVERS)
        self._contacts: LruTable[str, _Contact] = LruTable(_MAX_CONTACTS)
        self._contact_networks: LruTable[str, int] = LruTable(_MAX_CONTACTS)
        self._sockets: LruTable[tuple[str, int], int] = LruTable(_MAX_SOCKETS)
        self._excused = Allowance(_MAX_EXCUSED, _EXCUSED_US, _MAX_EXCUSED_SOURCES)
        self._late: LruTable[str, _Late] = LruTable(max_addresses)
        self._refused: LruTable[str, _Refused] = LruTable(_MAX_REFUSED)
        self.reflection = Reflection()
        """Answers to questions of others in our name."""
        self._unasked: LruTable[tuple[str, int], dict[str, Packet]] = LruTable(_MAX_SWEEPS)

    def set_host(self, host: HostState) -> None:
        """Take the host's connections and client ports as they are now."""
        self._host = host

    def query(self, probe: Packet) -> None:
        """We sent an address something new. A call is a connection unless it is refused: its answer may be lost."""
        self._queried.put(probe.dst, True)
        data_proto = _CONTROL_PORTS.get(probe.dest_port, 0)
        is_call = probe.flags & SYN if probe.proto == TCP else probe.proto == data_proto == UDP
        if is_call and not self.is_contact(probe.dst, probe.time_us):
            self._contacts.put(probe.dst, _Contact(probe.time_us, data_proto, is_answered=False))

    def decline(self, probe: Packet) -> None:
        """Our probe was refused."""
        contact = self._contacts.peek(probe.dst)
        if contact is not None and not contact.is_answered:
            self._contacts.pop(probe.dst)

    def send(self, datagram: Packet) -> None:
        """A socket of ours sent a datagram, to anybody."""
        self._sockets.put((datagram.src, datagram.src_port), datagram.time_us)

    def answer(self, packet: Packet, answers: int = 1) -> None:
        """The packet answers something that we sent.

        Args:
            packet: the answer.
            answers: which one of its flow it is, from 1.
        """
        data_proto = _CONTROL_PORTS.get(packet.src_port, 0)
        if packet.proto == UDP and packet.src_port in _SERVERS:
            self._servers.put(packet.src, (_SERVERS[packet.src_port], packet.time_us))
        elif packet.proto == TCP or (packet.proto == UDP and answers >= _UDP_SESSION_ANSWERS):
            self.contact(packet.src, packet.time_us, data_proto)

    def contact(self, address: str, now_us: int, data_proto: int = 0) -> None:
        """A connection with the address is open, or has just ended.

        Args:
            address: the peer.
            now_us: the time.
            data_proto: the protocol of the data that the connection lets expect; 0 if it lets expect none.
        """
        if ":" in address:
            self._contact_networks.put(network_of(address), now_us)
        known = self._contacts.peek(address)
        self._contacts.put(address, _Contact(now_us, data_proto or (known.data_proto if known else 0)))

    def is_contact_network(self, network: str, now_us: int) -> bool:
        """Whether a connection with any address of the IPv6 /64 is or was just open."""
        contact_us = self._contact_networks.peek(network)
        return contact_us is not None and abs(now_us - contact_us) <= _CONTACT_US

    def is_contact(self, address: str, now_us: int) -> bool:
        """Whether a connection with the address is or was just open."""
        contact = self._contacts.peek(address)
        return contact is not None and abs(now_us - contact.last_us) <= _CONTACT_US

    def server(self, address: str, now_us: int) -> ServerKind | None:
        """The kind of server, if the address answered a query of ours within the last hour."""
        kind, answered_us = self._servers.peek(address) or (None, 0)
        return kind if abs(now_us - answered_us) <= _SERVER_US else None

    def expects(self, packet: Packet, source: str) -> bool:
        """Whether a first packet from outside is what we asked for over another channel.

        Args:
            packet: the packet.
            source: the source that its address belongs to.
        """
        if packet.proto == UDP:
            sent_us = self._sockets.peek((packet.dst, packet.dest_port))
            if sent_us is not None and abs(packet.time_us - sent_us) <= _SOCKET_US:
                return True
            is_excused = self._excused.knows(source)
            if is_excused and self._excused.holds(source, _port_of(packet, packet.dest_port), packet.time_us):
                return True
        contact = self._contacts.peek(packet.src)
        return contact is not None and self._is_announced(contact, packet, source)

    def _is_announced(self, contact: _Contact, packet: Packet, source: str) -> bool:
        """Whether a control session with the sender may have named the port."""
        if contact.data_proto != packet.proto or packet.dest_port < FIRST_CLIENT_PORT:
            return False
        is_open = packet.src in self._host.contacts or self.is_contact(packet.src, packet.time_us)
        if not is_open or (packet.proto == TCP and not self._is_data_connection(packet)):
            return False
        is_excused = self._excuse(packet, source)
        if is_excused:
            contact.last_us = packet.time_us
        return is_excused

    def _is_data_connection(self, packet: Packet) -> bool:
        """Whether a SYN may open a data connection of FTP: from its own port, or to a port of our clients."""
        is_syn = packet.flags & (SYN | FIN | RST) == SYN
        return is_syn and (packet.src_port == _FTP_DATA or self._is_client_port(packet))

    def is_stream(self, packet: Packet, source: str) -> bool:
        """Whether one more stream of datagrams is excused."""
        return self._excuse(packet, source)

    def _excuse(self, packet: Packet, source: str) -> bool:
        """Whether the port is or can be excused; over UDP with its neighbour, for RTCP comes beside RTP (RFC 3550)."""
        is_excused = self._excused.takes(source, _port_of(packet, packet.dest_port), packet.time_us)
        if is_excused and packet.proto == UDP:
            self._excused.takes(source, _port_of(packet, packet.dest_port ^ 1), packet.time_us)
        return is_excused

    def _is_client_port(self, packet: Packet) -> bool:
        """Whether a packet goes to a port that a client of ours may have had."""
        if packet.dest_port in self._host.local_ports:
            return True
        return packet.dst not in self._host.own and packet.dest_port >= _FIRST_DYNAMIC_PORT

    def is_late(self, segment: Packet, source: str) -> bool:
        """Whether a TCP segment that we reset may belong to a connection of ours that is gone.

        Args:
            segment: the segment.
            source: the source that its address belongs to.
        """
        if not self._is_client_port(segment):
            return False
        late = self._late.touch(source)
        if late is None or abs(segment.time_us - late.first_us) > _LATE_US:
            late = _Late(segment.time_us)
            self._late.put(source, late)
        ports = late.ports if segment.src_port in late.ports else (*late.ports, segment.src_port)
        if late.segments >= _MAX_LATE_SEGMENTS or len(ports) > _MAX_LATE_PORTS:
            return False
        late.ports = ports
        late.segments += 1
        return True

    def refused(self, source: str, probe: Packet) -> tuple[Packet, ...]:
        """We refused a probe that looks like a reply and belongs to no flow.

        Returns:
            The probes that count from now on, those before it included; none while they are too few, or while so
            many networks send such packets that others must have queried them in our name.
        """
        now_us = probe.time_us
        kept = self._refused.touch(source)
        if kept is None:
            kept = _Refused()
            self._refused.put(source, kept)
        kept.probes = {key: one for key, one in kept.probes.items() if abs(now_us - one.time_us) <= _REFUSED_US}
        if len(kept.probes) < _SCAN_PORTS:
            kept.probes[probe.proto, probe.dst, probe.dest_port] = probe
        if probe.proto == TCP:  # a datagram was noted when it came
            self.reflection.note(source, probe)
        # Whether it is a reflector costs most.
        if len(kept.probes) < _SCAN_PORTS or self.reflection.is_reflector(source, proto_name(probe), now_us):
            return ()
        before, kept.are_counted = kept.are_counted, True
        return (probe,) if before else (*(one for one in kept.probes.values() if one is not probe), probe)

    def unasked(self, probe: Packet) -> tuple[Packet, ...]:
        """A datagram came from a client's port to a client's port.

        Returns:
            The datagrams that count as probes from now on, those before it included; none while few hosts of ours
            got them, or if we sent their source anything.
        """
        if self.is_queried(probe.src):
            return ()
        key = (probe.src, probe.dest_port)
        kept = self._unasked.touch(key)
        if kept is None or abs(probe.time_us - next(iter(kept.values())).time_us) > _SWEEP_US:
            kept = {}
            self._unasked.put(key, kept)
        if probe.dst in kept:
            return ()
        if len(kept) < _MAX_SWEPT:
            kept[probe.dst] = probe
        if len(kept) == _SWEPT_HOSTS:
            return tuple(kept.values())
        return (probe,) if len(kept) > _SWEPT_HOSTS else ()


def _port_of(packet: Packet, port: int) -> tuple[int, str, int]:
    """A port of the host of ours that the packet goes to."""
    return packet.proto, packet.dst, port
