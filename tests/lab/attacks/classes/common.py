"""What many plays send."""

from collections.abc import Iterable

from tests.lab.attacks.attack import PORTS
from tests.lab.attacks.parties import Family
from tests.lab.attacks.wire.ip import Packet
from tests.lab.attacks.wire.upper import STACK_OPTIONS, syn, udp


def syns(src: str, dst: str, ports: Iterable[int] = PORTS, *, ttl: int = 57) -> list[Packet]:
    """One raw SYN to each port."""
    return [syn(src, dst, port, ttl=ttl) for port in ports]


def connects(src: str, dst: str, ports: Iterable[int] = PORTS, *, ttl: int = 57) -> list[Packet]:
    """One SYN to each port, as an operating system sends it."""
    return [syn(src, dst, port, src_port=45_000 + port % 1000, options=STACK_OPTIONS, ttl=ttl) for port in ports]


def datagrams(src: str, dst: str, ports: Iterable[int] = PORTS, *, src_port: int = 40_000) -> list[Packet]:
    """One datagram to each port."""
    return [udp(src, dst, src_port, port) for port in ports]


def suffix(family: Family) -> str:
    """What ends the name of an attack that is tried in both families."""
    return f"-v{family.number}"
