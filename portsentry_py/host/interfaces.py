"""Reads the network interfaces of this host and their addresses."""

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
    """A network interface; only `ethernet` links can carry VLAN tags."""

    name: str
    ethernet: bool


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


def all_interfaces() -> list[str]:
    """Every interface, and `any`, which stands for all."""
    return [*sorted(psutil.net_if_stats()), "any"]


def default_interfaces() -> list[str]:
    """Every interface that is up, less loopback and the ports of bridges: a bridge sees what its ports see.

    Raises:
        OSError: they cannot be read now.
    """
    return sorted(
        name
        for name, stats in psutil.net_if_stats().items()
        if stats.isup and "loopback" not in stats.flags.split(",") and not (_SYS_NET / name / "master").exists()
    )


def links_up() -> frozenset[str]:
    """The interfaces that are up; none if they cannot be read now."""
    try:
        return frozenset(name for name, stats in psutil.net_if_stats().items() if stats.isup)
    except OSError:
        return frozenset()


def describe(names: Iterable[str]) -> list[Interface]:
    """The interfaces with these names; `any` and unknown ones are not Ethernet."""
    return [Interface(name, _is_ethernet(name)) for name in names]


def _is_ethernet(name: str) -> bool:
    try:
        return int((_SYS_NET / name / "type").read_text(encoding="ascii")) == _ARPHRD_ETHER
    except (OSError, ValueError):
        return False
