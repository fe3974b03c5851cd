"""What is read from this host."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from ipaddress import ip_network
from types import SimpleNamespace

import psutil
import pytest

from portsentry_py.core.host_state import HostState
from portsentry_py.host.interfaces import (
    all_interfaces,
    default_interfaces,
    describe,
    host_state,
    interface,
    links_up,
    memory_of,
    own_addresses,
    usable_cores,
)


def bound(kind: socket.SocketKind, address: str) -> socket.socket:
    one = socket.socket(socket.AF_INET, kind)
    one.bind((address, 0))
    if kind is socket.SOCK_STREAM:
        one.listen()
    return one


def test_our_addresses_are_ours() -> None:
    assert "127.0.0.1" in own_addresses()
    assert not any("%" in address for address in own_addresses())


def test_home_networks_are_passed_on() -> None:
    home = (ip_network("192.0.2.0/24"),)
    assert host_state(home).home == home
    assert host_state(home).home_known


@pytest.mark.parametrize(
    ("kind", "ports"),
    [
        (socket.SOCK_STREAM, lambda: host_state(()).listening_tcp),
        (socket.SOCK_DGRAM, lambda: host_state(()).listening_udp),
    ],
)
def test_listening_sockets_that_others_can_reach_are_seen(
    kind: socket.SocketKind, ports: Callable[[], frozenset[int]]
) -> None:
    with bound(kind, "0.0.0.0") as reachable, bound(kind, "127.0.0.1") as private:
        assert reachable.getsockname()[1] in ports()
        assert private.getsockname()[1] not in ports()
        number = reachable.getsockname()[1]
    assert number not in ports()


def test_a_connected_socket_serves_nobody() -> None:
    with bound(socket.SOCK_DGRAM, "0.0.0.0") as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.getsockname()[1]))
        assert client.getsockname()[1] not in host_state(()).listening_udp


def test_only_the_cores_that_we_may_run_on_are_counted() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores() == len(before)


def test_loopback_is_not_watched_by_default() -> None:
    assert "lo" not in default_interfaces()
    assert default_interfaces() == sorted(default_interfaces())


def test_interfaces_without_a_type_carry_no_tags() -> None:
    assert [one.ethernet for one in describe(["any", "no_such_if0", "../../etc"])] == [False, False, False]
    assert interface("any").name == "any"


def test_every_interface_is_named_and_the_one_for_all() -> None:
    assert {*default_interfaces(), "lo", "any"} <= set(all_interfaces())


Socket = tuple[str, int, str, int, str, int | None]
LISTENING: list[Socket] = [
    ("0.0.0.0", 22, "", 0, psutil.CONN_LISTEN, 1),
    ("::", 443, "", 0, psutil.CONN_LISTEN, 2),
    ("192.0.2.10", 2222, "", 0, psutil.CONN_LISTEN, 3),
    ("127.0.0.1", 5432, "", 0, psutil.CONN_LISTEN, 4),
    ("0.0.0.0", 23, "", 0, psutil.CONN_LISTEN, 5),
]


def host_with(
    monkeypatch: pytest.MonkeyPatch,
    *sockets: Socket,
    decoys: frozenset[int] = frozenset(),
    ssh_ports: frozenset[int] = frozenset(),
) -> HostState:
    """The state of a host with these TCP sockets; process 3 is an sshd, 9 has just gone."""
    monkeypatch.setattr("portsentry_py.host.interfaces.ssh_ports", lambda: ssh_ports)

    def process(pid: int) -> SimpleNamespace:
        if pid == 9:
            raise psutil.NoSuchProcess(pid)
        return SimpleNamespace(name=lambda: "sshd" if pid == 3 else "other")

    connections = [
        SimpleNamespace(
            laddr=SimpleNamespace(ip=ip, port=port),
            raddr=SimpleNamespace(ip=peer, port=peer_port) if peer else (),
            status=status,
            type=socket.SOCK_STREAM,
            pid=pid,
        )
        for ip, port, peer, peer_port, status, pid in (*LISTENING, *sockets)
    ]
    monkeypatch.setattr(psutil, "net_connections", lambda kind: connections if kind == "inet" else [])
    monkeypatch.setattr(psutil, "Process", process)
    return host_state((), decoys)


def established(port: int, peer: str) -> Socket:
    return ("192.0.2.10", port, peer, 50_000, psutil.CONN_ESTABLISHED, 7)


@pytest.mark.parametrize("port", [22, 2222])
@pytest.mark.parametrize("peer", ["203.0.113.9", "2001:db8::9"])
def test_whoever_administers_this_host_is_protected(
    monkeypatch: pytest.MonkeyPatch, port: int, peer: str
) -> None:
    host = host_with(monkeypatch, established(port, peer))
    assert host.protected[peer] == "ssh_session"
    assert peer not in host.peers


def test_whoever_comes_to_a_port_that_sshd_was_told_is_protected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose a socket is, a sensor that is not root cannot see."""
    hidden = ("0.0.0.0", 8022, "", 0, psutil.CONN_LISTEN, None)
    peers = [established(8022, "203.0.113.9"), established(443, "203.0.113.10")]
    host = host_with(monkeypatch, hidden, *peers, ssh_ports=frozenset({8022}))
    assert host.protected["203.0.113.9"] == "ssh_session"
    assert host.peers == {"203.0.113.10"}


def test_whoever_is_connected_to_a_service_is_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = [
        established(443, "::ffff:203.0.113.9"),
        established(443, "fe80::9%eth0"),
        established(5432, "203.0.113.10"),
        established(50_001, "203.0.113.11"),
        ("192.0.2.10", 443, "203.0.113.12", 50_000, psutil.CONN_TIME_WAIT, None),
    ]
    host = host_with(monkeypatch, *peers)
    assert host.peers == {"203.0.113.9", "fe80::9"}


def test_whoever_is_connected_to_a_decoy_is_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with(monkeypatch, established(23, "203.0.113.9"), decoys=frozenset({23}))
    assert not host.peers
    assert host.decoys == {23}
    assert host.listening_tcp == {22, 443, 2222}


def test_a_process_that_is_gone_or_hidden_is_no_sshd(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ("0.0.0.0", 8022, "", 0, psutil.CONN_LISTEN, 9)
    hidden = ("0.0.0.0", 8023, "", 0, psutil.CONN_LISTEN, None)
    peers = [established(8022, "203.0.113.9"), established(8023, "203.0.113.10")]
    host = host_with(monkeypatch, gone, hidden, *peers)
    assert host.peers == {"203.0.113.9", "203.0.113.10"}


def test_without_descriptors_nothing_is_seen_and_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(psutil, "Process", exhausted)
    monkeypatch.setattr(psutil, "net_if_stats", exhausted)
    assert memory_of(1) == 0
    assert links_up() == frozenset()
