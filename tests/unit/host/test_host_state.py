"""The parts of this host's state, put together."""

import socket
from ipaddress import ip_network

import pytest

from portsentry_py.host import host_state as assembling
from portsentry_py.host.host_state import host_state
from portsentry_py.host.sockets import Sockets


def test_home_networks_are_passed_on() -> None:
    home = (ip_network("192.0.2.0/24"),)
    assert host_state(home).home == home
    assert host_state(home).home_known


def test_the_real_host_is_read() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        host = host_state(())
        trapped = host_state((), traps=frozenset({port}))
    assert port in host.listening_tcp
    assert "127.0.0.1" in host.own
    assert port not in trapped.listening_tcp
    assert trapped.open_traps == {port}


def test_administrators_are_protected(monkeypatch: pytest.MonkeyPatch) -> None:
    one = frozenset({"203.0.113.9"})
    sockets = Sockets(tcp=frozenset({22}), udp=frozenset({53}), peers=frozenset({"x"}), administrators=one)
    monkeypatch.setattr(assembling, "read_sockets", lambda _traps: sockets)
    host = host_state(())
    assert host.protected["203.0.113.9"] == "ssh_session"
    assert (host.listening_tcp, host.listening_udp) == (sockets.tcp, sockets.udp)
    assert host.peers == sockets.peers
