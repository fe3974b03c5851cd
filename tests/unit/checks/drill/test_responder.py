"""The drill's own ports answer while it asks."""

import errno
import socket

import pytest

from portsentry_py.checks.drill.addresses import Target
from portsentry_py.checks.drill.responder import responding
from portsentry_py.errors import DrillError

_LOOPBACK = (Target("127.0.0.1", "lo"), Target("::1", "lo"))


@pytest.mark.parametrize("target", _LOOPBACK, ids=str)
def test_connections_are_taken_and_datagrams_returned(target: Target) -> None:
    with responding([target]) as ports:
        with socket.create_connection((target.address, ports[target.version, "tcp"]), timeout=60):
            pass
        family = socket.AF_INET if target.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.settimeout(60)
            one.connect((target.address, ports[target.version, "udp"]))
            one.send(b"here?")
            assert one.recv(100) == b"here?"


def test_the_ports_are_closed_afterwards() -> None:
    with responding(_LOOPBACK) as ports:
        assert len(ports) == 4
    for target in _LOOPBACK:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((target.address, ports[target.version, "tcp"]), timeout=60)


def test_a_host_without_free_ports_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_is_free(*_: object) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(socket, "socket", none_is_free)
    with pytest.raises(DrillError, match="Address already in use"), responding(_LOOPBACK):
        pass


def test_an_address_that_is_gone_is_told() -> None:
    with pytest.raises(DrillError, match="no port can be opened"), responding([Target("192.0.2.55", "eth0")]):
        pass
