"""The place of a host-day: the host, its services and addresses, and the packets of everybody who comes by."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import NamedTuple

from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import RST
from tests.scenarios.conversations import DAY_SECONDS, bare_reset, call, closed, half_open, served
from tests.support.build import Sent, icmp_unreachable, rst_ack, syn_ack, tcp, udp, udp_reply

_ROLES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "web": ((22, 80, 443), (443,)),
    "web without QUIC": ((22, 80, 443), ()),
    "mail": ((22, 25, 80, 143, 443, 465, 587, 993), ()),
    "name server": ((22, 53), (53,)),
    "VPN": ((22,), (1194, 51_820)),
    "files": ((22, 139, 445, 2049, 111), (137, 138, 111)),
    "FTP": ((21, 22), ()),
    "telephone": ((22, 5060, 5061), (5060,)),
    "recorder": ((22, 80, 8000), ()),
    "desktop": ((), ()),
    "game": ((22, 25_565), (27_015,)),
    "database": ((22, 5432, 9100), ()),
    "closed": ((22,), ()),
}
_NETWORKS4 = ("203.0.113.{}", "192.168.1.{}", "10.20.30.{}", "100.70.3.{}")
_PREFIX6 = "2001:db8:113:1::"
_RETRY_SECONDS = (1.0, 3.0, 7.0)
_CLIENT_PORTS = (32_768, 60_999)
_SAMPLE_SECONDS = 10

Habit = Callable[["Scene"], None]


class Opening(NamedTuple):
    """A UDP socket of this host, and the seconds of the day at which it is opened and closed."""

    port: int
    since: float
    until: float


class Call(NamedTuple):
    """A connection of this host to a server, and the seconds of the day at which it begins and ends."""

    server: str
    since: float
    until: float


class Scene:
    """A host for a day. Habits add their packets to it; the same seed gives the same day."""

    def __init__(self, chances: Random) -> None:
        self.chances = chances
        self.role = chances.choice(sorted(_ROLES))
        self.tcp, self.udp = map(set, _ROLES[self.role])
        number = chances.randint(10, 200)
        network = chances.choice(_NETWORKS4)
        self.host, self.host6 = network.format(number), f"{_PREFIX6}{number:x}"
        self.gateway, self.resolver = network.format(1), "9.9.9.9"
        self.neighbours = [network.format(number + nth) for nth in range(1, 12)]
        self.drops = chances.random() < 0.4
        """Whether a firewall drops what is not served, where the kernel would refuse it."""
        self.sees_sockets = chances.random() < 0.7
        """Whether the sensor reads the socket table, as a live one does."""
        self.openings: list[Opening] = []
        self.calls: list[Call] = []
        self.packets: list[Sent] = []
        self._people: dict[str, set[str]] = {}
        self.habit = ""
        self._strangers = chances.sample(range(1, 60_000), 4000)

    # ---- who, when, with what

    def guest(self, *, six: float = 0.25, net: int = 0, host: int = 0) -> str:
        """A new stranger, an IPv6 one with that probability; `net` and `host` choose a network and a host in it."""
        number = net or self._strangers.pop()
        last = host or self.chances.randint(1, 250)
        if self.chances.random() < six:
            return self.known(f"2001:db8:{number:x}:{self.chances.randint(1, 99)}::{last:x}")
        return self.known(f"{_plain(number)}{last}")

    def network(self) -> int:
        """The number of a network for several guests."""
        return self._strangers.pop()

    def neighbour(self) -> str:
        """A host of our own network."""
        return self.known(self.chances.choice(self.neighbours))

    def known(self, address: str) -> str:
        """Note whose the address is."""
        self._people.setdefault(address, set()).add(self.habit)
        return address

    def whose(self, address: str) -> tuple[str, ...]:
        """The habits that an address has, of a neighbour perhaps several; none of an address that nobody noted."""
        return tuple(sorted(self._people.get(address, ())))

    def moment(self, room: float = 600) -> float:
        """A time of the day, with some seconds left after it."""
        return self.chances.uniform(1, DAY_SECONDS - room)

    def spread(self, count: int, room: float = 600) -> list[float]:
        """That many times of the day, in order."""
        return sorted(self.moment(room) for _ in range(count))

    def client_port(self) -> int:
        """A port that a client's kernel chooses."""
        return self.chances.randint(*_CLIENT_PORTS)

    def own(self, other: str) -> str:
        """Our address of the same family."""
        return self.host6 if ":" in other else self.host

    def ttl(self, other: str) -> int:
        """The hops that packets of that address have left, the same all day."""
        return 64 - sum(other.encode()) % 20 if other not in self.neighbours else 64

    # ---- conversations

    def add(self, *packets: Sent) -> None:
        """Add packets in any order."""
        self.packets += packets

    def syn(self, src: str, port: int, at: float, *, dst: str = "", src_port: int = 0) -> Sent:
        """A SYN of an operating system."""
        asked = call(src, port, at=at, dst=dst or self.own(src), src_port=src_port, ttl=self.ttl(src))
        return asked if src_port else replace(asked, payload=self.client_port().to_bytes(2, "big") + asked.payload[2:])

    def visit(self, src: str, *ports: int, at: float, lasts: float = 0.3, tries: int = 2, reads: int = 900) -> None:
        """Connect to each of our ports at once: served, refused or dropped, tried again as a stack does."""
        for nth, port in enumerate(ports):
            asked = self.syn(src, port, at + nth * 0.01)
            if port in self.tcp:
                self.add(*served(asked, read=reads, lasts=lasts))
            elif self.drops:
                self.add(asked, *(asked.later(pause) for pause in _RETRY_SECONDS[: tries - 1]))
            else:
                for turn in range(tries):
                    again = self.syn(src, port, at + nth * 0.01 + turn * 0.5)
                    self.add(*closed(again))

    def check(self, src: str, port: int, at: float) -> None:
        """A health check that ends after the handshake, or a half-open one."""
        asked = self.syn(src, port, at)
        if port not in self.tcp:
            self.add(*([asked] if self.drops else closed(asked)))
        elif self.chances.random() < 0.5:
            self.add(*half_open(asked))
        else:
            self.add(asked, syn_ack(asked), rst_ack(asked))

    def connect(self, server: str, port: int, at: float, *, lasts: float = 1.0, answers: bool = True) -> Sent:
        """We connect to a server elsewhere."""
        self.known(server)
        asked = self.syn(self.own(server), port, at, dst=server)
        self.add(*(served(asked, lasts=lasts) if answers else [asked, asked.later(1), asked.later(3)]))
        if answers:
            self.calls.append(Call(server, at, at + lasts))
        return asked

    def datagram(self, src: str, port: int, at: float, *, src_port: int = 0, size: int = 60, ttl: int = 0) -> Sent:
        """A datagram to a port of ours; refused if the port is closed and the firewall lets the refusal out."""
        (sent,) = udp(
            src, port, dst=self.own(src), src_port=src_port or self.client_port(), at=at, data=bytes(min(size, 60))
        )
        sent = replace(sent, ttl=ttl or self.ttl(src))
        self.add(sent)
        if port in self.udp:
            self.add(udp_reply(sent))
        elif not self.drops and not any(one.port == port and one.since <= at <= one.until for one in self.openings):
            self.add(icmp_unreachable(sent))
        return sent

    def ask(self, server: str, port: int, at: float, *, src_port: int = 0, after: float = 0.02) -> Sent:
        """We send a datagram; the answer comes that many seconds later, or never for a negative number."""
        self.known(server)
        source = src_port or self.client_port()
        (sent,) = udp(self.own(server), port, dst=server, src_port=source, at=at, data=bytes(40))
        self.add(sent)
        if after >= 0:
            self.add(udp_reply(sent, after=after))
        return sent

    def open(self, port: int, since: float, until: float) -> None:
        """A program of ours has a UDP socket for a while."""
        self.openings.append(Opening(port, since, until))

    def late(self, src: str, src_port: int, port: int, at: float) -> None:
        """A segment of a connection that we forgot: only our RST is seen, because plain ACKs stay in the kernel."""
        acknowledged = self.chances.getrandbits(31)
        segment = tcp(src, self.own(src), src_port, port, 16, at=at, seq=7, ack=acknowledged, ttl=self.ttl(src))
        self.add(bare_reset(segment))

    def stray(self, src: str, src_port: int, port: int, at: float, flags: int) -> None:
        """Any other segment, which our kernel resets if it has to."""
        number = self.chances.getrandbits(31)
        segment = tcp(src, self.own(src), src_port, port, flags, at=at, seq=number, ack=number + 1, ttl=self.ttl(src))
        self.add(segment)
        if not flags & RST and not self.drops:
            self.add(bare_reset(segment))

    # ---- the host as its sensor sees it

    def state(self, at: float) -> HostState:
        """What the sensor reads of the host at that second of the day."""
        if not self.sees_sockets:
            return HostState(own=frozenset({self.host, self.host6}), peers_known=False)
        opened = {one.port for one in self.openings if one.since <= at <= one.until}
        return HostState(
            own=frozenset({self.host, self.host6}),
            listening_tcp=frozenset(self.tcp),
            listening_udp=frozenset(self.udp | opened),
            protected={self.resolver: "resolver", self.gateway: "gateway"},
            peers_known=False,
            contacts=frozenset(one.server for one in self.calls if one.since <= at <= one.until),
        )

    def refreshes(self) -> Iterable[float]:
        """The seconds at which the sensor sees that sockets changed: it looks at them every ten seconds."""
        if not self.sees_sockets:
            return ()
        changes = {moment for one in self.openings for moment in (one.since, one.until)}
        return sorted({(moment // _SAMPLE_SECONDS + 1) * _SAMPLE_SECONDS for moment in changes})


def _plain(number: int) -> str:
    return f"{20 + number % 70}.{number // 70 % 250}.{number % 250}."
