"""Open traps: real sockets on the loopback interface."""

import socket
from collections.abc import Iterator

import pytest

from portsentry_py.host import trap_listener as listening
from portsentry_py.host.trap_listener import TrapListener

PATIENCE_SECONDS = 5


def free_port() -> int:
    """A port that nobody holds now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.fixture
def port() -> int:
    """A port for a trap."""
    return free_port()


@pytest.fixture
def opened() -> Iterator[list[TrapListener]]:
    """Listeners that are closed after the test."""
    found: list[TrapListener] = []
    yield found
    for one in found:
        one.close()


def visit(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((address, port), timeout=PATIENCE_SECONDS)


def received(visitor: socket.socket) -> bytes:
    """Everything that a visitor reads until the trap closes."""
    text = b""
    while some := visitor.recv(4096):
        text += some
    return text


@pytest.mark.parametrize("banner", ["", "220 ready\r\n"])
def test_a_visitor_gets_the_banner_and_is_closed(port: int, opened: list[TrapListener], banner: str) -> None:
    trap = TrapListener([port], banner)
    opened.append(trap)
    assert trap.ports == {port}
    with visit(port) as visitor:
        trap.poll()
        assert received(visitor) == banner.encode()


def test_visitors_of_both_families_are_accepted(port: int, opened: list[TrapListener]) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    trap = TrapListener([port], "hello")
    opened.append(trap)
    with visit(port, "::1") as visitor:
        trap.poll()
        assert received(visitor) == b"hello"


def test_the_address_of_each_visitor_is_reported(port: int, opened: list[TrapListener]) -> None:
    trap = TrapListener([port], "")
    opened.append(trap)
    found: list[tuple[str, int, str, int]] = []
    with visit(port) as first, visit(port) as second:
        trap.poll(lambda *visitor: found.append(visitor))
        trap.poll(lambda *visitor: found.append(visitor))
        ports = {first.getsockname()[1], second.getsockname()[1]}
    assert {visitor[:1] + visitor[2:] for visitor in found} == {("127.0.0.1", "127.0.0.1", port)}
    assert {visitor[1] for visitor in found} == ports


def test_a_host_without_ipv6_listens_with_ipv4(
    port: int, opened: list[TrapListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    create = socket.create_server

    def without(address: tuple[str, int], **given: object) -> socket.socket:
        if given.get("family") == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return create(address, backlog=8)

    monkeypatch.setattr(socket, "create_server", without)
    trap = TrapListener([port], "hello")
    opened.append(trap)
    with visit(port) as visitor:
        trap.poll()
        assert received(visitor) == b"hello"


def test_a_port_in_use_is_left_alone(port: int, opened: list[TrapListener], caplog: pytest.LogCaptureFixture) -> None:
    other = free_port()
    with socket.create_server(("127.0.0.1", port)) as service:
        trap = TrapListener([port, other], "never read")
        opened.append(trap)
        assert trap.ports == {other}
        assert f"trap {port} stays closed" in caplog.text
        with visit(port) as visitor:
            trap.poll()
            guest, _ = service.accept()
            guest.close()
            assert received(visitor) == b""


def test_the_listener_waits_for_no_visitor(port: int, opened: list[TrapListener]) -> None:
    trap = TrapListener([port], "x" * 100)
    opened.append(trap)
    trap.poll()
    gone = visit(port)
    gone.close()
    silent = visit(port)
    trap.poll()
    with silent:
        assert received(silent) == b"x" * 100


def test_a_visitor_that_cannot_get_the_banner_is_closed(
    port: int, opened: list[TrapListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = TrapListener([port], "hello")
    opened.append(trap)

    class Unwilling(socket.socket):
        def send(self, *_given: object) -> int:
            raise BlockingIOError

    accept = socket.socket.accept

    def accepted(self: socket.socket) -> tuple[socket.socket, object]:
        visitor, address = accept(self)
        return Unwilling(fileno=visitor.detach()), address

    monkeypatch.setattr(socket.socket, "accept", accepted)
    with visit(port) as visitor:
        trap.poll()
        assert received(visitor) == b""


def test_one_poll_closes_a_limited_number_of_visitors(
    port: int, opened: list[TrapListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_MAX_AT_ONCE", 3)
    trap = TrapListener([port], "hello")
    opened.append(trap)
    visitors = [visit(port) for _ in range(5)]
    trap.poll()
    for visitor in visitors[:3]:
        assert received(visitor) == b"hello"
    visitors[3].setblocking(False)
    with pytest.raises(BlockingIOError):
        visitors[3].recv(1)
    trap.poll()
    visitors[3].settimeout(PATIENCE_SECONDS)
    assert received(visitors[3]) == b"hello"
    for visitor in visitors:
        visitor.close()


def test_a_banner_that_is_not_ascii_is_replaced_in_part(port: int, opened: list[TrapListener]) -> None:
    trap = TrapListener([port], "grüß")
    opened.append(trap)
    with visit(port) as visitor:
        trap.poll()
        assert received(visitor) == b"gr??"


def test_a_closed_trap_refuses(port: int) -> None:
    trap = TrapListener([port], "")
    trap.close()
    assert trap.ports == frozenset()
    trap.poll()
    trap.close()
    with pytest.raises(ConnectionRefusedError):
        visit(port)


def test_no_traps_no_sockets() -> None:
    trap = TrapListener((), "hello")
    assert trap.ports == frozenset()
    trap.poll()
    trap.close()
