"""The connect scanner on loopback."""

import errno
import resource
import socket

import pytest

from portsentry_py.checks.scan.connect import ConnectProber, most_connections, state_by
from portsentry_py.checks.scan.model import Answer, Target
from portsentry_py.errors import ScanError
from tests.support.processes import open_files

HOME = Target("127.0.0.1", bytes([127, 0, 0, 1]), "127.0.0.1")
HOME6 = Target("::1", bytes(15) + b"\x01", "::1")


@pytest.mark.parametrize("target", [HOME, HOME6])
def test_open_and_closed_ports_are_told_apart(target: Target) -> None:
    before = open_files()
    prober = ConnectProber()
    with socket.create_server((target.address, 0), family=target.socket_family) as server:
        port = server.getsockname()[1]
        prober.send(target, port, 2)
        found = [*prober.answers(10)]
    assert found == [Answer(target, port, 2, "open")]
    prober.send(target, port, 0)
    assert [*prober.answers(10)] == [Answer(target, port, 0, "closed")]
    prober.close()
    assert open_files() == before


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, "open"),
        (errno.ECONNREFUSED, "closed"),
        (errno.EHOSTUNREACH, "filtered"),
        (errno.EACCES, "filtered"),
        (errno.EINPROGRESS, None),
    ],
)
def test_the_result_of_a_connection_is_a_state(code: int, state: str | None) -> None:
    assert state_by(code) == state


def test_a_port_that_connects_to_itself_is_closed() -> None:
    """The kernel may choose the scanned port as the source port; TCP then opens from both ends at once."""
    prober = ConnectProber()
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.connect(end.getsockname())
        prober._sockets[HOME, 1] = end, 0
        assert prober._answer(HOME, 1, "open").state == "closed"
    prober.close()


def test_what_is_forgotten_is_closed() -> None:
    before = open_files()
    prober = ConnectProber()
    prober.send(HOME, 1, 0)
    prober.send(HOME, 1, 1)
    prober.forget(HOME, 1)
    prober.forget(HOME, 1)
    assert [*prober.answers(0)] in ([], [Answer(HOME, 1, 0, "closed"), Answer(HOME, 1, 1, "closed")])
    prober.close()
    assert open_files() == before


def test_the_limit_of_descriptors_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (100, 100))
    assert most_connections() == 36
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1_000_000, 1_000_000))
    assert most_connections() == 500


def test_too_few_descriptors_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    prober = ConnectProber()

    def refused(*_words: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refused)
    with pytest.raises(ScanError, match="raise the limit"):
        prober.send(HOME, 1, 0)
