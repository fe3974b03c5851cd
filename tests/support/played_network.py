"""Captures on a network that the test plays and whose packets a counter counts."""

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from portsentry_py.capture.bpf import PLAIN, FilterHost
from portsentry_py.capture.forged_packets import ForgedPackets
from portsentry_py.capture.kernel_counter import KernelCounter
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.errors import CaptureError
from portsentry_py.events.model import SensorReason
from portsentry_py.host.interfaces import OTHERS
from tests.support.build import START_US

US = FilterHost(frozenset({"192.0.2.1"}), frozenset({123}))
PORT = replace(US, served_udp=frozenset({5060}))


class Network:
    """The clock, the packets, the captures and the counter of one test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.captures: list[Played] = []
        self.counter = Counter(self)
        self.forged = Counter(self)
        self.refusal: CaptureError | None = None
        self.refuses_filter = self.refuses_others = self.is_slow = False
        self.tshark_mib = 100
        self.passed = self.others = 0

    def passes(self, count: int = 1, *, dropped: int = 0) -> None:
        """Packets pass; every running capture receives those that it does not drop."""
        self.now += 0.001
        self.passed += count + dropped
        line = f"{START_US / 1e6 + self.now:.6f}\tx{self.passed}"
        for capture in self.captures:
            if not capture.stopped:
                capture.queue += [line] * count
                capture.drops += dropped


class Played(LiveCapture):
    """A capture that receives what passes while it runs, and delivers it when it is read, unless it hangs."""

    end_reason = "it fell over"
    ended: SensorReason | None = None
    lag: float | None = None
    complete_until = 0.0
    dropped = 0

    def __init__(self, network: Network, interfaces: list[str], host: FilterHost, *, decode: bool) -> None:
        if network.refusal is not None:
            raise network.refusal
        self.refused = network.refuses_filter and host != PLAIN
        self.network = network
        self.names = interfaces
        self.host = host
        self.decodes = decode
        self.first_mib = network.tshark_mib
        self.queue: list[str] = []
        self.drops = 0
        self.stopped = self.killed = self.hangs = False
        self.delivered: dict[str, str] = {}
        network.captures.append(self)

    @property
    def tshark_bytes(self) -> int:
        """As the test says."""
        return self.network.tshark_mib << 20

    @property
    def tshark_growth_bytes(self) -> int:
        """Since it started."""
        return self.network.tshark_mib - self.first_mib << 20

    def has_started(self) -> bool:
        """As the test says."""
        if self.network.refuses_others and OTHERS in self.names:
            self.stopped = True
            raise CaptureError("no such header.")
        if self.refused:
            self.stopped = True
            raise CaptureError("the filter is odd.")
        return not self.network.is_slow

    def wait_until_started(self) -> None:
        """As the test says."""
        assert self.has_started()

    def start_others(self) -> bool:
        """Interfaces that come and go are read from now on."""
        self.reads_others, was = True, self.reads_others
        return not was

    def start_tshark(self) -> None:
        """From now on it can be read."""
        assert all(one.stopped for one in self.network.captures if one is not self), "two tsharks at once"
        self.decodes = True

    def wait(self, timeout_seconds: float) -> None:
        """Time passes when the test says so."""

    def read(self) -> list[str]:
        """What has arrived since the last call."""
        assert self.decodes
        return [] if self.hangs else self._rest()

    def _rest(self) -> list[str]:
        some, self.queue = self.queue, []
        self.delivered.update((line, line) for line in some)
        return some

    def kill(self) -> None:
        """End with all that it has."""
        self.killed = True
        self.queue, self.drops = [], 0

    def stop(self) -> list[str]:
        """End and deliver the rest."""
        self.stopped, self.dropped = True, self.drops
        return self._rest()

    def record_last_lines(self) -> list[dict[str, str]]:
        """All lines that were delivered, not only the last ones."""
        return [self.delivered]

    def skip_until(self, last_lines: list[dict[str, str]]) -> None:
        """Skip those."""
        self.queue = [line for line in self.queue if line not in last_lines[0]]


class Counter(KernelCounter):
    """A kernel's counter, which counts from the first `watch` on."""

    is_counting = False

    def __init__(self, network: Network) -> None:
        self.network = network
        self.refusal: Exception | None = None
        self.watched: list[tuple[list[str], FilterHost]] = []
        self.filtered: list[FilterHost] = []
        self._before = 0

    def watch(self, names: Sequence[str], host: FilterHost = PLAIN) -> None:
        """Count from now on."""
        self._refuse()
        if not self.watched:
            self._before = self.network.passed
        self.is_counting = True
        self.watched.append((list(names), host))

    def set_filter(self, host: FilterHost) -> None:
        """Note the filter."""
        self._refuse()
        self.filtered.append(host)

    def _refuse(self) -> None:
        if self.refusal is not None:
            self.is_counting = False
            raise self.refusal

    def by_interface(self) -> Tally[str]:
        """As the test says."""
        return Tally({"any": self.network.others})

    def read(self) -> int:
        """All packets until now."""
        assert self.is_counting
        return self.network.passed - self._before

    def close(self) -> None:
        """Count no more."""
        self.is_counting = False


def supervisor(network: Network) -> CaptureSupervisor:
    return CaptureSupervisor(
        partial(Played, network),
        network.counter,
        ForgedPackets(network.forged),
        tshark_version="4.0.17",
        growth_bytes=128 << 20,
    )


def started(network: Network, host: FilterHost = US) -> CaptureSupervisor:
    captures = supervisor(network)
    captures.start(["eth0", "eth1"], host)
    return captures


def account(captures: CaptureSupervisor) -> tuple[int, int, int, int]:
    """Received, dropped, missed and pending; together, all that was seen."""
    loss = captures.loss
    parts = (loss.received, loss.dropped, loss.missed, loss.pending)
    assert sum(parts) == loss.seen
    return parts


def seconds(captures: CaptureSupervisor, network: Network, count: int, *, passing: int = 0) -> list[str]:
    """Let seconds pass, with some packets in each; returns the lines that arrive."""
    found: list[str] = []
    for _ in range(count):
        network.passes(passing)
        network.now += 1
        found += captures.read(0.25)
        captures.tick()
    return found


def grown(captures: CaptureSupervisor, network: Network) -> tuple[Played, Played]:
    """Let tshark grow until a fresh capture runs besides the old one."""
    seconds(captures, network, 3, passing=1)
    network.tshark_mib = 1000
    network.now += 1
    captures.tick()
    old, fresh = network.captures
    assert not fresh.decodes
    return old, fresh
