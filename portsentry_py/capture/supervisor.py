"""The captures of a running sensor: one runs, a fresh one takes over in time, and every packet is counted."""

import contextlib
import logging
import time
from dataclasses import replace

from portsentry_py.capture.commands import worker_count
from portsentry_py.capture.handover import HandoverPolicy
from portsentry_py.capture.kernel_counter import KernelCounter
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.loss import LossAccounting
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Capture
from portsentry_py.errors import PortsentryError
from portsentry_py.host.interfaces import describe
from portsentry_py.privsep.client import LauncherClient

_diagnostics = logging.getLogger(__name__)

_OVERLAP_SECONDS = 1.0  # four times dumpcap's read timer
_LONGEST_OVERLAP_SECONDS = 30.0
_MIB = 1 << 20


class CaptureSupervisor:
    """What feeds the engine: at most one capture is read at a time.

    Args:
        tools: tshark and dumpcap.
        launcher: starts dumpcap and opens the sockets that count.
        settings: how packets are taken from the kernel.
    """

    def __init__(self, tools: Tools, launcher: LauncherClient, settings: Capture) -> None:
        self._tools = tools
        self._launcher = launcher
        # A capture that takes over must have as many workers as the one before.
        self._settings = replace(settings, workers=worker_count(settings.workers))
        self._tally = KernelCounter(launcher)
        self._renewals = HandoverPolicy(settings.tshark_growth_mib * _MIB)
        self._capture: LiveCapture | None = None
        self._fresh: LiveCapture | None = None
        self._fresh_since = 0.0
        self._last: list[dict[str, str]] = []
        self._names: list[str] = []
        self._served_udp = self._filtered = self._filtering = frozenset[int]()
        self._stalled = False
        self.accounts = LossAccounting()
        self.tshark_version = tools.version
        self.renewals = 0

    def start(self, names: list[str], served_udp: frozenset[int]) -> None:
        """Begin to capture.

        Args:
            names: interfaces, or `any` alone.
            served_udp: UDP ports whose traffic stays in the kernel.

        Raises:
            PortsentryError: the capture does not start.
        """
        self._names, self._served_udp, self._stalled = names, served_udp, False
        self._capture = self._started(decode=True)
        # Where we may not count, what dumpcap tells must do.
        with contextlib.suppress(OSError):
            self._tally.watch(names, served_udp)
        self._filtered = served_udp
        self.count()
        self.accounts.begins(time.monotonic(), time.time())
        self._renewals.begin(time.monotonic(), served_udp)

    def _started(self, *, decode: bool) -> LiveCapture:
        return LiveCapture(
            self._tools,
            describe(self._names),
            self._served_udp,
            self._settings,
            self._launcher,
            decode=decode,
        )

    def read(self, timeout_seconds: float) -> list[str]:
        """Lines of tshark's, waiting at most so long."""
        capture = self._running()
        lines = capture.read(timeout_seconds)
        self._note(lines)
        if self._fresh is not None:
            overlap = time.monotonic() - self._fresh_since
            behind = (capture.lag or 0.0) > overlap
            if capture.ended or overlap >= (_LONGEST_OVERLAP_SECONDS if behind else _OVERLAP_SECONDS):
                lines += self._hand_over(self._fresh)
        else:
            # While packets come without end, only dumpcap can tell what is lost from what is on its way.
            self._renewals.read(time.monotonic(), capture.lag)
        return lines

    def _running(self) -> LiveCapture:
        assert self._capture is not None  # noqa: S101 - `start` comes first
        return self._capture

    def _note(self, lines: list[str]) -> None:
        if lines:
            self.count()
        self.accounts.gave(time.monotonic(), lines)

    def count(self) -> None:
        """Take the kernel's count into the accounts."""
        if self._tally.counts:
            self.accounts.counted(time.monotonic(), self._tally.read())
        else:
            self.accounts.counts_no_more()

    @property
    def ended(self) -> str | None:
        """Why there must be another start: a word of the status line; None while all is well."""
        return "stalled" if self._stalled else self._running().ended

    @property
    def last_words(self) -> str:
        """What the children said last, for our own diagnostics."""
        return "packets pass and none arrives" if self._stalled else self._running().last_words

    def tick(self) -> None:
        """Do what is due, about once a second."""
        self.count()
        self._stalled = self._stalled or self.accounts.stalls(time.monotonic())
        if self._fresh is None and not self._stalled:
            reason = self._renewals.due(time.monotonic(), self._running().tshark_bytes)
            if reason is not None:
                self._renew(reason)

    def serve(self, udp: frozenset[int], *, at_once: bool = False) -> None:
        """Leave these UDP ports to the kernel: at the next look, if they are the same then, or now."""
        self._served_udp = udp
        if at_once:
            self._renewals.named_anew()
        else:
            self._renewals.listening(udp)

    def _renew(self, reason: str) -> None:
        """Let a fresh capture take over: it runs before the old one stops, so no packet is missed."""
        try:
            fresh = self._started(decode=False)
        except PortsentryError as error:
            _diagnostics.error("%s, and a fresh capture does not start: %s", reason, error)
            return
        self._filtering = self._served_udp
        # What dumpcap has not fetched from the kernel when it is told to end is lost: the old one goes on
        # until it has given what came before the fresh one's beginning. Only then is there another tshark.
        self._fresh, self._fresh_since = fresh, time.monotonic()
        self._renewals.begin(self._fresh_since, self._served_udp)
        self._last = self._running().hand_over()
        if self._filtering != self._filtered:
            self._filtered = self._filtering
            # Before the old one ends: what it gives and nobody counts is no alarm, the reverse is.
            # The kernel takes no filter of any length; dumpcap then does without.
            with contextlib.suppress(OSError):
                self._tally.filter(self._filtered)
            self.count()
            self.accounts.filters_anew()

    def _hand_over(self, fresh: LiveCapture) -> list[str]:
        lines = self._end(taken_over=True)
        self._fresh, self._capture = None, fresh
        fresh.decode()
        fresh.follow(self._last)
        self._renewals.decodes(time.monotonic())
        self.renewals += 1
        return lines

    def _end(self, *, taken_over: bool = False) -> list[str]:
        """End the capture that is read: what was on its way, and what the kernel dropped, is known now."""
        capture, self._capture = self._capture, None
        if capture is None:
            return []  # there was none since the last end
        if self._stalled:
            capture.kill()
        lines = capture.stop()
        self._note(lines)
        self.count()
        self.accounts.ends(capture.dropped, taken_over=taken_over)
        return lines

    def stop(self) -> list[str]:
        """End, for another start or for good; the lines of what was captured before."""
        lines = self._hand_over(self._fresh) if self._fresh is not None else []
        return lines + self._end()

    def finish(self) -> list[str]:
        """End for good."""
        self.count()
        self._tally.close()
        lines = self.stop()
        self.accounts.finish()
        return lines
