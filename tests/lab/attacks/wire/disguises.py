"""Probes in pieces and behind IPv6 extension headers: each hides a SYN as it would be sent plainly."""

import struct
from collections.abc import Callable
from dataclasses import replace

from tests.lab.attacks.attack import Sent
from tests.lab.attacks.wire.ip import (
    AUTHENTICATION,
    DESTINATION,
    FRAGMENT,
    HOP_BY_HOP,
    MOBILITY,
    ROUTING,
    Packet,
    authentication_header,
    behind,
    experiment,
    options_header,
    pad,
    routing_header,
)
from tests.lab.attacks.wire.pieces import atomic, fragments, piece
from tests.lab.attacks.wire.upper import FIN, MSS, SYN, tcp, udp

Hides = Callable[[Packet], list[Sent]]
"""What is sent instead of a plain SYN."""


def _long(packet: Packet, size: int = 400) -> Packet:
    """The same SYN with data behind it, as `nmap --data-length` sends it."""
    src_port, port = (int.from_bytes(packet.payload[at : at + 2], "big") for at in (0, 2))
    return tcp(packet.src, packet.dst, src_port, port, SYN, seq=src_port + port, options=MSS, data=bytes(size))


def port_of(packet: Packet) -> int:
    """The port that a segment or datagram asks for."""
    return int.from_bytes(packet.payload[2:4], "big")


# ---- fragments: how one packet is cut, and in which order the pieces are sent


def _cut(*sizes: int, long: int = 400, order: Callable[[list[Packet]], list[Packet]] = list) -> Hides:
    return lambda probe: [*order(fragments(_long(probe, long), *sizes, number=port_of(probe)))]


def _backwards(pieces: list[Packet]) -> list[Packet]:
    return pieces[::-1]


def _last_first(pieces: list[Packet]) -> list[Packet]:
    return [pieces[-1], *pieces[:-1]]


def _twice(pieces: list[Packet]) -> list[Packet]:
    return [pieces[0], *pieces]


def _overlapping(probe: Packet) -> list[Sent]:
    """Two pieces cover the same bytes of the header, with another port in the second."""
    whole, other = (_long(probe), _long(replace(probe, payload=probe.payload[:2] + b"\0\1" + probe.payload[4:])))
    number = port_of(probe)
    return [
        piece(other, 0, 24, number=number),
        piece(whole, 0, 128, number=number),
        piece(whole, 128, 4096, number=number),
    ]


def _first_alone(size: int) -> Hides:
    return lambda probe: [piece(_long(probe), 0, size, number=port_of(probe))]


def _udp_cut(size: int) -> Hides:
    def made(probe: Packet) -> list[Sent]:
        whole = udp(probe.src, probe.dst, 40_000, port_of(probe), bytes(600))
        return [*fragments(whole, size, number=port_of(probe))]

    return made


def _fin_cut(probe: Packet) -> list[Sent]:
    whole = tcp(probe.src, probe.dst, 40_000, port_of(probe), FIN, data=bytes(400))
    return [*fragments(whole, 128, number=port_of(probe))]


def _behind_options_in_pieces(size: int) -> Hides:
    """Options stand in the first piece, and push the TCP header into the second."""

    def made(probe: Packet) -> list[Sent]:
        whole = behind(_long(probe), (DESTINATION, lambda upper: options_header(upper, pad(size))))
        return [*fragments(whole, size + 8, number=port_of(probe))]

    return made


def _options_before_fragment(size: int) -> Hides:
    """Each piece has options before its fragment header."""

    def made(probe: Packet) -> list[Sent]:
        head = options_header(FRAGMENT, pad(size))
        cuts = fragments(_long(probe), 128, number=port_of(probe), before=head, first=DESTINATION)
        return [*cuts]

    return made


