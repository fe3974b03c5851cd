"""Accounts for every packet that passed the kernel's filter: arithmetic alone, no sockets, no clock.

seen = received + dropped + missed + pending
"""

from collections.abc import Sequence

from portsentry_py.core.columns import time_of

_STALL_SECONDS = 3.0
# A capture whose first line is still to come: on a busy machine tshark takes seconds to start.
_FIRST_LINE_SECONDS = 15.0
# A packet arrives within half a second (dumpcap's timer and ours), and is lost if it has not arrived by then.
# Longer than a stall takes to show, or what a stalled capture misses would pass for dropped.
_SETTLED_SECONDS = 4.0
# Before the first line, it may be on its way for nearly as long as tshark has to start. If it is lost and nothing else
# passes, that is no stall.
_BEFORE_STALL_SECONDS = 1.0
_MAX_STALL_SECONDS = 60.0


class LossAccounting:
    """The packets of one sensor, over all its captures.

    Seen are the packets that the kernel counts besides the capture; received are tshark's lines. Packets were
    dropped while a capture ran, missed while none did or when one ended; pending ones are on their way.
    The argument `now` is in seconds of any clock that is never set back.
    """

    def __init__(self, received: int = 0) -> None:
        self.dropped = 0
        self.missed = 0
        self.received = received
        self.stalled = False
        """Whether packets pass and none arrives, however often the capture was restarted."""
        self._has_counted = self._is_counting = False
        self._counted = 0
        self._base: int | None = None
        # Of the running capture, losses that the counter suggests; packets that arrive late correct them.
        self._presumed_dropped = self._presumed_missed = 0
        self._runs = False
        self._last_lines = self._last_change = 0.0
        self._pending_since: float | None = None
        self._patience = _STALL_SECONDS
        # When the running capture started, and what was pending then: some of it may be in the first lines.
        self._start_time = 0.0
        self._pending_at_start: int | None = None
        self._early = 0
        # Packets that may have passed the counter's filter and not the capture's.
        self._doubtful = 0

    @property
    def seen(self) -> int:
        """Packets that passed the filter since the start of the sensor."""
        counted = self._counted - (self._base or 0)
        return max(counted, self._accounted) if self._has_counted else self._accounted

    @property
    def pending(self) -> int:
        """Packets that passed the filter and have neither arrived nor are known to be lost."""
        return self.seen - self._accounted

    @property
    def _accounted(self) -> int:
        return self.received + self.dropped + self.missed

    def update_count(self, now: float, total: int) -> None:
        """The kernel has counted `total` packets, from any moment before the first capture until now."""
        self._has_counted = self._is_counting = True
        has_changed = total != self._counted
        self._counted = total
        if self._base is None:
            return
        self._correct_presumed()
        if has_changed:
            self._last_change = now
        if not self.pending:
            self._pending_since = None
        elif has_changed and self._pending_since is None:
            self._pending_since = now
        self._settle(now)

    def _correct_presumed(self) -> None:
        """If more is accounted for than was counted, packets that were presumed lost have arrived late."""
        if self._base is None or not self._is_counting:
            return
        excess = max(0, self._accounted - (self._counted - self._base))
        dropped = min(excess, self._presumed_dropped)
        self.dropped -= dropped
        self._presumed_dropped -= dropped
        missed = min(excess - dropped, self._presumed_missed)
        self.missed -= missed
        self._presumed_missed -= missed
        # A packet from before the counter's start, or one that it cannot count, like a doubly tagged frame.
        self._base -= excess - dropped - missed

    def _settle(self, now: float) -> None:
        """Once nothing passes or arrives any more, whatever is pending is lost."""
        wait = max(_SETTLED_SECONDS, self._patience - _BEFORE_STALL_SECONDS)
        if not self._runs or now - max(self._last_lines, self._last_change) < wait:
            return
        self._settle_start()
        self._forget_doubtful()
        lost = self.pending
        self.dropped += lost
        self._presumed_dropped += lost

    def _forget_doubtful(self) -> None:
        self._base = (self._base or 0) + min(self._doubtful, self.pending)
        self._doubtful = 0

    def add_lines(self, now: float, lines: Sequence[str]) -> None:
        """These lines have arrived.

        Call `update_count` first, or packets that just passed would pass for some that were presumed lost.
        """
        if not lines:
            return
        self._last_lines, self._pending_since = now, None
        self._patience, self.stalled = _STALL_SECONDS, False
        self.received += len(lines)
        self._note_early(lines)
        self._correct_presumed()

    def leave_out(self, count: int) -> None:
        """So many of the lines that have arrived were of packets that other lines are of too: they count nowhere."""
        self.received -= count
        self._base = (self._base or 0) + count

    def _note_early(self, lines: Sequence[str]) -> None:
        """Count the lines from before the start of the capture, until the first from after it."""
        if self._pending_at_start is None:
            return
        for line in lines:
            if time_of(line) >= self._start_time:
                self._settle_start()
                return
            self._early += 1

    def capture_started(self, now: float, time: float) -> None:
        """A capture has started, at `time` (seconds since 1970) in the packets' clock; call `update_count` first."""
        self._settle_start()
        if self._base is None:
            self._base = self._counted - self.received
        self._start_time, self._pending_at_start, self._early = time, self.pending, 0
        self._last_lines, self._runs = now, True
        self.reading_started()
        self._presumed_dropped = self._presumed_missed = 0

    def reading_started(self) -> None:
        """The capture that took over is read from now on; until now, no line of it could arrive."""
        self._pending_since = None
        self._patience = max(self._patience, _FIRST_LINE_SECONDS)

    def _settle_start(self) -> None:
        """What passed before the start of the capture and is not among its first lines was missed."""
        if self._pending_at_start is not None:
            self._presumed_missed = max(0, self._pending_at_start - self._early)
            self.missed += self._presumed_missed
            self._pending_at_start = None

    def capture_ended(self, dropped: int, *, taken_over: bool = False) -> None:
        """A capture has ended, which dropped these packets according to dumpcap, and all its lines have arrived.

        Some of them lay in a queue of its own when it ended, so a capture that runs already may still deliver them.
        If no other one has taken over, packets that pass from now on are missed.
        """
        self.dropped += max(0, dropped - self._presumed_dropped)
        self._presumed_dropped = max(dropped if taken_over else 0, self._presumed_dropped - dropped)
        self._correct_presumed()
        self._runs = taken_over

    def stop_counting(self) -> None:
        """The kernel counts no more: lines from now on may be of packets that it did not count."""
        self._is_counting = False

    def finish(self) -> None:
        """The last capture has ended: what is pending was missed."""
        self._settle_start()
        self._forget_doubtful()
        self.missed += self.pending

    def filter_changed(self) -> None:
        """The counter has the filter of the new capture since the last `update_count`.

        What is pending may have passed the old filter alone; from now on both filters are the same.
        """
        self._doubtful = self.pending

    def check_stall(self, now: float) -> bool:
        """Whether packets pass and none arrives; True again after twice the time, until one arrives."""
        if self._pending_since is None or now - self._pending_since < self._patience:
            return False
        self._patience = min(2 * self._patience, _MAX_STALL_SECONDS)
        self.stalled = True
        return True
