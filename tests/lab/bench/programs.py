"""The programs that watch live: the sensor, the peers that are installed, and any that is named."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.lab.compare.kernel_log import kernel_log
from tests.lab.compare.portsentry import Portsentry
from tests.lab.compare.psad import Psad
from tests.lab.compare.scanlogd import Scanlogd
from tests.support.namespaces import IFACE, Host
from tests.support.sensor import Sensor


@dataclass(frozen=True)
class Counts:
    """What a program says that it has seen, and what it knows to have missed."""

    packets: int
    dropped: int


class Running(Protocol):
    """A program that watches."""

    def lines(self) -> int:
        """The number of lines that it has logged so far."""
        ...

    def stop(self) -> Counts | None:
        """End it; it says what it has seen, if it counts."""
        ...


class Program(Protocol):
    """A program that can be started on a host, with a folder of its own."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        ...

    @property
    def nap_seconds(self) -> float:
        """How long it may do nothing although it has work to do."""
        ...

    def started(self, host: Host, folder: Path) -> AbstractContextManager[Running]:
        """Start it, and end it at the latest when the context is left."""
        ...


class RunningSensor:
    """The sensor, whose last line tells what it has seen."""

    def __init__(self, host: Host, folder: Path, settings: dict[str, Any]) -> None:
        self.sensor = Sensor(host, folder, settings)
        self.sensor.wait_until_ready()

    def lines(self) -> int:
        """See Running; the lines about itself do not count."""
        with self.sensor.log.open("rb") as log:
            return sum(b'"event_type":"status"' not in line for line in log)

    def stop(self) -> Counts:
        """See Running."""
        last = self.last_status()
        return Counts(last["packets"], last["packets_dropped"])

    def last_status(self) -> dict[str, Any]:
        """End the sensor, and give its last line."""
        self.sensor.stop(seconds=120)
        last = self.sensor.lines()[-1]
        if last.get("state") != "stopped":
            raise AssertionError(f"the sensor did not say that it stopped\n{self.sensor.evidence()}")
        return last


@dataclass(frozen=True)
class OurSensor:
    """portsentry-py with its defaults."""

    name: str = "portsentry-py"
    nap_seconds: float = 1.0

    @contextmanager
    def started(self, host: Host, folder: Path) -> Iterator[RunningSensor]:
        """See Program."""
        running = RunningSensor(host, folder, {})
        try:
            yield running
        finally:
            running.sensor.stop(seconds=120)


class _Peer:
    """A peer of the comparison: its processes end with their folder's context."""

    def __init__(self, accusing: Scanlogd | Psad | Portsentry, stack: ExitStack) -> None:
        self._accusing = accusing
        self._stack = stack

    def lines(self) -> int:
        return len(self._accusing.accusations())

    def stop(self) -> None:
        self._stack.close()


@dataclass(frozen=True)
class InstalledScanlogd:
    """Debian's scanlogd; a line of syslog is a line."""

    name: str = "scanlogd"
    nap_seconds: float = 1.0

    @contextmanager
    def started(self, host: Host, folder: Path) -> Iterator[Running]:
        """See Program."""
        with ExitStack() as stack:
            scanlogd = stack.enter_context(contextlib.closing(Scanlogd(host, folder)))
            _end_what_starts(host, stack)
            scanlogd.renew()
            yield _Peer(scanlogd, stack)


@dataclass(frozen=True)
class InstalledPsad:
    """Debian's psad; its own processes alone, not the kernel's log that it reads."""

    name: str = "psad"
    nap_seconds: float = 6.0

    @contextmanager
    def started(self, host: Host, folder: Path) -> Iterator[Running]:
        """See Program."""
        log = folder / "firewall.log"
        with ExitStack() as stack:
            stack.enter_context(kernel_log(host, log))
            stack.callback(host.run, "iptables", "--flush", "INPUT")
            psad = stack.enter_context(contextlib.closing(Psad(host, folder, log)))
            _end_what_starts(host, stack)
            yield _Peer(psad, stack)


@dataclass(frozen=True)
class GivenPortsentry:
    """portsentry 2.x; a line of its history is a line."""

    binary: Path
    name: str = "portsentry"
    nap_seconds: float = 1.0

    @contextmanager
    def started(self, host: Host, folder: Path) -> Iterator[Running]:
        """See Program."""
        with ExitStack() as stack:
            _end_what_starts(host, stack)
            yield _Peer(Portsentry(host, folder, self.binary), stack)


@dataclass(frozen=True)
class GivenPeer:
    """Any program: a command line for the shell, which finds `$IFACE` and `$LOG` in its environment."""

    name: str
    command: str
    nap_seconds: float = 1.0

    @contextmanager
    def started(self, host: Host, folder: Path) -> Iterator[Running]:
        """See Program."""
        log = folder / "log"
        log.touch()
        script = f"cd {shlex.quote(str(folder))} && exec >>{shlex.quote(str(log))}; {self.command}"
        with ExitStack() as stack, Path(os.devnull).open("w", encoding="utf-8") as noise:
            _end_what_starts(host, stack)
            host.start("env", f"LOG={log}", f"IFACE={IFACE}", "sh", "-c", script, stderr=noise)
            yield _Given(log, stack)


class _Given:
    def __init__(self, log: Path, stack: ExitStack) -> None:
        self._log = log
        self._stack = stack

    def lines(self) -> int:
        with self._log.open("rb") as file:
            return sum(1 for _ in file)

    def stop(self) -> None:
        self._stack.close()


def given_peer(text: str) -> GivenPeer:
    """Read `NAME=CMD`."""
    name, equals, command = text.partition("=")
    if not (name and equals and command):
        raise ValueError(f"{text!r} is not NAME=CMD")
    return GivenPeer(name, command)


def _end_what_starts(host: Host, stack: ExitStack) -> None:
    """When the stack is left, kill what the host has started since now."""
    before = len(host.started)

    def end() -> None:
        for process in host.started[before:]:
            process.kill()
            process.wait()

    stack.callback(end)
