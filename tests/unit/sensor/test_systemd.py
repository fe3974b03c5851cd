"""What systemd receives, through a real socket."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portsentry_py.sensor.systemd import SystemdNotifier

NOTICES = (SystemdNotifier.ready, SystemdNotifier.watchdog, SystemdNotifier.reloading, SystemdNotifier.stopping)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """The manager's socket; nothing waits in it afterwards."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        yield one
        with pytest.raises(BlockingIOError):
            one.recv(1)


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SystemdNotifier:
    """A notifier that knows the socket by its path, or by its abstract name."""
    path, name = str(tmp_path / "notify"), f"portsentry-test-{os.getpid()}-{id(listening)}"
    address, written = (path, path) if request.param == "path" else (f"\0{name}", f"@{name}")
    listening.bind(address)
    monkeypatch.setenv("NOTIFY_SOCKET", written)
    return SystemdNotifier()


@pytest.mark.parametrize(
    ("notice", "message"),
    [
        (SystemdNotifier.ready, b"READY=1"),
        (SystemdNotifier.watchdog, b"WATCHDOG=1"),
        (SystemdNotifier.stopping, b"STOPPING=1"),
    ],
)
def test_each_notice_is_one_message(
    manager: SystemdNotifier, listening: socket.socket, notice: Callable[[SystemdNotifier], None], message: bytes
) -> None:
    notice(manager)
    assert listening.recv(4096) == message


def test_a_reload_has_its_time(manager: SystemdNotifier, listening: socket.socket) -> None:
    """With Type=notify-reload, the manager tells an old answer from a new one by the time."""
    before = time.monotonic_ns() // 1000
    manager.reloading()
    manager.ready()
    fields = dict(line.split("=") for line in listening.recv(4096).decode().split("\n"))
    assert fields.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert fields["RELOADING"] == "1"
    assert before <= int(fields["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert listening.recv(4096) == b"READY=1"


@pytest.mark.parametrize("notice", NOTICES)
@pytest.mark.parametrize("address", [None, ""])
def test_without_a_manager_nothing_is_opened(
    monkeypatch: pytest.MonkeyPatch, address: str | None, notice: Callable[[SystemdNotifier], None]
) -> None:
    def opened(*_arguments: object) -> socket.socket:
        raise AssertionError("a socket")

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setattr(socket, "socket", opened)
    notice(SystemdNotifier())


@pytest.mark.parametrize("address", ["/nonexistent/notify", "@nobody-is-here", "/" + "x" * 200, "vsock:2:9999"])
def test_a_manager_that_has_ended_does_no_harm(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    for notice in NOTICES:
        notice(SystemdNotifier())


def test_a_manager_that_does_not_read_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "notify"))
        for _ in range(2000):  # far more than its queue holds
            SystemdNotifier().watchdog()
        assert full.recv(4096) == b"WATCHDOG=1"
