"""The programs that watch live: the sensor, the peers that are installed, and any that is named."""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.lab.bench.live import SETTINGS
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
    def lines(self) -> int:
        """The number of lines that it has logged so far."""
        ...

    def stop(self) -> Counts | None:
        """End it; it says what it has seen, if it counts."""
        ...


@dataclass(frozen=True)
class Program:
    """A program that can be started on a host, with a folder of its own.

    Attributes:
        name: what the tables call it.
        started: starts it, and ends it at the latest when the context is left.
        nap_seconds: how long it may do nothing although it has work to do.
    """

    name: str
    started: Callable[[Host, Path], AbstractContextManager[Running]]
    nap_seconds: float = 1.0


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
        last = self.last_status()
        return Counts(last["packets"], last["packets_dropped"])

    def last_status(self) -> dict[str, Any]:
        """End the sensor when it has read everything; returns its last line."""
        self.sensor.settle()
        self.sensor.stop(seconds=120)
        last = self.sensor.lines()[-1]
        if last.get("state") != "stopped":
            raise AssertionError(f"the sensor did not say that it stopped\n{self.sensor.evidence()}")
        return last


class _Peer:
    """A peer, which ends with the stack, and a way to count its lines."""

    def __init__(self, stack: ExitStack, lines: Callable[[], int]) -> None:
        self.stop = stack.close
        self.lines = lines


@contextmanager
def _sensor(host: Host, folder: Path) -> Iterator[Running]:
    running = RunningSensor(host, folder, dict(SETTINGS))
    try:
        yield running
    finally:
        running.sensor.stop(seconds=120)


@contextmanager
def _scanlogd(host: Host, folder: Path) -> Iterator[Running]:
    with ExitStack() as stack:
        scanlogd = stack.enter_context(closing(Scanlogd(host, folder)))
        _end_what_starts(host, stack)
        scanlogd.renew()
        yield _Peer(stack, lambda: len(scanlogd.accusations()))


@contextmanager
def _psad(host: Host, folder: Path) -> Iterator[Running]:
    log = folder / "firewall.log"
    with ExitStack() as stack:
        stack.enter_context(kernel_log(host, log))
        stack.callback(host.run, "iptables", "--flush", "INPUT")
        psad = stack.enter_context(closing(Psad(host, folder, log)))
        _end_what_starts(host, stack)
        yield _Peer(stack, lambda: len(psad.accusations()))


def _end_what_starts(host: Host, stack: ExitStack) -> None:
    """When the stack is left, kill what the host has started since now."""
    before = len(host.started)

    def end() -> None:
        for process in host.started[before:]:
            process.kill()
            process.wait()

    stack.callback(end)


SENSOR = Program("portsentry-py", _sensor)
# A line of syslog is a line. Of psad its own processes alone, not the kernel's log that it reads.
INSTALLED = (Program("scanlogd", _scanlogd), Program("psad", _psad, nap_seconds=6.0))


def given_portsentry(binary: Path) -> Program:
    """Portsentry 2.x; a line of its history is a line."""

    @contextmanager
    def started(host: Host, folder: Path) -> Iterator[Running]:
        with ExitStack() as stack:
            _end_what_starts(host, stack)
            portsentry = Portsentry(host, folder, binary)
            yield _Peer(stack, lambda: len(portsentry.accusations()))

    return Program("portsentry", started)


def given_peer(text: str) -> Program:
    """Any program, as `NAME=CMD`: the shell finds `$IFACE` and `$LOG` in its environment."""
    name, equals, command = text.partition("=")
    if not (name and equals and command):
        raise ValueError(f"{text!r} is not NAME=CMD")

    @contextmanager
    def started(host: Host, folder: Path) -> Iterator[Running]:
        log = folder / "log"
        log.touch()
        script = f"cd {shlex.quote(str(folder))} && exec {command} >>{shlex.quote(str(log))}"
        with ExitStack() as stack, Path(os.devnull).open("w", encoding="utf-8") as noise:
            _end_what_starts(host, stack)
            host.start("env", f"LOG={log}", f"IFACE={IFACE}", "sh", "-c", script, stderr=noise)
            yield _Peer(stack, lambda: log.read_bytes().count(b"\n"))

    return Program(name, started)
