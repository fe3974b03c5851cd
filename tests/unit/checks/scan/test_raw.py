"""The raw scanner: what its sockets may take, and what it says without the right to open them."""

import errno
import socket

import pytest
from scapy.layers.inet import IP, TCP

from portsentry_py.capture.socket_filter import compiled
from portsentry_py.checks.scan.model import Answer, Method, Protocol, State, Target
from portsentry_py.checks.scan.raw import RawProber, reply_filter
from portsentry_py.errors import PermissionDenied, ScanError
from tests.support.needs import require_root

HOME = Target("127.0.0.1", bytes([127, 0, 0, 1]), "127.0.0.1")
HOME6 = Target("::1", bytes(15) + b"\x01", "::1")


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_the_filter_can_be_compiled(protocol: Protocol) -> None:
    assert compiled(reply_filter(protocol, ["10.0.0.1", "10.0.0.2"], is_ipv4=True))
    assert compiled(reply_filter(protocol, ["fd00::1"], is_ipv4=False))


@pytest.mark.parametrize("target", [HOME, HOME6])
@pytest.mark.parametrize(("method", "state"), [("syn", "open"), ("ack", "unfiltered"), ("window", "closed")])
def test_a_port_of_this_host_answers(target: Target, method: Method, state: State) -> None:
    require_root()
    with socket.create_server((target.address, 0), family=target.socket_family) as server:
        port = server.getsockname()[1]
        prober = RawProber(method, [target])
        prober.send(target, port, 1)
        found: list[Answer] = []
        while not found:
            found = [*prober.answers(10)]
        prober.close()
    assert found == [Answer(target, port, 1, state, by_icmp=False)]


def test_a_forged_answer_is_none() -> None:
    """From the right host and port, with a guessed source port and number."""
    require_root()
    prober = RawProber("syn", [HOME])
    forged = IP(src="127.0.0.1", dst="127.0.0.1") / TCP(sport=22, dport=40_000, seq=1, ack=1, flags="SA")
    assert prober._answer(bytes(forged)) is None
    assert prober._answer(b"") is None
    prober.close()


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (
            PermissionError(errno.EPERM, "Operation not permitted"),
            PermissionDenied,
            "run as root, or use --method connect",
        ),
        (OSError(errno.EAFNOSUPPORT, "no such family"), ScanError, "raw sockets cannot be used"),
    ],
)
def test_without_raw_sockets_it_is_one_sentence(
    error: OSError, expected: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_words: object) -> socket.socket:
        raise error

    monkeypatch.setattr(socket, "socket", refused)
    with pytest.raises(expected, match=words):
        RawProber("syn", [HOME])


@pytest.mark.parametrize(("code", "fails"), [(errno.EPERM, False), (errno.ENETDOWN, True)])
def test_a_probe_that_a_firewall_holds_back_is_lost_and_a_network_that_is_down_an_error(
    code: int, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def sendto(self, *_words: object) -> None:
            raise OSError(code, "refused")

        def close(self) -> None:
            pass

    monkeypatch.setattr(RawProber, "_open", lambda _self, _targets: None)
    prober = RawProber("syn", [HOME])
    monkeypatch.setattr(prober, "_senders", {HOME.source: Refusing()})
    if fails:
        with pytest.raises(ScanError, match="cannot send"):
            prober.send(HOME, 22, 0)
    else:
        prober.send(HOME, 22, 0)
