"""A search for the packets that cost the core most: protocols, headers and sources in every combination."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, product
from types import MappingProxyType

from tests.lab.attacks.wire.ip import DESTINATION, Packet, behind, ethernet, experiment, options_header
from tests.lab.attacks.wire.upper import ACK, FIN, RST, SYN, echo, mixed, sctp, tcp, udp, udp_lite, unreachable
from tests.support.frames import Link
from tests.support.workloads import TARGET, Frames

TARGET6 = "2001:db8:113::1"
PER_SECOND = 10_000
"""The rate at which the search and the replay have packets come, by their times."""
LASTING_PER_SECOND = 2_000
"""The rate of what costs most once its sources have been silent for a second."""
_STRIDE = 40_503_001
_POOL = 2_000
_PORTS = 5_000

Made = Callable[[str, str, int], Packet]
"""A packet from a source to a target; the number decides its ports."""


def source(number: int) -> str:
    """A forged IPv4 source of its own for each number."""
    bits = number * _STRIDE % (1 << 24)
    return f"12.{bits >> 16}.{bits >> 8 & 0xFF}.{bits & 0xFF}"


def source6(number: int) -> str:
    """A forged IPv6 source in a /64 of its own for each number."""
    return f"2001:db8:{0x4000 + (number & 0x3FFF):x}:{number >> 14:x}::5"


def _network4(number: int) -> str:
    """A forged IPv4 source for each number, in 256 networks (/16) in turn."""
    return f"12.{number % 256}.{number >> 8 & 0xFF}.1"


def _network6(number: int) -> str:
    """A forged IPv6 source for each number, in 256 networks (/32) in turn."""
    return f"2001:{0xDB8 + number % 256:x}:{0x4000 + (number >> 8):x}::5"


def _segment(flags: int) -> Made:
    return lambda src, dst, port: tcp(src, dst, 40_000 + port % 97, 600 + port, flags, seq=7 * port + 1, ack=port)


PROTOCOLS: Mapping[str, Made] = MappingProxyType(
    {
        "SYN": _segment(SYN),
        "FIN": _segment(FIN),
        "SYN-ACK": _segment(SYN | ACK),
        "FIN-ACK": _segment(FIN | ACK),
        "RST": _segment(RST),
        "datagram": lambda src, dst, port: udp(src, dst, 40_000, 600 + port),
        "datagram between clients": lambda src, dst, port: udp(src, dst, 40_000, 50_000 + port),
        "datagram from port 53": lambda src, dst, port: udp(src, dst, 53, 2_000 + port),
        "UDP-Lite": lambda src, dst, port: udp_lite(src, dst, 40_000, 600 + port),
        "SCTP INIT": lambda src, dst, port: sctp(src, dst, 40_000, 600 + port),
        "echo request": echo,
        "port unreachable": lambda src, dst, port: unreachable(udp(dst, src, 40_000, 600 + port)),
        "IP protocol 99": lambda src, dst, port: Packet(src, dst, 99, port.to_bytes(20, "big")),
        "IP in IP": lambda src, dst, port: Packet(src, dst, 4, udp(source(port), TARGET, 7, 600).content),
    }
)
SOURCES: Mapping[str, Callable[[int], int]] = MappingProxyType(
    {
        "each from another source": lambda number: number,
        f"from {_POOL:,} sources in turn": lambda number: number % _POOL,
        f"from {_POOL:,} sources in any order": lambda number: mixed(number) % _POOL,
        "eight from each source": lambda number: number // 8,
        "from one source": lambda _: 7,
    }
)
_HEADERS = ("IPv4", "IPv6", "IPv6 behind an option header")


# Sources that are judged many times: they make many findings, and their probes have outcomes. No verdict on what may
# answer somebody, or has an address that is nobody's, is final.
_JUDGED = ("SYN", "FIN", "datagram")
_MANY = 64
_LASTING: Mapping[str, Callable[[int], str]] = MappingProxyType(
    {
        f"IPv4, {_MANY} from each source of 256 networks": lambda number: _network4(number // _MANY),
        f"IPv6, {_MANY} from each source of 256 networks": lambda number: _network6(number // _MANY),
        f"IPv6, {_MANY} from each source of one network": lambda number: source6(number // _MANY),
        "IPv6, from one IPv4-mapped address": lambda _: "::ffff:198.18.0.1",
        "IPv6, from one link-local address": lambda _: "fe80::5",
    }
)


def patterns() -> Iterator[tuple[str, Frames]]:
    """Every combination, by its name."""
    yield from brief()
    yield from lasting()


def lasting() -> Iterator[tuple[str, Frames]]:
    """The combinations that cost most after a while: few, because each probe of theirs is looked at again and again."""
    for what, (whose, name_of) in product(_JUDGED, _LASTING.items()):
        yield f"{what}, {whose}", _lasting(PROTOCOLS[what], name_of)


def _lasting(made: Made, name_of: Callable[[int], str]) -> Frames:
    def frames(packets: int, _link: Link) -> Iterator[bytes]:
        for number in range(packets):
            name = name_of(number)
            yield ethernet(made(name, TARGET6 if ":" in name else TARGET, number * 31 % _PORTS))

    return frames


def brief() -> Iterator[tuple[str, Frames]]:
    """The combinations that cost most at once, while sources are new."""
    for (what, made), header, (whose, number_of) in product(PROTOCOLS.items(), _HEADERS, SOURCES.items()):
        yield f"{what}, {header}, {whose}", _frames(made, header, number_of)


def _frames(made: Made, header: str, number_of: Callable[[int], int]) -> Frames:
    name, target = (source, TARGET) if header == "IPv4" else (source6, TARGET6)

    def frames(packets: int, _link: Link) -> Iterator[bytes]:
        for number in range(packets):
            packet = made(name(number_of(number)), target, number * 31 % _PORTS)
            if header == _HEADERS[2]:
                packet = behind(packet, (DESTINATION, lambda upper: options_header(upper, experiment(4))))
            yield ethernet(packet)

    return frames


def all_frames(packets: int, combinations: Iterable[tuple[str, Frames]]) -> Iterator[bytes]:
    """That many packets of each combination, one combination after the other, as one capture."""
    for _, frames in combinations:
        yield from islice(frames(packets, Link()), packets)
