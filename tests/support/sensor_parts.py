"""The parts of a running sensor, played by a test: its clock, its capture, its outputs, its host."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.loss import LossAccounting
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.config.settings import Networks, Ports
from portsentry_py.core.host_state import HostState
from portsentry_py.errors import PortsentryError
from portsentry_py.events.model import Event, EvidenceEvent, SensorReason
from portsentry_py.host.trap_listener import TrapListener
from portsentry_py.output.sink import Dispatcher
from portsentry_py.sensor.allowlist import Allowlist
from portsentry_py.sensor.clock import Clock
from portsentry_py.sensor.host_view import HostView
from portsentry_py.sensor.systemd import SystemdNotifier
from tests.support.build import START_US, US

Step = Callable[[], Iterable[str]] | SensorReason


class MovedClock(Clock):
    """A clock that goes forward when the test says so, or when somebody waits."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.waits: list[float] = []
        self.on_wait: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        """Seconds since the test began, and some."""
        return 1000.0 + self.passed

    def now_us(self) -> int:
        """The time of the first packet, and what has passed since."""
        return START_US + int(self.passed * 1_000_000)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passed += seconds
        self.on_wait()


class PlayedCaptures(CaptureSupervisor):
    """A capture whose reads are the steps of a test: lines, or a reason to end. SIGTERM follows the last."""

    def __init__(self) -> None:
        self.steps: Iterator[Step] = iter(())
        self._ended: SensorReason | None = None
        self.loss = LossAccounting()
        self.tshark_version = "4.0.17"
        self.handovers = 0
        self.forged_packets = 0
        self.refusals: list[PortsentryError] = []
        self.started: list[tuple[list[str], FilterHost]] = []
        self.hosts: list[tuple[FilterHost, bool]] = []
        self.last_lines: list[str] = []
        """What `stop` and `finish` give."""
        self.finish_error: Exception | None = None

    def start(self, interfaces: list[str], host: FilterHost) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.started.append((interfaces, host))
        self._ended = None

    def read(self, _timeout_seconds: float) -> list[str]:
        step = next(self.steps, None)
        if step is None:
            os.kill(os.getpid(), signal.SIGTERM)
        elif isinstance(step, str):
            self._ended = step
        else:
            return list(step())
        return []

    @property
    def ended(self) -> SensorReason | None:
        """The reason that was the last step."""
        return self._ended

    @property
    def end_reason(self) -> str:
        return "it fell over"

    def read_counter(self) -> None:
        """The kernel does not count here."""

    def tick(self) -> None:
        """Nothing is due."""

    @property
    def lag(self) -> float:
        return 0.5

    @property
    def tshark_bytes(self) -> int:
        return 70_000_000

    @property
    def forged(self) -> int:
        return self.forged_packets

    def set_host(self, host: FilterHost, *, at_once: bool = False) -> None:
        self.hosts.append((host, at_once))

    def stop(self) -> list[str]:
        return self.last_lines

    def finish(self) -> list[str]:
        if self.finish_error is not None:
            raise self.finish_error
        return self.last_lines


class KeptEvents(Dispatcher):
    """Outputs that keep every event; the test says what they lost."""

    def __init__(self) -> None:
        super().__init__([])
        self.events: list[Event] = []
        self.flushes = 0
        self.lost = 0
        self.error: Exception | None = None

    def write(self, event: Event) -> None:
        if self.error is not None:
            raise self.error
        self.events.append(event)

    def flush(self) -> None:
        self.flushes += 1

    @property
    def lines_lost(self) -> int:
        return self.lost


class PlayedHost(HostView):
    """A host whose state, addresses and interfaces are what the test says; None cannot be read now."""

    def __init__(self, state: HostState = US) -> None:
        self.now: HostState | None = state
        self.names: list[str] | None = ["eth0", "eth1"]
        self.twice = frozenset[int]()
        self.links: list[frozenset[str]] = []
        """One for each look; the last one stays."""
        super().__init__((), frozenset(), Allowlist("off", int))

    def _read(self, home: Networks) -> HostState:
        if self.now is None:
            raise FileNotFoundError(2, "No such file or directory")
        return replace(self.now, home=home)

    def has_changed(self) -> bool:
        return self.now is not None and (self.now.own, self.now.allowed) != (self.state.own, self.state.allowed)

    def interfaces(self) -> list[str]:
        if self.names is None:
            raise OSError(24, "Too many open files")
        return list(self.names)

    def heard_twice(self, _watched: Collection[str]) -> frozenset[int]:
        return self.twice

    def senders(self, _line: EvidenceEvent) -> str:
        return "somebody"

    def links_up(self) -> frozenset[str]:
        if not self.links:
            return frozenset()
        return self.links.pop(0) if len(self.links) > 1 else self.links[0]


class QuietTraps(TrapListener):
    def __init__(self, ports: Ports = frozenset()) -> None:
        super().__init__((), "")
        self.is_closed = False
        self._open = ports

    @property
    def ports(self) -> frozenset[int]:
        return self._open

    def close(self) -> None:
        self.is_closed = True


class KeptNotices(SystemdNotifier):
    def __init__(self) -> None:
        super().__init__()
        self.notices: list[str] = []

    def _send(self, message: str) -> None:
        self.notices.append(message.partition("=")[0])
