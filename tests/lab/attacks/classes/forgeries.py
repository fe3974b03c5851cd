"""What is forged in the name of a source, and how few packets may ban it."""

from collections.abc import Callable

from tests.lab.attacks.classes.common import connects, datagrams, syns
from tests.lab.attacks.parties import FOUR, Family
from tests.lab.attacks.wire.ip import Packet
from tests.lab.attacks.wire.upper import ACK, ECE, FIN, PSH, SYN, URG, echo, sctp, syn, tcp, udp

Forgery = Callable[[str, Family], list[Packet]]
"""The packets in the name of a source."""

_ODD = (0, FIN, FIN | PSH | URG, SYN | FIN, ECE, URG, PSH, SYN | FIN | URG)
_HOSTS = 24


def _host(family: Family, number: int) -> str:
    return f"203.0.113.{20 + number}" if family is FOUR else f"2001:db8:113::{0x20 + number:x}"


def _swept(made: Callable[[str, str, int], Packet]) -> Forgery:
    return lambda source, family: [made(source, _host(family, number), number) for number in range(_HOSTS)]


def _each_flags(*flags: int) -> Forgery:
    return lambda source, family: [
        tcp(source, family.victim, 40_000, 600 + number, flags[number % len(flags)], ack=7) for number in range(20)
    ]


def _a_bit_of_all(source: str, family: Family) -> list[Packet]:
    """One or two packets of each kind, below each kind's threshold."""
    return [
        *datagrams(source, family.victim, (600, 601)),
        *syns(source, family.victim, (602, 603)),
        *connects(source, family.victim, (604, 605)),
        tcp(source, family.victim, 40_000, 606, FIN),
        tcp(source, family.victim, 40_000, 607, 0),
        sctp(source, family.victim, 40_000, 608),
        Packet(source, family.victim, 150, bytes(20)),
        udp(source, family.victim, 40_000, 19),
        syn(source, family.victim, 11),
        echo(source, family.victim),
    ]


SEQUENCES: dict[str, Forgery] = {
    "udp-two-traps": lambda source, family: datagrams(source, family.victim, (13, 19)),
    "udp-one-trap-twice": lambda source, family: [
        udp(source, family.victim, 41_000 + number, 19) for number in range(4)
    ],
    "udp": lambda source, family: datagrams(source, family.victim, range(600, 640)),
    "udp-from-53": lambda source, family: datagrams(source, family.victim, range(600, 640), src_port=53),
    "tcp-two-traps": lambda source, family: syns(source, family.victim, (1, 11)),
    "tcp-one-trap-twice": lambda source, family: [
        syn(source, family.victim, 11, src_port=41_000 + number) for number in range(4)
    ],
    "tcp-traps-connect": lambda source, family: connects(source, family.victim, (1, 11)),
    "syn": lambda source, family: syns(source, family.victim, range(600, 620)),
    "syn-connect": lambda source, family: connects(source, family.victim, range(600, 620)),
    "null": _each_flags(0),
    "fin": _each_flags(FIN),
    "xmas": _each_flags(FIN | PSH | URG),
    "syn-fin": _each_flags(SYN | FIN),
    "odd-flags": _each_flags(*_ODD),
    "ack": _each_flags(ACK),
    "fin-ack": _each_flags(FIN | ACK),
    "sctp": lambda source, family: [sctp(source, family.victim, 40_000, port) for port in range(600, 620)],
    "ip-protocols": lambda source, family: [
        Packet(source, family.victim, number, bytes(20)) for number in range(150, 165)
    ],
    "same-port-200-times": lambda source, family: [
        syn(source, family.victim, 600, src_port=41_000 + number) for number in range(200)
    ],
    "a-bit-of-all": _a_bit_of_all,
    "sweep-syn": _swept(lambda source, target, _: syn(source, target, 22)),
    "sweep-connect": _swept(lambda source, target, _: connects(source, target, (22,))[0]),
    "sweep-udp": _swept(lambda source, target, _: udp(source, target, 40_000, 161)),
    "sweep-echo": _swept(echo),
    "sweep-ack": _swept(lambda source, target, _: tcp(source, target, 40_000, 22, ACK, ack=7)),
    "sweep-fin": _swept(lambda source, target, _: tcp(source, target, 40_000, 22, FIN)),
}
LEAST: dict[str, int] = {
    "udp-two-traps": 3,
    "udp-one-trap-twice": 5,
    "udp": 8,
    "udp-from-53": 8,
    "tcp-two-traps": 2,
    "tcp-one-trap-twice": 2,
    "tcp-traps-connect": 2,
    "null": 3,
    "fin": 3,
    "xmas": 3,
    "syn-fin": 3,
    "odd-flags": 3,
    "ip-protocols": 5,
    "same-port-200-times": 201,
}
"""The fewest packets that may ban a stranger; 8 where nothing is said. More than there are: never."""
