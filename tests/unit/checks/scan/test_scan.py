"""A whole scan of this host, by the function that other parts call."""

import socket
from collections.abc import Iterator

import pytest

from portsentry_py.checks.scan import scan as module
from portsentry_py.checks.scan.connect import ConnectProber
from portsentry_py.checks.scan.model import DEFAULT_OPTIONS, METHODS, Answer, Method, Options, Target
from portsentry_py.checks.scan.scan import Scan, scan
from portsentry_py.errors import UsageError
from tests.support.needs import require_root

HOME = Target("127.0.0.1", bytes([127, 0, 0, 1]), "127.0.0.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("method", ["connect", "syn"])
def test_an_open_port_of_this_host_is_found(address: str, method: Method) -> None:
    if method != "connect":
        require_root()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        (found,) = scan([address], [port], method)
        assert dict(found.states()) == {port: "open"}
    (found,) = scan([address], [port], method)
    assert dict(found.states()) == {port: "closed"}


def test_the_announcement_says_what_is_sent() -> None:
    one = Scan("syn", [HOME], range(1, 1025), DEFAULT_OPTIONS)
    assert one.announcement() == (
        "syn: 1,024 tcp probes from 127.0.0.1 to 127.0.0.1, each up to 3 times, at most 10,000 a second"
    )
    two = Scan("udp", [HOME, HOME._replace(address="127.0.0.2")], [53], Options(retries=0, rate=5))
    assert two.announcement() == (
        "udp: 2 udp probes from 127.0.0.1 to 2 hosts (127.0.0.1-127.0.0.2), each up to 1 times, at most 5 a second"
    )


def test_an_interrupted_scan_keeps_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ConnectProber):
        def answers(self, seconds: float) -> Iterator[Answer]:
            yield next(super().answers(seconds))
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "ConnectProber", Interrupted)
    begun = Scan("connect", [HOME], [1, 2, 3, 4, 5, 6, 7, 8], DEFAULT_OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        begun.run()
    assert not begun.complete
    assert begun.sent > 0
    assert len(dict(begun.results[0].states())) == 1


def test_a_refused_host_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="public address"):
        scan(["127.0.0.1", "8.8.8.8"], [22], "connect")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_knows_what_silence_means(method: Method) -> None:
    assert Scan(method, [HOME], [1], DEFAULT_OPTIONS).results[0].silent in {"filtered", "open|filtered"}
