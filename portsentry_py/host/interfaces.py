"""Reads what the core must know of this host: addresses, interfaces, listening sockets. Touches nothing."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil

from portsentry_py.config.settings import Networks
from portsentry_py.core.decode import canonical_address
from portsentry_py.core.host_state import HostState
from portsentry_py.host.never_ban import protected_addresses, ssh_ports

_SSH_PORT = 22
_ARPHRD_ETHER = 1  # linux/if_arp.h
_SYS_NET = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface; `ethernet` links can carry VLAN tags."""

    name: str
    ethernet: bool


def host_state(home: Networks, decoys: frozenset[int] = frozenset()) -> HostState:
    """The host as it is now.

    Args:
        home: networks that the operator counts as ours.
        decoys: ports that we opened ourselves as traps: nobody is served there.
    """
    sockets = _sockets(decoys)
    protected = protected_addresses() | dict.fromkeys(sockets.admins, "ssh_session")
    return HostState(
        own=own_addresses(),
        home=home,
        listening_tcp=frozenset(sockets.tcp),
        decoys=decoys,
        listening_udp=frozenset(sockets.udp),
        protected=protected,
        peers=frozenset(sockets.peers),
    )


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


@dataclass(frozen=True, slots=True)
class _Sockets:
    """What the socket tables say: served ports, and who is connected to them."""

    tcp: set[int]
    udp: set[int]
    peers: set[str]
    admins: set[str]


def _sockets(decoys: frozenset[int]) -> _Sockets:
    """Ports with a socket that others can reach (not those bound to loopback alone), and their peers."""
    found = _Sockets(set(), set(), set(), set())
    connections: list[Any] = [one for one in psutil.net_connections(kind="inet") if one.laddr]
    for connection in connections:
        if _is_loopback(connection.laddr.ip):
            continue
        if connection.type == socket.SOCK_STREAM and connection.status == psutil.CONN_LISTEN:
            found.tcp.update({connection.laddr.port} - decoys)
        elif connection.type == socket.SOCK_DGRAM and not connection.raddr:
            found.udp.add(connection.laddr.port)
    told = ssh_ports() | {_SSH_PORT}
    ssh = {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN and _is_ssh(one, told)}
    for connection in connections:
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port in found.tcp:
            peer = canonical_address(connection.raddr.ip.partition("%")[0])
            # A dual-stack socket shows an IPv4 peer as mapped.
            peer = peer.removeprefix("::ffff:") if "." in peer else peer
            (found.admins if connection.laddr.port in ssh else found.peers).add(peer)
    return found


def _is_ssh(connection: Any, ports: frozenset[int]) -> bool:
    """A listener on one of SSH's ports, or one that sshd holds (root alone can see whose it is)."""
    if connection.laddr.port in ports:
        return True
    if connection.pid is None:
        return False
    try:
        return psutil.Process(connection.pid).name() == "sshd"
    except psutil.Error:
        return False


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback


def memory_of(pid: int) -> int:
    """The bytes of memory that a process occupies; 0 if there is none, or it cannot be seen now."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError):
        return 0


def usable_cores() -> int:
    """The processor cores that we may run on."""
    return len(os.sched_getaffinity(0))


def describe(names: Iterable[str]) -> list[Interface]:
    """The interfaces of these names."""
    return [interface(name) for name in names]
