"""Who is served by this host, and who is connected to it."""

import socket
import subprocess
from types import SimpleNamespace

import psutil
import pytest

from portsentry_py.host.sockets import Sockets, _program, read_sockets, served
from tests.support.waiting import wait_for

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
    ("::", 443, "", psutil.CONN_LISTEN, 2),
    ("192.0.2.10", 2222, "", psutil.CONN_LISTEN, 3),
    ("127.0.0.1", 5432, "", psutil.CONN_LISTEN, 4),
    ("0.0.0.0", 23, "", psutil.CONN_LISTEN, 5),
]


def host_with(*rows: Row, traps: frozenset[int] = NONE, ssh: frozenset[int] = frozenset({22})) -> Sockets:
    """A host with these TCP sockets; process 3 is an sshd, 9 has just ended."""
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
    return served(connections, traps, ssh, {3: "sshd", 9: None}.get)


def established(port: int, peer: str) -> Row:
    return ("192.0.2.10", port, peer, psutil.CONN_ESTABLISHED, 7)


@pytest.mark.parametrize("port", [22, 2222])
@pytest.mark.parametrize("peer", ["203.0.113.9", "2001:db8::9"])
def test_peers_of_sshd_are_administrators(port: int, peer: str) -> None:
    host = host_with(established(port, peer))
    assert host.administrators == {peer}
    assert host.peers == set()


def test_a_hidden_process_on_a_port_of_sshds_configuration_is_sshd() -> None:
    """A sensor that is not root does not see which process holds a socket."""
    hidden = ("0.0.0.0", 8022, "", psutil.CONN_LISTEN, None)
    rows = [established(8022, "203.0.113.9"), established(443, "203.0.113.10")]
    host = host_with(hidden, *rows, ssh=frozenset({8022}))
    assert host.administrators == {"203.0.113.9"}
    assert host.peers == {"203.0.113.10"}


def test_peers_are_connected_to_a_served_port() -> None:
    host = host_with(
        established(443, "::ffff:203.0.113.9"),
        established(443, "fe80::9%eth0"),
        established(5432, "203.0.113.10"),
        established(50_001, "203.0.113.11"),
        ("192.0.2.10", 443, "203.0.113.12", psutil.CONN_TIME_WAIT, None),
    )
    assert host.peers == {"203.0.113.9", "fe80::9"}


def test_a_visitor_of_a_trap_is_no_peer() -> None:
    host = host_with(established(23, "203.0.113.9"), traps=frozenset({23}))
    assert host.peers == set()
    assert host.tcp == {22, 443, 2222}


def test_a_process_that_has_ended_or_is_hidden_is_not_sshd() -> None:
    ended = ("0.0.0.0", 8022, "", psutil.CONN_LISTEN, 9)
    hidden = ("0.0.0.0", 8023, "", psutil.CONN_LISTEN, None)
    host = host_with(ended, hidden, established(8022, "203.0.113.9"), established(8023, "203.0.113.10"))
    assert host.peers == {"203.0.113.9", "203.0.113.10"}


def test_the_program_of_a_process_is_its_name_or_unknown() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        pid = process.pid
        wait_for(lambda: _program(pid) == "sleep", "the start of a program")
        process.kill()
    assert _program(pid) is None
