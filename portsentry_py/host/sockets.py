"""Reads the socket tables of this host: which ports are served, and who is connected to them."""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import psutil

from portsentry_py.core.decode import canonical_address
from portsentry_py.host.never_ban import ssh_ports

_SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Sockets:
    """Served ports, the peers connected to them, and the administrators: those connected to sshd."""

    tcp: frozenset[int]
    udp: frozenset[int]
    peers: frozenset[str]
    administrators: frozenset[str]


def read_sockets(traps: frozenset[int]) -> Sockets:
    """The sockets of this moment.

    Args:
        traps: ports that we opened ourselves; nobody is served there.

    Raises:
        OSError: /proc cannot be read now.
    """
    return served(psutil.net_connections(kind="inet"), traps, ssh_ports() | {_SSH_PORT}, _program)


def served(
    connections: Iterable[Any], traps: frozenset[int], ssh: frozenset[int], program: Callable[[int], str | None]
) -> Sockets:
    """What a socket table says. Sockets bound to loopback do not count: nobody else can reach them.

    Args:
        connections: rows as psutil gives them.
        traps: as above.
        ssh: ports of sshd according to its configuration.
        program: the name of the program with this process number, None if unknown.
    """
    reachable = [one for one in connections if one.laddr and not _is_loopback(one.laddr.ip)]
    listening = [one for one in reachable if one.status == psutil.CONN_LISTEN]
    tcp = frozenset(one.laddr.port for one in listening) - traps
    # Only root sees which process holds a socket; sshd's configuration helps everybody else.
    sshd = {
        one.laddr.port
        for one in listening
        if one.laddr.port in ssh or (one.pid is not None and program(one.pid) == "sshd")
    }
    connected = {
        (_peer(one.raddr.ip), one.laddr.port in sshd)
        for one in reachable
        if one.status == psutil.CONN_ESTABLISHED and one.laddr.port in tcp
    }
    return Sockets(
        tcp=tcp,
        udp=frozenset(one.laddr.port for one in reachable if one.type == socket.SOCK_DGRAM and not one.raddr),
        peers=frozenset(peer for peer, is_administrator in connected if not is_administrator),
        administrators=frozenset(peer for peer, is_administrator in connected if is_administrator),
    )


def _program(pid: int) -> str | None:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return None


def _peer(address: str) -> str:
    """A peer's address; a dual-stack socket shows an IPv4 peer as mapped."""
    canonical = canonical_address(address.partition("%")[0])
    return canonical.removeprefix("::ffff:") if "." in canonical else canonical


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
