"""Reads the socket tables of this host: which ports are served, who is connected to them, and to whom it connects."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil

from portsentry_py.core.decode import canonical_address
from portsentry_py.core.host_state import HostState


@dataclass(frozen=True, slots=True)
class Connection:
    """An established connection to a served TCP port: the process that holds it if it is known, the port, the peer."""

    pid: int | None
    port: int
    peer: str


@dataclass(frozen=True, slots=True)
class Sockets:
    """Served ports, the connections to them, and which process listens on which TCP port where that is known.

    Attributes:
        contacts: peers of the connections that this host opened: TCP ones at a port where nobody listens, and
            connected UDP sockets.
    """

    tcp: frozenset[int]
    udp: frozenset[int]
    connections: tuple[Connection, ...] = ()
    listeners: frozenset[tuple[int, int]] = frozenset()
    contacts: frozenset[str] = frozenset()


def read_sockets(traps: frozenset[int]) -> Sockets:
    """The sockets of this moment.

    Args:
        traps: ports that we opened ourselves; nobody is served there.

    Raises:
        OSError: /proc cannot be read now.
    """
    return served(psutil.net_connections(kind="inet"), traps)


def served(rows: Iterable[Any], traps: frozenset[int]) -> Sockets:
    """What a socket table says. Sockets bound to loopback do not count: nobody else can reach them.

    Args:
        rows: as psutil gives them.
        traps: as above.
    """
    reachable = [one for one in rows if one.laddr and not _is_loopback(one.laddr.ip)]
    listening = [one for one in reachable if one.status == psutil.CONN_LISTEN]
    tcp = frozenset(one.laddr.port for one in listening) - traps
    return Sockets(
        tcp=tcp,
        udp=frozenset(one.laddr.port for one in reachable if one.type == socket.SOCK_DGRAM and not one.raddr),
        connections=tuple(
            Connection(one.pid, one.laddr.port, peer_address(one.raddr.ip))
            for one in reachable
            if one.status == psutil.CONN_ESTABLISHED and one.laddr.port in tcp
        ),
        listeners=frozenset((one.pid, one.laddr.port) for one in listening if one.pid is not None),
        contacts=frozenset(
            peer_address(one.raddr.ip)
            for one in reachable
            if one.raddr and (one.type == socket.SOCK_DGRAM or _is_client(one, tcp | traps))
        ),
    )


def local_ports(proc: Path = Path("/proc")) -> range:
    """The ports that the kernel gives to clients of this host (ip-sysctl: ip_local_port_range), for both families.

    Args:
        proc: top of the tree with the kernel's values. One that cannot be read gives the kernel's own default.
    """
    try:
        first, last = map(int, (proc / "sys/net/ipv4/ip_local_port_range").read_text("ascii").split())
    except (OSError, ValueError):
        return HostState().local_ports
    return range(first, last + 1)


def peer_address(address: str) -> str:
    """A peer's address; a dual-stack socket shows an IPv4 peer as mapped."""
    canonical = canonical_address(address.partition("%")[0])
    return canonical.removeprefix("::ffff:") if "." in canonical else canonical


def _is_client(row: Any, listening: frozenset[int]) -> bool:
    return row.status == psutil.CONN_ESTABLISHED and row.laddr.port not in listening


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
