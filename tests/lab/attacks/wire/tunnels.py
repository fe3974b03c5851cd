"""Every way to put a packet into another, as anybody can send it to a host without any tunnel."""

import struct
from collections.abc import Callable
from dataclasses import replace

from tests.lab.attacks.wire.ip import (
    AUTHENTICATION,
    DESTINATION,
    Frame,
    Packet,
    authentication_header,
    behind,
    checksum,
    ethernet,
    ethertype,
    framed,
    options_header,
    pad,
)
from tests.lab.attacks.wire.pieces import fragments
from tests.lab.attacks.wire.upper import udp

IPV4, IPV6, GRE, ESP, MINIMAL, ETHERIP, PIM, L2TP3, MPLS = 4, 41, 47, 50, 55, 97, 103, 115, 137
Sent = Packet | Frame
Tunnel = Callable[[Packet, str, str], list[Sent]]
"""The packets that carry an inner packet from one address to another."""

_BRIDGED, _ERSPAN, _PPP, _MPLS_TYPE, _PPPOE = 0x6558, 0x88BE, 0x880B, 0x8847, 0x8864
_GRE_SUM, _GRE_KEY, _GRE_SEQ = 0x8000, 0x2000, 0x1000
_LABEL = bytes.fromhex("00010140")  # label 16, bottom of the stack, TTL 64
_PORTS = {
    "vxlan": 4789,
    "geneve": 6081,
    "teredo": 3544,
    "l2tp": 1701,
    "esp-in-udp": 4500,
    "gtp-u": 2152,
    "mpls-in-udp": 6635,
    "gre-in-udp": 4754,
    "fou": 5555,
    "lisp": 4341,
    "vxlan-gpe": 4790,
    "amt": 2268,
}


def _number(inner: Packet) -> int:
    return IPV6 if inner.family == 6 else IPV4


def _type(inner: Packet) -> int:
    return int.from_bytes(ethertype(inner.family), "big")


def _ppp(inner: Packet) -> bytes:
    return struct.pack("!H", 0x57 if inner.family == 6 else 0x21) + inner.content


def _ip(inner: Packet, src: str, dst: str) -> list[Sent]:
    return [Packet(src, dst, _number(inner), inner.content)]


def _gre(flags: int = 0, kind: int = 0) -> Tunnel:
    def made(inner: Packet, src: str, dst: str) -> list[Sent]:
        content = {
            0: inner.content,
            _BRIDGED: ethernet(inner),
            _ERSPAN: bytes.fromhex("1000000000000000") + ethernet(inner),
            _MPLS_TYPE: _LABEL + inner.content,
        }[kind]
        fields = b"".join(
            value
            for bit, value in ((_GRE_SUM, bytes(4)), (_GRE_KEY, b"\0\0\0\x07"), (_GRE_SEQ, b"\0\0\0\x01"))
            if flags & bit
        )
        whole = struct.pack("!HH", flags, kind or _type(inner)) + fields + content
        if flags & _GRE_SUM:
            whole = whole[:4] + struct.pack("!H", checksum(whole)) + whole[6:]
        return [Packet(src, dst, GRE, whole)]

    return made


def _pptp(inner: Packet, src: str, dst: str) -> list[Sent]:
    content = b"\xff\x03" + _ppp(inner)
    return [Packet(src, dst, GRE, struct.pack("!HHHHI", 0x3001, _PPP, len(content), 7, 1) + content)]


def _etherip(inner: Packet, src: str, dst: str) -> list[Sent]:
    return [Packet(src, dst, ETHERIP, b"\x30\x00" + ethernet(inner))]


def _l2tp3(inner: Packet, src: str, dst: str) -> list[Sent]:
    return [Packet(src, dst, L2TP3, struct.pack("!I", 7) + ethernet(inner))]


def _mpls(inner: Packet, src: str, dst: str) -> list[Sent]:
    return [Packet(src, dst, MPLS, _LABEL + inner.content)]


def _pim(inner: Packet, src: str, dst: str) -> list[Sent]:
    head = bytes.fromhex("2100000040000000")  # a null register would have no packet behind it
    return [Packet(src, dst, PIM, head[:2] + struct.pack("!H", checksum(head)) + head[4:] + inner.content)]


def _minimal(inner: Packet, src: str, dst: str) -> list[Sent]:
    """RFC 2004: the inner header is reduced to its addresses."""
    size = len(inner.addresses) // 2
    head = struct.pack("!BBH", inner.proto, 0x80, 0) + inner.addresses[size:] + inner.addresses[:size]
    return [Packet(src, dst, MINIMAL, head[:2] + struct.pack("!H", checksum(head)) + head[4:] + inner.payload)]


def _esp(inner: Packet, src: str, dst: str) -> list[Sent]:
    """Without encryption (RFC 2410): everything can be read."""
    trailer = bytes((1, 2, 2, _number(inner)))
    return [Packet(src, dst, ESP, struct.pack("!II", 0x1001, 1) + inner.content + trailer + bytes(12))]


def _ah(inner: Packet, src: str, dst: str) -> list[Sent]:
    content = authentication_header(_number(inner)) + inner.content
    return [Packet(src, dst, AUTHENTICATION, content)]


