"""Reads the socket tables of this host: which ports are served, and who is connected to them."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import psutil

from portsentry_py.core.decode import canonical_address


@dataclass(frozen=True, slots=True)
class Connection:
    """An established connection to a served TCP port: the process that holds it if it is known, the port, the peer."""

    pid: int | None
    port: int
    peer: str


@dataclass(frozen=True, slots=True)
class Sockets:
    """Served ports, the connections to them, and which process listens on which TCP port where that is known."""

    tcp: frozenset[int]
    udp: frozenset[int]
    connections: tuple[Connection, ...] = ()
    listeners: frozenset[tuple[int, int]] = frozenset()


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
    )


def peer_address(address: str) -> str:
    """A peer's address; a dual-stack socket shows an IPv4 peer as mapped."""
    canonical = canonical_address(address.partition("%")[0])
    return canonical.removeprefix("::ffff:") if "." in canonical else canonical


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
