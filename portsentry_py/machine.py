"""Reads what the core must know of this host: addresses, interfaces, listening sockets. Touches nothing."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import psutil

from portsentry_py.decode import canonical_address
from portsentry_py.host import HostState
from portsentry_py.settings import Networks

_ARPHRD_ETHER = 1  # linux/if_arp.h
_SYS_NET = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface; `ethernet` links can carry VLAN tags."""

    name: str
    ethernet: bool


def host_state(home: Networks) -> HostState:
    """The host as it is now; `home` are the networks that the operator counts as ours."""
    tcp, udp = _listening()
    return HostState(own=own_addresses(), home=home, listening_tcp=tcp, listening_udp=udp)


def own_addresses() -> frozenset[str]:
    """Every address of every interface, canonical, without scope."""
    return frozenset(
        canonical_address(address.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in {socket.AF_INET, socket.AF_INET6}
    )


def default_interfaces() -> list[str]:
    """Every interface that is up and not loopback."""
    return sorted(
        name
        for name, stats in psutil.net_if_stats().items()
        if stats.isup and "loopback" not in stats.flags.split(",")
    )


def interface(name: str) -> Interface:
    """What the capture filter must know of an interface; `any` and unknown ones are not Ethernet."""
    try:
        kind = int((_SYS_NET / name / "type").read_text(encoding="ascii"))
    except (OSError, ValueError):
        kind = 0
    return Interface(name, kind == _ARPHRD_ETHER)


def _listening() -> tuple[frozenset[int], frozenset[int]]:
    """TCP and UDP ports with a socket that others can reach: not those bound to loopback alone."""
    tcp: set[int] = set()
    udp: set[int] = set()
    for connection in psutil.net_connections(kind="inet"):
        if not connection.laddr or _is_loopback(connection.laddr.ip):
            continue
        if connection.type == socket.SOCK_STREAM and connection.status == psutil.CONN_LISTEN:
            tcp.add(connection.laddr.port)
        elif connection.type == socket.SOCK_DGRAM and not connection.raddr:
            udp.add(connection.laddr.port)
    return frozenset(tcp), frozenset(udp)


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback


def describe(names: Iterable[str]) -> list[Interface]:
    """The interfaces of these names."""
    return [interface(name) for name in names]
