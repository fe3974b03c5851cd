"""Reflection: answers from many networks at once to questions that somebody asked others in the name of this host."""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass

from portsentry_py.core.host_state import wide_network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import Packet
from portsentry_py.core.probe_types import proto_name
from portsentry_py.events.model import ScanType

REFLECTED_TYPES: frozenset[ScanType] = frozenset({"udp", "ack", "unseen"})
"""Kinds of probe that an answer to a question in our name can look like."""
FIRST_CLIENT_PORT = 1024
"""From here on are the ports of clients: nobody asks from a well-known port, or names one for data."""
_MIN_PACKETS = 4
_MIN_NETWORKS = 3  # of others
_WINDOW_US = 60_000_000
_LATE_PACKETS = 4  # a reflector may go on when the others have ended, for fewer packets than a scan has
_MAX_REFLECTORS = 4096
# A source that sends more than so many times what all others send is no reflector among others: who forges reflectors
# to hide a scan has to send this part of it once more.
_OTHERS_SHARE = 4
# The part of what a reflector sends that goes to ports of clients, as quarters. A scanner asks for services.
_CLIENT_QUARTERS = 3


@dataclass(slots=True)
class _Reflector:
    """What one source sent over one protocol that may answer a question in our name, halved each minute.

    Attributes:
        network: the wide network of the source.
        packets: those to ports of clients.
        probes: all packets of these kinds, those to ports that no client has included.
        syn_acks: those that were SYN-ACKs, less the resets that they explain.
        in_all: packets, without halving.
        counted: those that its `_Crowd` counts.
        excused: up to this number in all it is a reflector, because it was one among others.
    """

    network: str
    since_us: int
    last_us: int
    packets: int = 0
    probes: int = 0
    syn_acks: int = 0
    in_all: int = 0
    counted: int = 0
    excused: int = 0

    @property
    def answers_clients(self) -> bool:
        """Whether enough of its packets go to ports from which a question can come."""
        return 4 * self.packets >= _CLIENT_QUARTERS * self.probes

    @property
    def is_one(self) -> bool:
        """Whether it sends enough to speak for others."""
        return self.packets >= _MIN_PACKETS and self.answers_clients

    def add(self, packet: Packet) -> None:
        """One more packet."""
        now_us = packet.time_us
        if abs(now_us - self.since_us) > _WINDOW_US:
            self.since_us, self.packets, self.syn_acks = now_us, self.packets // 2, self.syn_acks // 2
            self.probes //= 2
        self.last_us = now_us
        self.packets += packet.dest_port >= FIRST_CLIENT_PORT
        self.probes += 1
        self.in_all += 1


class _Crowd:
    """The sources of one protocol that send enough to speak for others, and what they send, by wide network.

    The sums are kept, because a flood has thousands of sources and each of its packets asks for them.
    """

    def __init__(self) -> None:
        self._ones: OrderedDict[str, _Reflector] = OrderedDict()
        self._packets: dict[str, int] = {}
        self._total = 0

    def note(self, source: str, sent: _Reflector) -> None:
        """The source has sent one more packet."""
        if not sent.is_one:
            self.forget(source, sent)
            return
        if sent.counted:
            self._ones.move_to_end(source)
        else:
            self._ones[source] = sent
        if sent.packets != sent.counted:
            self._count(sent, sent.packets)

    def forget(self, source: str, sent: _Reflector) -> None:
        """The source speaks for nobody."""
        if sent.counted:
            del self._ones[source]
            self._count(sent, 0)

    def explains(self, sent: _Reflector, now_us: int) -> bool:
        """Whether enough other networks sent enough lately that the source is one among others."""
        while self._ones and abs(now_us - next(iter(self._ones.values())).last_us) > _WINDOW_US:
            source, one = next(iter(self._ones.items()))
            self.forget(source, one)
        own = self._packets.get(sent.network, 0)
        networks, packets = len(self._packets) - (own > 0), self._total - own
        return networks >= _MIN_NETWORKS and _OTHERS_SHARE * packets >= sent.probes

    def _count(self, sent: _Reflector, packets: int) -> None:
        more, sent.counted = packets - sent.counted, packets
        self._total += more
        self._packets[sent.network] = self._packets.get(sent.network, 0) + more
        if not self._packets[sent.network]:
            del self._packets[sent.network]


class Reflection:
    """Sources whose packets may be answers that nobody here asked for; the least recently used goes first.

    A UDP scanner is no reflector because somebody floods a web server in our name: protocols are apart.
    """

    def __init__(self) -> None:
        self._reflectors: LruTable[tuple[str, str], _Reflector] = LruTable(_MAX_REFLECTORS, self._forget)
        self._crowds: defaultdict[str, _Crowd] = defaultdict(_Crowd)  # by protocol

    def note(self, source: str, packet: Packet) -> None:
        """The source sent what may answer a question that somebody asked in our name, or a probe of that kind."""
        key = (source, proto_name(packet))
        sent = self._reflectors.touch(key)
        if sent is None:
            sent = _Reflector(wide_network_of(source.partition("/")[0]), packet.time_us, packet.time_us)
            self._reflectors.add(key, sent)
        sent.add(packet)
        # Most sources of a flood send too few.
        if sent.counted or sent.packets >= _MIN_PACKETS:
            self._crowds[key[1]].note(source, sent)

    def note_syn_ack(self, source: str, packet: Packet) -> None:
        """The source sent a SYN-ACK that nobody asked for: somebody floods it in our name."""
        self.note(source, packet)
        sent = self._reflectors.peek((source, proto_name(packet)))
        if sent is not None:
            sent.syn_acks += 1

    def explains_reset(self, source: str, now_us: int) -> bool:
        """Whether a segment that only our reset shows may be one more SYN-ACK: as many of the source were seen."""
        sent = self._reflectors.peek((source, "tcp"))
        if sent is None or sent.syn_acks == 0 or abs(now_us - sent.last_us) > _WINDOW_US:
            return False
        sent.syn_acks -= 1
        return True

    def is_reflector(self, source: str, proto: str, now_us: int) -> bool:
        """Whether so many other networks send what nobody asked for that the source is one of many reflectors."""
        sent = self._reflectors.peek((source, proto))
        if sent is None:
            return False
        if sent.answers_clients and self._crowds[proto].explains(sent, now_us):
            sent.excused = sent.in_all + _LATE_PACKETS
        return sent.in_all <= sent.excused

    def _forget(self, key: tuple[str, str], sent: _Reflector) -> None:
        source, proto = key
        self._crowds[proto].forget(source, sent)
