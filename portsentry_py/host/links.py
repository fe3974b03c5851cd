"""Reads the links of this host from the kernel: what each is, and what it belongs to (rtnetlink(7))."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_RTM_NEWLINK, _RTM_GETLINK, _NLMSG_ERROR, _NLMSG_DONE = 16, 18, 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_IFLA_IFNAME, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 5, 10, 18, 1
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_ANSWER_SECONDS = 2.0
_MAX_ANSWER = 1 << 18


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface as the kernel describes it.

    Attributes:
        kind: `bridge`, `veth`, `tun` and so on; empty for a device of a driver.
        master: index of the bridge or bond of which it is a port; 0 for none.
        parent: index of the link below it, of a VLAN for example; 0 for none.
    """

    index: int
    name: str
    up: bool = True
    loopback: bool = False
    kind: str = ""
    master: int = 0
    parent: int = 0


def links() -> list[Link]:
    """Every link of this network namespace.

    Raises:
        OSError: they cannot be read now.
    """
    request = _HEADER.pack(_HEADER.size + _LINK.size, _RTM_GETLINK, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_ANSWER_SECONDS)
        kernel.sendto(request + _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0), (0, 0))
        found: list[Link] = []
        while True:
            answer = memoryview(kernel.recv(_MAX_ANSWER))
            while answer:
                length, kind, *_ = _HEADER.unpack_from(answer)
                if kind in {_NLMSG_DONE, _NLMSG_ERROR}:
                    return found
                if kind == _RTM_NEWLINK:
                    found.append(_link(answer[_HEADER.size : length]))
                answer = answer[_aligned(length) :]


def _link(message: memoryview) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(message)
    found = dict(_attributes(message[_LINK.size :]))
    details = dict(_attributes(found.get(_IFLA_LINKINFO, memoryview(b""))))
    return Link(
        index,
        _text(found.get(_IFLA_IFNAME)),
        bool(flags & _IFF_UP),
        bool(flags & _IFF_LOOPBACK),
        _text(details.get(_IFLA_INFO_KIND)),
        _number(found.get(_IFLA_MASTER)),
        _number(found.get(_IFLA_LINK)),
    )


def _attributes(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    while len(message) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(message)
        if length < _ATTRIBUTE.size:
            return
        yield kind, message[_ATTRIBUTE.size : length]
        message = message[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _text(value: memoryview | None) -> str:
    return bytes(value or b"").rstrip(b"\0").decode("utf-8", "surrogateescape")


def _number(value: memoryview | None) -> int:
    return int(_NUMBER.unpack_from(value)[0]) if value else 0
