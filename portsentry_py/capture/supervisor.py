"""Supervises captures: one runs, a fresh one takes over in time, and every packet is accounted for."""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from portsentry_py.capture.bpf import MAX_OWN, PLAIN, FilterHost
from portsentry_py.capture.commands import worker_count
from portsentry_py.capture.duplicates import Duplicates
from portsentry_py.capture.forged_packets import ForgedPackets
from portsentry_py.capture.handover import HandoverPolicy
from portsentry_py.capture.kernel_counter import ANY, KernelCounter, forged
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.loss import LossAccounting
from portsentry_py.capture.packet_ring import PacketRing
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Capture
from portsentry_py.errors import CaptureError, PortsentryError, RightsLost
from portsentry_py.events.model import SensorReason
from portsentry_py.host.interfaces import OTHERS
from portsentry_py.privsep.client import LauncherClient

_diagnostics = logging.getLogger(__name__)

_OVERLAP_SECONDS = 1.0  # four times dumpcap's read timer
_MAX_OVERLAP_SECONDS = 30.0
_WITHOUT_FILTER = (
    "%s The capture runs with a filter that knows nothing of this host: packets that come in with our own source "
    "address are believed; look with: portsentry-py check"
)
_WITHOUT_OTHERS = "%s Interfaces that come later are not watched; name them in `interfaces`."


