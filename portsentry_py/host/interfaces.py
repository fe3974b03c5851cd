"""Reads the network interfaces of this host and their addresses."""

import fcntl
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from portsentry_py.core.decode import canonical_address

_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h
_SIOCGIFHWADDR, _IFREQ_BYTES, _LONGEST_NAME = 0x8927, 40, 15  # linux/sockios.h, linux/if.h
_HARDWARE_ADDRESS = struct.Struct("=H6s")
DRILL_LINK = "psdrill0"
"""The end of the drill's wire that is on this host; its packets arrive on the interface where strangers come in."""
OTHERS = "all others"
"""Stands for every interface that is not watched by itself; no interface has a name with a blank."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface.

    Attributes:
        name: its name, or `any`.
        ethernet: whether the link can carry VLAN tags.
        loopback: whether every frame comes in there.
        link_address: its Ethernet address; empty if it has none.
        others: whether it stands for every interface that is not watched by itself.
    """

    name: str
    ethernet: bool
    loopback: bool = False
    link_address: str = ""
    others: bool = False


def own_addresses() -> frozenset[str]:
    """The addresses of all interfaces, in canonical form and without scope.

    Raises:
        OSError: they cannot be read now.
    """
    return frozenset(
        canonical_address(address.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in {socket.AF_INET, socket.AF_INET6}
    )


def addresses_of(name: str) -> list[str]:
    """The addresses of an interface, as `own_addresses`; none if there is no such interface."""
    return [
        canonical_address(address.address.partition("%")[0])
        for address in psutil.net_if_addrs().get(name, [])
        if address.family in {socket.AF_INET, socket.AF_INET6}
    ]


def broadcast_addresses() -> frozenset[str]:
    """The IPv4 broadcast addresses of the networks of all interfaces: they are no host's.

    Raises:
        OSError: they cannot be read now.
    """
    return frozenset(
        address.broadcast
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and address.broadcast
    )


def all_interfaces() -> list[str]:
    """Every interface, and `any`, which stands for all."""
    return [*sorted(psutil.net_if_stats()), "any"]


def links_up() -> frozenset[str]:
    """The interfaces that are up; none if they cannot be read now."""
    try:
        return frozenset(name for name, stats in psutil.net_if_stats().items() if stats.isup)
    except OSError:
        return frozenset()


def describe(names: Iterable[str]) -> list[Interface]:
    """The interfaces with these names; `any`, `OTHERS` and unknown ones are neither Ethernet nor loopback."""
    return list(map(_describe, names))


def _describe(name: str) -> Interface:
    """By a call of the kernel: /sys may show the interfaces of another network namespace."""
    if name == OTHERS:
        return Interface("any", ethernet=False, others=True)
    title = name.encode()
    if len(title) > _LONGEST_NAME:
        return Interface(name, ethernet=False)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
            answer = fcntl.ioctl(anything, _SIOCGIFHWADDR, title.ljust(_IFREQ_BYTES, b"\0"))
    except OSError:
        return Interface(name, ethernet=False)
    kind, address = _HARDWARE_ADDRESS.unpack_from(answer, _LONGEST_NAME + 1)
    is_ethernet = kind == _ARPHRD_ETHER
    return Interface(name, is_ethernet, kind == _ARPHRD_LOOPBACK, address.hex(":") if is_ethernet else "")


def link_addresses(interfaces: Iterable[Interface]) -> frozenset[str]:
    """The link addresses that they have."""
    return frozenset(one.link_address for one in interfaces if one.link_address)
