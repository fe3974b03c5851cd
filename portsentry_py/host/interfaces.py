"""Reads the network interfaces of this host."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from portsentry_py.core.decode import canonical_address

_ARPHRD_ETHER = 1  # linux/if_arp.h
_SYS_NET = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface; `ethernet` links can carry VLAN tags."""

    name: str
    ethernet: bool


def own_addresses() -> frozenset[str]:
    """Every address of every interface, canonical, without scope."""
    return frozenset(
        canonical_address(address.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in {socket.AF_INET, socket.AF_INET6}
    )


def all_interfaces() -> list[str]:
    """Every interface, and `any`, which stands for all of them."""
    return [*sorted(psutil.net_if_stats()), "any"]


def default_interfaces() -> list[str]:
    """Every interface that is up, not loopback, and no part of another: a bridge sees what its ports see."""
    return sorted(
        name
        for name, stats in psutil.net_if_stats().items()
        if stats.isup
        and "loopback" not in stats.flags.split(",")
        and not (_SYS_NET / name / "master").exists()
    )


def links_up() -> frozenset[str]:
    """The interfaces that are up; none if they cannot be seen now."""
    try:
        return frozenset(name for name, stats in psutil.net_if_stats().items() if stats.isup)
    except OSError:
        return frozenset()


def interface(name: str) -> Interface:
    """What the capture filter must know of an interface; `any` and unknown ones are not Ethernet."""
    try:
        kind = int((_SYS_NET / name / "type").read_text(encoding="ascii"))
    except (OSError, ValueError):
        kind = 0
    return Interface(name, kind == _ARPHRD_ETHER)


def describe(names: Iterable[str]) -> list[Interface]:
    """The interfaces of these names."""
    return [interface(name) for name in names]
