"""Packets that came in with one of our own source addresses: how many, and one report for each episode."""

import contextlib
import logging
from collections import Counter
from collections.abc import Sequence

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.kernel_counter import KernelCounter

_GATHER_SECONDS = 10.0  # one report says how many
_EPISODE_SECONDS = 600.0
_diagnostics = logging.getLogger(__name__)


class ForgedPackets:
    """Counts them, because the capture's filter drops them.

    Args:
        counter: counts them in the kernel.
    """

    def __init__(self, counter: KernelCounter) -> None:
        self._counter = counter
        self._known = Counter[str]()
        self._before = Counter[str]()
        self._since: float | None = None
        self._last = 0.0
        self._is_reported = False

    @property
    def count(self) -> int:
        """How many came until now."""
        return self._counter.read()

    def watch(self, names: Sequence[str], host: FilterHost) -> None:
        """Count on these interfaces; where that is not possible, nothing is counted."""
        with contextlib.suppress(OSError):
            self._counter.watch(names, host)

    def tick(self, now: float) -> None:
        """Report an episode once, some seconds after its first packet.

        Args:
            now: seconds of any clock that is never set back.
        """
        counts = self._counter.by_interface()
        if counts != self._known:
            if self._since is None:
                self._since, self._before = now, self._known
            self._known, self._last = counts, now
        if self._since is None:
            return
        if not self._is_reported and now - self._since >= _GATHER_SECONDS:
            self._is_reported = True
            came = counts - self._before
            _diagnostics.warning(
                "%d packets with a source address of ours came in on %s; somebody forges us, or a loop or a mirror "
                "port returns what we sent: they are not believed, so find the sender or filter them at the router.",
                came.total(),
                ", ".join(sorted(came)),
            )
        if now - self._last >= _EPISODE_SECONDS:
            self._since, self._is_reported = None, False

    def close(self) -> None:
        """Count no more; the count stays."""
        self._counter.close()