def _in_udp(name: str) -> Tunnel:
    def made(inner: Packet, src: str, dst: str) -> list[Sent]:
        head, content = {
            "vxlan": (bytes.fromhex("0800000000000700"), ethernet(inner)),
            "geneve": (bytes.fromhex("0000655800000700"), ethernet(inner)),
            "teredo": (b"", inner.content),
            "l2tp": (bytes.fromhex("000200070007ff03"), _ppp(inner)),
            "esp-in-udp": (struct.pack("!II", 0x1001, 1), inner.content + bytes((1, 2, 2, 4))),
            "gtp-u": (struct.pack("!BBHI", 0x30, 0xFF, len(inner.content), 7), inner.content),
            "mpls-in-udp": (_LABEL, inner.content),
            "gre-in-udp": (struct.pack("!HH", 0, _type(inner)), inner.content),
            "fou": (b"", inner.content),
            "lisp": (bytes(8), inner.content),
            "vxlan-gpe": (bytes.fromhex("0c00000100000700"), inner.content),
            "amt": (bytes.fromhex("0600"), inner.content),
        }[name]
        return [udp(src, dst, 50_000, _PORTS[name], head + content)]

    return made


def _mpls_link(inner: Packet, _src: str, _dst: str) -> list[Sent]:
    return [Frame(_LABEL + inner.content, struct.pack("!H", _MPLS_TYPE))]


def _pppoe(inner: Packet, _src: str, _dst: str) -> list[Sent]:
    content = _ppp(inner)
    head = struct.pack("!HBBHH", _PPPOE, 0x11, 0, 7, len(content))
    return [Frame(content, head)]


def _nested(*tunnels: Tunnel) -> Tunnel:
    """The first is the outermost."""

    def made(inner: Packet, src: str, dst: str) -> list[Sent]:
        carried = inner
        for tunnel in reversed(tunnels):
            outer = tunnel(carried, src, dst)[0]
            assert isinstance(outer, Packet)
            carried = outer
        return [carried]

    return made


def _in_pieces(tunnel: Tunnel, *sizes: int) -> Tunnel:
    def made(inner: Packet, src: str, dst: str) -> list[Sent]:
        outer = tunnel(inner, src, dst)[0]
        assert isinstance(outer, Packet)
        return [*fragments(outer, *sizes, number=int.from_bytes(inner.payload[2:4], "big") + 1)]

    return made


def _of_pieces(tunnel: Tunnel, *sizes: int) -> Tunnel:
    def made(inner: Packet, src: str, dst: str) -> list[Sent]:
        number = int.from_bytes(inner.payload[:2], "big") + 1
        return [sent for one in fragments(inner, *sizes, number=number) for sent in tunnel(one, src, dst)]

    return made


def _tagged(tunnel: Tunnel, *tags: tuple[int, int]) -> Tunnel:
    def made(inner: Packet, src: str, dst: str) -> list[Sent]:
        return [framed(one, *tags) for one in tunnel(inner, src, dst) if isinstance(one, Packet)]

    return made


def _with_options(inner: Packet, src: str, dst: str) -> list[Sent]:
    outer = Packet(src, dst, _number(inner), inner.content)
    if outer.family == 6:
        return [behind(outer, (DESTINATION, lambda upper: options_header(upper, pad(4))))]
    return [replace(outer, options=b"\x01" * 8)]


TUNNELS: dict[str, Tunnel] = {
    "ip": _ip,
    "gre": _gre(),
    "gre-key": _gre(_GRE_KEY),
    "gre-seq": _gre(_GRE_SEQ),
    "gre-sum": _gre(_GRE_SUM),
    "gre-all": _gre(_GRE_SUM | _GRE_KEY | _GRE_SEQ),
    "gre-bridged": _gre(_GRE_KEY, _BRIDGED),
    "gre-erspan": _gre(_GRE_SEQ, _ERSPAN),
    "gre-mpls": _gre(0, _MPLS_TYPE),
    "pptp": _pptp,
    "etherip": _etherip,
    "l2tp3": _l2tp3,
    "mpls-in-ip": _mpls,
    "pim": _pim,
    "minimal": _minimal,
    "esp-null": _esp,
    "ah": _ah,
    **{name: _in_udp(name) for name in _PORTS},
    "mpls-link": _mpls_link,
    "pppoe": _pppoe,
    "ip-in-ip-in-ip": _nested(_ip, _ip),
    "ip-eight-deep": _nested(*[_ip] * 8),
    "ip-in-gre": _nested(_gre(), _ip),
    "gre-in-ip": _nested(_ip, _gre(_GRE_KEY)),
    "pptp-in-ip": _nested(_ip, _pptp),
    "vxlan-in-gre": _nested(_gre(), _in_udp("vxlan")),
    "ip-in-pieces": _in_pieces(_ip, 24),
    "gre-in-pieces": _in_pieces(_gre(_GRE_KEY), 8),
    "ip-of-pieces": _of_pieces(_ip, 16),
    "ip-tagged": _tagged(_ip, (0x8100, 0)),
    "gre-tagged-twice": _tagged(_gre(), (0x88A8, 0), (0x8100, 0)),
    "ip-with-options": _with_options,
}
"""By name. A packet in a packet is IPIP, 6in4, 4in6 or 6in6, as the families of the two want it."""
