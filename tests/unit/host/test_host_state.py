"""The parts of this host's state, put together."""

import socket
from ipaddress import ip_network

import pytest

from portsentry_py.host import host_state as assembling
from portsentry_py.host.host_state import host_state
from portsentry_py.host.sockets import Connection, Sockets


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


@pytest.mark.parametrize(("can_tell", "peers"), [(True, {"x"}), (False, {"x", "stranger"})])
def test_who_is_logged_in_is_protected_and_who_is_connected_to_sshd_is_not(
    monkeypatch: pytest.MonkeyPatch, *, can_tell: bool, peers: set[str]
) -> None:
    """Where nobody can tell who is logged in, a client of sshd is a visitor like others."""
    admin = "203.0.113.9"
    connections = (Connection(None, 22, admin), Connection(None, 22, "stranger"), Connection(None, 443, "x"))
    sockets = Sockets(frozenset({22, 443}), frozenset({53}), connections, contacts=frozenset({"y"}))
    monkeypatch.setattr(assembling, "read_sockets", lambda _traps: sockets)
    monkeypatch.setattr(assembling, "administrators", lambda *_: frozenset({admin}))
    monkeypatch.setattr(assembling, "local_ports", lambda: range(9, 12))
    monkeypatch.setattr(assembling, "can_tell_logins", lambda: can_tell)
    monkeypatch.setattr(assembling, "broadcast_addresses", lambda: frozenset({"192.0.2.255"}))
    host = host_state(())
    assert (host.protected[admin], host.protected["192.0.2.255"]) == ("ssh_session", "not_bannable")
    assert (host.listening_tcp, host.listening_udp) == (sockets.tcp, sockets.udp)
    assert host.peers == peers
    assert (host.contacts, host.local_ports) == (sockets.contacts, range(9, 12))
