"""Who is served by this host, who is connected to it, and to whom it connects."""

import socket
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from portsentry_py.host.sockets import Connection, Sockets, local_ports, read_sockets, served

NONE = frozenset[int]()


def bound(kind: socket.SocketKind, address: str) -> socket.socket:
    one = socket.socket(socket.AF_INET, kind)
    one.bind((address, 0))
    if kind is socket.SOCK_STREAM:
        one.listen()
    return one


@pytest.mark.parametrize(("kind", "name"), [(socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")])
def test_listening_sockets_that_others_can_reach_are_seen(kind: socket.SocketKind, name: str) -> None:
    with bound(kind, "0.0.0.0") as reachable, bound(kind, "127.0.0.1") as private:
        ports = getattr(read_sockets(NONE), name)
        assert reachable.getsockname()[1] in ports
        assert private.getsockname()[1] not in ports
        number = reachable.getsockname()[1]
    assert number not in getattr(read_sockets(NONE), name)


def test_a_connected_udp_socket_serves_nobody() -> None:
    with bound(socket.SOCK_DGRAM, "0.0.0.0") as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.getsockname()[1]))
        assert client.getsockname()[1] not in read_sockets(NONE).udp


Row = tuple[str, int, str, str, int | None]
LISTENING: list[Row] = [
    ("0.0.0.0", 22, "", psutil.CONN_LISTEN, 1),
    ("::", 443, "", psutil.CONN_LISTEN, None),
    ("127.0.0.1", 5432, "", psutil.CONN_LISTEN, 4),
    ("0.0.0.0", 23, "", psutil.CONN_LISTEN, 5),
]


def host_with(*rows: Row, traps: frozenset[int] = NONE) -> Sockets:
    """A host with these TCP sockets."""
    connections = [
        SimpleNamespace(
            laddr=SimpleNamespace(ip=ip, port=port),
            raddr=SimpleNamespace(ip=peer, port=50_000) if peer else (),
            status=status,
            type=socket.SOCK_STREAM,
            pid=pid,
        )
        for ip, port, peer, status, pid in (*LISTENING, *rows)
    ]
    return served(connections, traps)


def established(port: int, peer: str) -> Row:
    return ("192.0.2.10", port, peer, psutil.CONN_ESTABLISHED, 7)


def test_connections_to_served_ports_are_seen_with_their_process() -> None:
    host = host_with(
        established(443, "::ffff:203.0.113.9"),
        established(22, "fe80::9%eth0"),
        established(5432, "203.0.113.10"),
        established(50_001, "203.0.113.11"),
        ("192.0.2.10", 443, "203.0.113.12", psutil.CONN_TIME_WAIT, None),
        ("192.0.2.10", 443, "203.0.113.13", psutil.CONN_ESTABLISHED, None),
    )
    assert host.connections == (
        Connection(7, 443, "203.0.113.9"),
        Connection(7, 22, "fe80::9"),
        Connection(None, 443, "203.0.113.13"),
    )
    assert host.listeners == {(1, 22), (5, 23)}


def test_a_visitor_of_a_trap_is_no_peer_and_no_contact() -> None:
    host = host_with(established(23, "203.0.113.9"), traps=frozenset({23}))
    assert (host.connections, host.contacts) == ((), frozenset())
    assert host.tcp == {22, 443}


def test_a_peer_of_a_connection_at_a_port_where_nobody_listens_is_a_contact() -> None:
    host = host_with(
        established(50_001, "::ffff:203.0.113.11"),
        established(443, "203.0.113.12"),
        ("192.0.2.10", 50_002, "203.0.113.13", psutil.CONN_SYN_SENT, 7),
        ("192.0.2.10", 50_003, "203.0.113.14", psutil.CONN_TIME_WAIT, None),
    )
    assert host.contacts == {"203.0.113.11"}


def test_the_peer_of_a_connected_udp_socket_is_a_contact() -> None:
    row = SimpleNamespace(
        laddr=SimpleNamespace(ip="192.0.2.10", port=40_000),
        raddr=SimpleNamespace(ip="203.0.113.15", port=51_820),
        status=psutil.CONN_NONE,
        type=socket.SOCK_DGRAM,
        pid=7,
    )
    assert served([row], NONE).contacts == {"203.0.113.15"}


@pytest.mark.parametrize(
    ("text", "ports"),
    [("20000\t30000\n", range(20_000, 30_001)), ("", range(32_768, 61_000)), (None, range(32_768, 61_000))],
    ids=["set", "empty", "missing"],
)
def test_the_ports_of_clients_are_those_of_the_kernel(tmp_path: Path, text: str | None, ports: range) -> None:
    if text is not None:
        file = tmp_path / "sys/net/ipv4/ip_local_port_range"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert local_ports(tmp_path) == ports
