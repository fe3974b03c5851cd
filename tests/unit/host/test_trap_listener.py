"""Open decoy ports: real sockets on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from portsentry_py.host import trap_listener as listening
from portsentry_py.host.trap_listener import TrapListener

PATIENCE_SECONDS = 5


def free_port() -> int:
    """A port that nobody holds at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.fixture
def port() -> int:
    """A port for a decoy."""
    return free_port()


@pytest.fixture
def opened() -> Iterator[list[TrapListener]]:
    """Listeners to be closed after the test."""
    found: list[TrapListener] = []
    yield found
    for one in found:
        one.close()


def visit(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((address, port), timeout=PATIENCE_SECONDS)


def told(visitor: socket.socket) -> bytes:
    """All that a visitor reads until the other side closes."""
    text = b""
    while some := visitor.recv(4096):
        text += some
    return text


@pytest.mark.parametrize("banner", ["", "220 ready\r\n"])
def test_a_visitor_is_told_the_banner_and_sent_away(
    port: int, opened: list[TrapListener], banner: str
) -> None:
    decoy = TrapListener([port], banner)
    opened.append(decoy)
    assert decoy.ports == {port}
    with visit(port) as visitor:
        decoy.poll()
        assert told(visitor) == banner.encode()


def test_both_families_are_welcome(port: int, opened: list[TrapListener]) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    decoy = TrapListener([port], "hello")
    opened.append(decoy)
    with visit(port, "::1") as visitor:
        decoy.poll()
        assert told(visitor) == b"hello"


def test_a_machine_without_ipv6_listens_all_the_same(
    port: int, opened: list[TrapListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    create = socket.create_server

    def without(address: tuple[str, int], **given: object) -> socket.socket:
        if given.get("family") == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return create(address, backlog=8)

    monkeypatch.setattr(socket, "create_server", without)
    decoy = TrapListener([port], "hello")
    opened.append(decoy)
    with visit(port) as visitor:
        decoy.poll()
        assert told(visitor) == b"hello"


def test_a_port_in_use_is_left_to_who_holds_it(
    port: int, opened: list[TrapListener], caplog: pytest.LogCaptureFixture
) -> None:
    other = free_port()
    with socket.create_server(("127.0.0.1", port)) as service:
        decoy = TrapListener([port, other], "never read")
        opened.append(decoy)
        assert decoy.ports == {other}
        assert f"decoy port {port} stays closed" in caplog.text
        with visit(port) as visitor:
            decoy.poll()
            guest, _ = service.accept()
            guest.close()
            assert told(visitor) == b""


def test_nobody_is_waited_for(port: int, opened: list[TrapListener]) -> None:
    decoy = TrapListener([port], "x" * 100)
    opened.append(decoy)
    decoy.poll()
    gone = visit(port)
    gone.close()
    silent = visit(port)
    decoy.poll()
    with silent:
        assert told(silent) == b"x" * 100


def test_a_visitor_that_cannot_be_told_is_sent_away(
    port: int, opened: list[TrapListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoy = TrapListener([port], "hello")
    opened.append(decoy)

    class Unwilling(socket.socket):
        def send(self, *_given: object) -> int:
            raise BlockingIOError

    accept = socket.socket.accept

    def accepted(self: socket.socket) -> tuple[socket.socket, object]:
        visitor, address = accept(self)
        return Unwilling(fileno=visitor.detach()), address

    monkeypatch.setattr(socket.socket, "accept", accepted)
    with visit(port) as visitor:
        decoy.poll()
        assert told(visitor) == b""


def test_one_poll_closes_so_many_and_no_more(
    port: int, opened: list[TrapListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_MOST_AT_ONCE", 3)
    decoy = TrapListener([port], "hello")
    opened.append(decoy)
    visitors = [visit(port) for _ in range(5)]
    decoy.poll()
    for visitor in visitors[:3]:
        assert told(visitor) == b"hello"
    visitors[3].setblocking(False)
    with pytest.raises(BlockingIOError):
        visitors[3].recv(1)
    decoy.poll()
    visitors[3].settimeout(PATIENCE_SECONDS)
    assert told(visitors[3]) == b"hello"
    for visitor in visitors:
        visitor.close()


def test_text_that_is_not_ascii_is_told_as_far_as_it_goes(port: int, opened: list[TrapListener]) -> None:
    decoy = TrapListener([port], "grüß")
    opened.append(decoy)
    with visit(port) as visitor:
        decoy.poll()
        assert told(visitor) == b"gr??"


def test_a_closed_decoy_refuses(port: int) -> None:
    decoy = TrapListener([port], "")
    decoy.close()
    assert decoy.ports == frozenset()
    decoy.poll()
    decoy.close()
    with pytest.raises(ConnectionRefusedError):
        visit(port)


def test_no_decoys_no_sockets() -> None:
    decoy = TrapListener((), "hello")
    assert decoy.ports == frozenset()
    decoy.poll()
    decoy.close()
