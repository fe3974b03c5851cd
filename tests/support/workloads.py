"""The packets of the benchmarks: floods, a scanner, ordinary visitors; the same ones in every run."""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from itertools import chain, islice
from random import Random

from tests.support.frames import ACK, FIN, RST, SYN, Link, segment, sequence_of

TARGET = "203.0.113.1"
_TARGET = int(IPv4Address(TARGET))
# Not an address of the lab: no host answers it.
_SCANNER = int(IPv4Address("198.51.100.99"))
_SEED = 20_250_101
# Unserved in the lab, and no decoy ports: each packet is an attempt and nothing else.
_FIRST_PORT, _PORTS = 1024, 64_512
_FIRST_NETWORK, _NETWORKS = 11, 89
_POOL = 65_536
_CLIENTS = 20_000
SERVED = (80, 443)
# How many connections later than its SYN the other packets of a connection come.
_ANSWER, _END, _LAST = 20, 2_000, 2_020
_SCAN = 8  # ports of a port scan
# Odd, so that it steps through every address before it comes back.
_STRIDE = 40_503_001
_DISTINCT = 1 << 26

Frames = Callable[[int, Link], Iterator[bytes]]


def flood(count: int, link: Link) -> Iterator[bytes]:
    """Forge every source at random: almost all are different, and none comes back."""
    draw = Random(_SEED).getrandbits
    for number in range(count):
        bits = draw(64)
        source = (_FIRST_NETWORK + (bits & 0xFF) % _NETWORKS) << 24 | bits >> 40
        port = _FIRST_PORT + (bits >> 8 & 0xFFFF) % _PORTS
        yield segment(link, (source, 1024 + (bits >> 24 & 0x7FFF), _TARGET, port), SYN, number)


def scanner(count: int, link: Link) -> Iterator[bytes]:
    """Let one source try every port, in random order, again and again."""
    ports = list(range(_FIRST_PORT, _FIRST_PORT + _PORTS))
    Random(_SEED).shuffle(ports)
    for number in range(count):
        turn, place = divmod(number, _PORTS)
        yield segment(link, (_SCANNER, 40_000 + turn % 20_000, _TARGET, ports[place]), SYN, number)


def pool(count: int, link: Link) -> Iterator[bytes]:
    """Forge all sources of a /16, each of which comes again: more than the sensor remembers."""
    draw = Random(_SEED).getrandbits
    base = int(IPv4Address("198.18.0.0"))
    for number in range(count):
        bits = draw(48)
        port = _FIRST_PORT + (bits >> 16 & 0xFFFF) % _PORTS
        yield segment(link, (base + bits % _POOL, 1024 + (bits >> 32) % 60_000, _TARGET, port), SYN, number)


def visitors(count: int, link: Link, *, calls: bool = True) -> Iterator[bytes]:
    """Let many clients open and close connections to served ports; without the calls if they stay in the kernel."""
    base = int(IPv4Address("100.64.0.0"))
    back = Link(link.source, link.destination)
    sent = 0
    for now in range(count + _ANSWER):
        for opened, flags, ours in (
            (now, SYN, False),
            (now - _ANSWER, SYN | ACK, True),
            (now - _END, FIN | ACK, False),
            (now - _LAST, FIN | ACK, True),
        ):
            if opened < 0 or (flags == SYN and not calls):
                continue
            if sent == count:
                return
            client = base + opened * 7919 % _CLIENTS
            port = 20_000 + opened // _CLIENTS % 40_000
            service = SERVED[opened & 1]
            ends = (_TARGET, service, client, port) if ours else (client, port, _TARGET, service)
            # Our number is the call's; the client has received a page when it closes the connection.
            ack = (sequence_of(opened) + 1_000) & 0xFFFFFFFF if flags & FIN and not ours else 0
            yield segment(back if ours else link, ends, flags, opened, ack=ack)
            sent += 1


def unseen_visitors(count: int, link: Link) -> Iterator[bytes]:
    """The same, whose first segments the kernel's filter keeps."""
    return visitors(count, link, calls=False)


def resets(count: int, link: Link) -> Iterator[bytes]:
    """Reset what was forged, as this host answers a flood of plain ACKs, which stay in the kernel."""
    back = Link(link.source, link.destination)
    draw = Random(_SEED).getrandbits
    for number in range(count):
        source = (_FIRST_NETWORK + draw(8) % _NETWORKS) << 24 | draw(24)
        yield segment(back, (_TARGET, 80, source, 1024 + draw(15)), RST, number + 1)


def mixed(count: int, link: Link) -> Iterator[bytes]:
    """One packet of each of the four above in turn, so that none has the caches for itself."""
    kinds = [kind(count, link) for kind in REPLAYED.values()]
    return islice(chain.from_iterable(zip(*kinds, strict=True)), count)


def strangers(count: int, link: Link, first: int = 0) -> Iterator[bytes]:
    """Each packet a source that no other has; `first` were sent before."""
    for number in range(first, count):
        source = (12 << 24) + number * _STRIDE % _DISTINCT
        port = _FIRST_PORT + number * 31 % _PORTS
        yield segment(link, (source, 1024 + number % 60_000, _TARGET, port), SYN, number)


def scanners(count: int, link: Link) -> Iterator[bytes]:
    """Forge scanners: eight ports each, no two in one /16 one after the other, with the hops of fifty distances."""
    for number in range(count):
        who, port = divmod(number, _SCAN)
        source = (_FIRST_NETWORK + who % _NETWORKS) << 24 | who * 7919 % (1 << 24)
        ends = (source, 1024 + who % 60_000, _TARGET, _FIRST_PORT + (who * 31 + port) % _PORTS)
        yield segment(link, ends, SYN, number, 30 + who % 50)


REPLAYED: dict[str, Frames] = {
    "forged flood, all sources random": flood,
    "one scanner, random ports": scanner,
    "65,536 forged sources in 256 networks": pool,
    "ordinary visitors of ports 80 and 443": visitors,
}