class CaptureSupervisor:
    """Runs captures one after the other; the pipeline reads one at a time.

    Args:
        start_capture: starts a capture; called with interface names, what the filter knows of the host, and `decode`.
        counter: counts in the kernel what passes the capture's filter.
        forged: counts what that filter drops because somebody forges our addresses.
        tshark_version: for diagnostics.
        growth_bytes: what tshark may have grown by when a fresh capture takes over.
        ring: keeps packets with the same filter.
    """

    def __init__(
        self,
        start_capture: Callable[..., LiveCapture],
        counter: KernelCounter,
        forged: ForgedPackets,
        *,
        tshark_version: str,
        growth_bytes: int,
        ring: PacketRing | None = None,
    ) -> None:
        self._start_capture = start_capture
        self._counter = counter
        self._forged = forged
        self._ring = ring
        self._policy = HandoverPolicy(growth_bytes)
        self._capture: LiveCapture | None = None
        self._fresh: LiveCapture | None = None
        self._fresh_since: float | None = None  # None while it starts
        self._fresh_clock = 0.0  # the same moment, as packets have it
        self._fresh_reason, self._fresh_host = "", PLAIN
        self._last_lines: list[dict[str, str]] = []
        self._interfaces: list[str] = []
        self._host = self._filtered = PLAIN
        self._stalled = self._has_warned = False
        self._others_before = self._others_after = (
            0  # packets of interfaces that come and go, before the capture that is read
        )
        self._duplicates = Duplicates()
        self.loss = LossAccounting()
        self.tshark_version = tshark_version
        self.handovers = 0
        """How often a fresh capture took over."""

    def start(self, interfaces: list[str], host: FilterHost) -> None:
        """Start a capture.

        Args:
            interfaces: their names, or `any` alone; `OTHERS` for all that come and go.
            host: what the filter knows of this host.

        Raises:
            PortsentryError: the capture does not start.
        """
        self._interfaces, self._stalled = interfaces, False
        self._know(host)
        self._capture, self._filtered = self._first_capture()
        # Where we may not count, the drops that dumpcap reports must do.
        with contextlib.suppress(OSError):
            self._counter.watch(self._interfaces, self._filtered)
        self._forged.watch(self._interfaces, self._filtered)
        self.read_counter()
        self.loss.capture_started(time.monotonic(), time.time())
        self._policy.capture_started(time.monotonic(), self._filtered)
        self._others_before = 0
        self._keep_packets()

    def _keep_packets(self) -> None:
        if self._ring is not None:
            self._ring.watch(self._interfaces, self._filtered)

    def _know(self, host: FilterHost) -> None:
        self._host = host
        if len(host.own) > MAX_OWN and not self._has_warned:
            self._has_warned = True
            _diagnostics.warning(
                "this host has %d addresses and the capture filter takes %d: packets that come in with another of them "
                "as their source are believed, so filter them at the router.",
                len(host.own),
                MAX_OWN,
            )

    def _first_capture(self) -> tuple[LiveCapture, FilterHost]:
        """A capture that runs, and what its filter knows of the host."""
        try:
            return self._run(self._host), self._host
        except RightsLost:
            raise
        except CaptureError as error:
            plain = self._host.plain
            if self._host == plain:
                raise
            try:
                capture = self._run(plain)
            except CaptureError:
                if OTHERS not in self._interfaces or len(self._interfaces) == 1:
                    raise
                self._interfaces = [name for name in self._interfaces if name != OTHERS]
                capture, plain = self._run(self._host), self._host
                _diagnostics.error(_WITHOUT_OTHERS, error)
            else:
                _diagnostics.error(_WITHOUT_FILTER, error)
            return capture, plain

    def _run(self, host: FilterHost) -> LiveCapture:
        capture = self._start_capture(self._interfaces, host, decode=True)
        capture.wait_until_started()
        return capture

    def read(self, timeout_seconds: float) -> list[str]:
        """The lines of columns since the last call; waits at most this long for the first."""
        capture = self._running()
        capture.wait(timeout_seconds)
        lines = capture.read()
        self._account(lines)
        if self._fresh is not None and self._fresh_since is None:
            self._check_fresh(self._fresh)
        elif self._fresh is not None and self._fresh_since is not None:
            if capture.ended or self._may_hand_over(capture, time.monotonic() - self._fresh_since):
                lines += self._hand_over(self._fresh)
        else:
            # While packets come without a pause, the counter cannot tell lost ones from those on their way.
            self._policy.update_lag(time.monotonic(), capture.lag)
        return self._once(lines, capture)

    def _may_hand_over(self, capture: LiveCapture, overlap: float) -> bool:
        """Whether the old capture has delivered all from before the start of the fresh one.

        `overlap` is for how many seconds both run. What both have received is decoded twice: in a flood, it makes the
        sensor late.
        """
        if capture.complete_until > self._fresh_clock and not self._waits_for_others(capture):
            return True
        is_behind = (capture.lag or 0.0) > overlap
        return overlap >= (_MAX_OVERLAP_SECONDS if is_behind else _OVERLAP_SECONDS)

    def _once(self, lines: list[str], capture: LiveCapture | None) -> list[str]:
        """The lines without those of packets that another interface has seen too."""
        named_twice = self._filtered.twice and OTHERS not in self._interfaces
        if not (named_twice or (capture is not None and capture.reads_others)):
            return lines
        kept = self._duplicates.without(lines)
        self.loss.leave_out(len(lines) - len(kept))
        return kept

    def _running(self) -> LiveCapture:
        assert self._capture is not None  # noqa: S101 - `start` comes first
        return self._capture

    def _account(self, lines: list[str]) -> None:
        if lines:
            self.read_counter()
        self.loss.add_lines(time.monotonic(), lines)

    def read_counter(self) -> None:
        """Bring the accounting up to date with the kernel's count."""
        if self._counter.is_counting:
            self.loss.update_count(time.monotonic(), self._counter.read())
        else:
            self.loss.stop_counting()

    @property
    def ended(self) -> SensorReason | None:
        """Why another start is needed, as a reason of the status line; None while all is well."""
        return "stalled" if self._stalled else self._running().ended

    @property
    def end_reason(self) -> str:
        """The same for diagnostics, in the words of dumpcap or tshark."""
        return "packets pass and none arrives" if self._stalled else self._running().end_reason

    def tick(self) -> None:
        """Do what is due; call it about once a second."""
        self.read_counter()
        self._forged.tick(time.monotonic())
        self._read_others()
        self._stalled = self._stalled or self.loss.check_stall(time.monotonic())
        if self._fresh is None and not self._stalled:
            reason = self._policy.due(time.monotonic(), self._running().tshark_growth_bytes)
            if reason is not None:
                self._start_fresh(reason, self._host)

    def _read_others(self) -> None:
        """Decode what interfaces that come and go have seen, once there is something."""
        capture = self._running()
        if self._waits_for_others(capture) and capture.start_others():
            self._policy.decoding_started(time.monotonic())

    def _waits_for_others(self, capture: LiveCapture) -> bool:
        """Whether interfaces that come and go may have seen something that is not decoded yet."""
        nothing_came = self._counter.is_counting and self._counter.by_interface()[ANY] == self._others_before
        return not (nothing_came or capture.reads_others)

    @property
    def lag(self) -> float | None:
        """How many seconds the capture is behind; None if no line came lately, or while none runs."""
        return self._capture.lag if self._capture else None

    @property
    def tshark_bytes(self) -> int:
        """The memory that the tsharks of the running capture occupy."""
        return self._capture.tshark_bytes if self._capture else 0

    @property
    def forged(self) -> int:
        """Packets that came in with one of our own source addresses."""
        return self._forged.count

    def set_host(self, host: FilterHost, *, at_once: bool = False) -> None:
        """Let the filter know this of the host: its addresses soon, its ports when they stay or now."""
        self._know(host)
        if at_once:
            self._policy.served_ports_changed()
        else:
            self._policy.update_host(host)

    def _start_fresh(self, reason: str, host: FilterHost) -> None:
        """Start the capture that takes over. It runs before the old one stops, so no packet is missed.

        The old one is read meanwhile: a long filter takes time to compile.
        """
        self._fresh_reason, self._fresh_host, self._fresh_since = reason, host, None
        self._last_lines = self._running().record_last_lines()
        self._others_after = self._counter.by_interface()[ANY]
        try:
            self._fresh = self._start_capture(self._interfaces, host, decode=False)
        except PortsentryError as error:
            self._fresh_failed(error)
        else:
            self._check_fresh(self._fresh)

    def _fresh_failed(self, error: PortsentryError) -> None:
        self._fresh = None
        _diagnostics.error("%s, and a fresh capture does not start: %s", self._fresh_reason, error)
        if self._fresh_host != self._fresh_host.plain and not isinstance(error, RightsLost):
            self._start_fresh(self._fresh_reason, self._fresh_host.plain)

    def _check_fresh(self, fresh: LiveCapture) -> None:
        """Once it captures, count with its filter, and remember where it takes over."""
        try:
            if not fresh.has_started():
                return
        except PortsentryError as error:
            self._fresh_failed(error)
            return
        # When dumpcap ends, what it has not fetched from the kernel is lost: the old capture goes on until it
        # has delivered all from before the start of the fresh one. The second tshark starts only then.
        self._fresh_since, self._fresh_clock = time.monotonic(), time.time()
        self._policy.capture_started(self._fresh_since, self._fresh_host)
        if self._fresh_host != self._filtered:
            self._filtered = self._fresh_host
            # Before the old capture ends: a packet that comes and is not counted is no alarm, the reverse is.
            # The kernel takes no filter of any length; without the counter, the drops of dumpcap must do.
            with contextlib.suppress(OSError):
                self._counter.set_filter(self._filtered)
            self._forged.watch(self._interfaces, self._filtered)
            self._keep_packets()
            self.read_counter()
            self.loss.filter_changed()

    def _hand_over(self, fresh: LiveCapture) -> list[str]:
        lines = self._end(taken_over=True)
        self._fresh, self._capture = None, fresh
        self._others_before = self._others_after
        fresh.start_tshark()
        fresh.skip_until(self._last_lines)
        self._policy.decoding_started(time.monotonic())
        self.loss.reading_started()  # an old capture that hung took seconds to end
        self.handovers += 1
        return lines

    def _end(self, *, taken_over: bool = False) -> list[str]:
        """End the capture that is read; returns the lines that were on their way."""
        capture, self._capture = self._capture, None
        if capture is None:
            return []  # it has ended already
        if self._stalled:
            capture.kill()
        lines = capture.stop()
        self._account(lines)
        self.read_counter()
        self.loss.capture_ended(capture.dropped, taken_over=taken_over)
        return lines

    def stop(self) -> list[str]:
        """End the capture, for another start; returns the lines that were on their way."""
        lines: list[str] = []
        capture = self._capture
        if self._fresh is not None and self._fresh_since is not None:
            lines = self._hand_over(self._fresh)
        elif self._fresh is not None:
            self._fresh.kill()
            self._fresh = None
        return self._once(lines + self._end(), capture)

    def finish(self) -> list[str]:
        """End for good; returns the lines that were on their way."""
        self.read_counter()
        self._counter.close()
        self._forged.close()
        lines = self.stop()
        self.loss.finish()
        return lines


def live_supervisor(tools: Tools, launcher: LauncherClient, settings: Capture, ring: PacketRing) -> CaptureSupervisor:
    """The supervisor of real captures.

    Args:
        tools: tshark and dumpcap.
        launcher: starts dumpcap and opens packet sockets.
        settings: how packets are taken from the kernel.
        ring: keeps packets beside the capture.
    """
    # A capture that takes over needs as many workers as the one before.
    settings = replace(settings, workers=worker_count(settings.workers))
    return CaptureSupervisor(
        partial(LiveCapture, tools, launcher, settings),
        KernelCounter(launcher),
        ForgedPackets(KernelCounter(launcher, forged)),
        tshark_version=tools.version,
        growth_bytes=settings.tshark_growth_mib << 20,
        ring=ring,
    )