FRAGMENTS: dict[str, Hides] = {
    **{f"first-{size}": _cut(size) for size in (16, 24, 32, 64, 128, 200, 256)},
    "first-8": _cut(8),
    "first-24-then-200": _cut(24, 200),
    "first-128-then-8": _cut(128, 8),
    "short-8": _cut(8, long=0),
    "data-1200": _cut(600, long=1200),
    "backwards-128": _cut(128, order=_backwards),
    "backwards-8": _cut(8, long=20, order=_backwards),
    "last-first": _cut(200, order=_last_first),
    "first-twice": _cut(200, order=_twice),
    "overlapping": _overlapping,
    "first-alone-24": _first_alone(24),
    "first-alone-128": _first_alone(128),
    "udp-8": _udp_cut(8),
    "udp-128": _udp_cut(128),
    "udp-256": _udp_cut(256),
    "fin": _fin_cut,
}


# ---- IPv6 extension headers


def _options(size: int, *, kind: int = DESTINATION, times: int = 1) -> Hides:
    header = (kind, lambda upper: options_header(upper, *_paddings(size)))
    return lambda probe: [behind(probe, *[header] * times)]


def _paddings(size: int) -> list[bytes]:
    """Options of that many bytes altogether; a single one has 255 at most."""
    return [experiment(min(left, 250)) for left in range(size, 0, -252)]


def _routed(kind: int, body: bytes) -> Hides:
    return lambda probe: [behind(probe, (ROUTING, lambda upper: routing_header(upper, kind, body)))]


def _many_kinds(probe: Packet) -> list[Sent]:
    return [
        behind(
            probe,
            (HOP_BY_HOP, lambda upper: options_header(upper, pad(4))),
            (DESTINATION, lambda upper: options_header(upper, experiment(20))),
            (ROUTING, lambda upper: routing_header(upper, 2, bytes(20))),
            (DESTINATION, lambda upper: options_header(upper, experiment(60))),
        )
    ]


def _atomic_with_options(probe: Packet) -> list[Sent]:
    return [atomic(behind(probe, (DESTINATION, lambda upper: options_header(upper, experiment(100)))))]


def _jumbo(probe: Packet) -> list[Sent]:
    """A jumbo payload option for a packet that is none (RFC 2675 forbids it)."""
    option = struct.pack("!BBI", 0xC2, 4, len(probe.payload) + 8)
    return [behind(probe, (HOP_BY_HOP, lambda upper: options_header(upper, option)))]


EXTENSIONS: dict[str, Hides] = {
    **{f"options-{size}": _options(size) for size in (20, 60, 100, 120, 250, 1000)},
    **{f"hop-by-hop-{size}": _options(size, kind=HOP_BY_HOP) for size in (20, 100, 250)},
    "options-8-times-4": _options(8, times=4),
    "options-100-twice": _options(100, times=2),
    "options-4-times-70": _options(4, times=70),
    "routing-0": _routed(0, bytes(20)),
    "routing-2": _routed(2, bytes(20)),
    "routing-4": _routed(4, bytes(20)),
    "routing-4-long": _routed(4, bytes(84 + 32)),
    "routing-253": _routed(253, bytes(100)),
    "many-kinds": _many_kinds,
    "authentication": lambda probe: [behind(probe, (AUTHENTICATION, authentication_header))],
    "mobility": lambda probe: [behind(probe, (MOBILITY, lambda upper: struct.pack("!BB", upper, 0) + bytes(6)))],
    "jumbo": _jumbo,
    "atomic": lambda probe: [atomic(probe)],
    "atomic-options-100": _atomic_with_options,
    "options-in-pieces-24": _behind_options_in_pieces(22),
    "options-in-pieces-104": _behind_options_in_pieces(102),
    "options-before-pieces": _options_before_fragment(94),
    "udp-options-100": lambda probe: _options(100)(udp(probe.src, probe.dst, 40_000, port_of(probe))),
    "udp-hop-by-hop-100": lambda probe: _options(100, kind=HOP_BY_HOP)(
        udp(probe.src, probe.dst, 40_000, port_of(probe))
    ),
}
