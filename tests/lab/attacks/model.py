"""How the victim answers in a capture that is written, as Linux does."""

import struct
from collections.abc import Iterator

from tests.lab.attacks.attack import SERVED_TCP, SERVED_UDP
from tests.lab.attacks.wire.ip import Packet
from tests.lab.attacks.wire.upper import (
    ACK,
    FIN,
    ICMP,
    ICMPV6,
    PROTOCOL_UNREACHABLE,
    RST,
    SYN,
    TCP,
    UDP,
    UDP_LITE,
    echo_reply,
    mixed,
    tcp,
    unreachable,
)

_ECHO_TYPES = {ICMP: 8, ICMPV6: 128}


def our_sequence(packet: Packet) -> int:
    """The first sequence number that the victim chooses for a connection."""
    return mixed(packet.src, packet.dst, packet.payload[:4])


class Model:
    """The victim's kernel and services, traps that it opened included.

    `silent` are destination ports that a firewall drops; `banned` are sources that get no answers but the
    firewall's refusal, or none at all.
    """

    def __init__(self) -> None:
        self.served_tcp = SERVED_TCP
        self.silent: frozenset[int] = frozenset()
        self.banned: dict[str, str] = {}

    def answers(self, packet: Packet) -> Iterator[Packet]:
        """What the victim sends because of a packet."""
        if packet.first is not None or packet.offset or packet.more or len(packet.payload) < 8:
            return
        _, port = struct.unpack_from("!HH", packet.payload)
        ban = self.banned.get(packet.src)
        if ban == "drop" or port in self.silent:
            return
        if ban == "reject":
            yield unreachable(packet)
        elif packet.proto == TCP:
            yield from self._tcp(packet, port)
        elif packet.proto in {UDP, UDP_LITE}:
            if packet.proto == UDP_LITE or port not in SERVED_UDP:
                yield unreachable(packet)
        elif packet.proto in _ECHO_TYPES:
            if packet.payload[0] == _ECHO_TYPES[packet.proto]:
                yield echo_reply(packet.dst, packet.src, int.from_bytes(packet.payload[6:8], "big"))
        else:
            yield unreachable(packet, PROTOCOL_UNREACHABLE)

    def _tcp(self, packet: Packet, port: int) -> Iterator[Packet]:
        src_port, _, seq, ack, _, flags = struct.unpack_from("!HHIIBB", packet.payload)

        def reply(reply_flags: int, *, seq: int = 0, ack: int = 0) -> Packet:
            return tcp(packet.dst, packet.src, port, src_port, reply_flags, seq=seq, ack=ack, ttl=64)

        if flags & RST:
            return
        if flags & ACK:
            yield reply(RST, seq=ack)
        elif port not in self.served_tcp:
            yield reply(RST | ACK, ack=(seq + bool(flags & (SYN | FIN))) & 0xFFFFFFFF)
        elif flags & SYN:
            yield reply(SYN | ACK, seq=our_sequence(packet), ack=(seq + 1) & 0xFFFFFFFF)
