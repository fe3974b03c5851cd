"""What became of every packet that passed the kernel's filter: arithmetic alone, no sockets, no clock.

    seen = given + dropped + missed + pending

`seen` is counted by the kernel, beside the capture; `given` are tshark's lines; `dropped` was lost while a
capture ran, `missed` while there was none or with its end; `pending` is still on its way.
"""

from collections.abc import Sequence

from portsentry_py.core.columns import time_of

_STALL_SECONDS = 3.0
# A packet is here after dumpcap's timer (0.25 s) and ours; what is not here by then will not come. Longer
# than a stall takes to be seen, or a few packets that a deaf capture missed would pass for dropped.
_SETTLED_SECONDS = 4.0
_LONGEST_STALL_SECONDS = 60.0


class LossAccounting:
    """The packets of one sensor, over all its captures. Times are seconds of any clock that only goes on."""

    def __init__(self) -> None:
        self.dropped = 0
        self.missed = 0
        self.given = 0
        self._counts = self._counts_still = False
        self._counted = 0
        self._base: int | None = None
        # Of the capture that runs: losses booked as dropped or missed, by what the kernel counted.
        self._booked = self._booked_missed = 0
        self._runs = False
        self._heard = self._still_since = 0.0
        self._moved: float | None = None
        self._patience = _STALL_SECONDS
        self.deaf = False
        """Packets passed and none arrived, however often the capture was restarted since."""
        # The beginning of the capture that runs: what came before was not for it, but for the first packets.
        self._boundary = 0.0
        self._at_boundary: int | None = None
        self._early = 0
        # Packets that may have passed the filter of the counter and not that of the capture.
        self._doubtful = 0

    @property
    def seen(self) -> int:
        """Packets that passed the filter since the start."""
        return max(self._counted - (self._base or 0), self._accounted) if self._counts else self._accounted

    @property
    def pending(self) -> int:
        """Packets that passed the filter and are neither here nor known to be lost."""
        return self.seen - self._accounted

    @property
    def _accounted(self) -> int:
        return self.given + self.dropped + self.missed

    def counted(self, now: float, total: int) -> None:
        """The kernel has counted so many packets until now, since any time before the first capture."""
        self._counts = self._counts_still = True
        moved = total != self._counted
        self._counted = total
        if self._base is None:
            return
        self._take_back()
        if moved:
            self._still_since = now
        if not self.pending:
            self._moved = None
        elif moved and self._moved is None:
            self._moved = now
        self._settle(now)

    def _take_back(self) -> None:
        """More was accounted for than was counted: what was thought to be lost came late."""
        if self._base is None or not self._counts_still:
            return
        excess = max(0, self._accounted - (self._counted - self._base))
        late = min(excess, self._booked)
        self.dropped -= late
        self._booked -= late
        early = min(excess - late, self._booked_missed)
        self.missed -= early
        self._booked_missed -= early
        # A packet at the edge of a capture, or one that the counter does not know, a doubly tagged frame say.
        self._base -= excess - late - early

    def _settle(self, now: float) -> None:
        """Nothing moves any more: what is not here is lost."""
        if not self._runs or now - max(self._heard, self._still_since) < _SETTLED_SECONDS:
            return
        self._end_boundary()
        self._forget_doubtful()
        lost = self.pending
        self.dropped += lost
        self._booked += lost

    def _forget_doubtful(self) -> None:
        self._base = (self._base or 0) + min(self._doubtful, self.pending)
        self._doubtful = 0

    def gave(self, now: float, lines: Sequence[str]) -> None:
        """These lines came.

        `counted` was called just before, or what is new would pass for what was thought to be lost.
        """
        if not lines:
            return
        self._heard, self._moved, self._patience, self.deaf = now, None, _STALL_SECONDS, False
        self.given += len(lines)
        self._note_early(lines)
        self._take_back()

    def _note_early(self, lines: Sequence[str]) -> None:
        """Count the lines from before the capture's beginning, until the first from after it."""
        if self._at_boundary is None:
            return
        for line in lines:
            if time_of(line) >= self._boundary:
                self._end_boundary()
                return
            self._early += 1

    def begins(self, now: float, time: float) -> None:
        """A capture begins, and `counted` was called just now; the packets' clock says `time` (seconds)."""
        self._end_boundary()
        if self._base is None:
            self._base = self._counted - self.given
        self._boundary, self._at_boundary, self._early = time, self.pending, 0
        self._heard, self._moved, self._runs = now, None, True
        self._booked = self._booked_missed = 0

    def _end_boundary(self) -> None:
        """What passed before the capture's beginning and did not come with its first packets was missed."""
        if self._at_boundary is not None:
            self._booked_missed = max(0, self._at_boundary - self._early)
            self.missed += self._booked_missed
            self._at_boundary = None

    def ends(self, dropped: int, *, taken_over: bool = False) -> None:
        """A capture has ended and gave its last line; dumpcap says how many packets were dropped.

        Unless another has taken over already, what passes from now on is missed.
        """
        self.dropped += max(0, dropped - self._booked)
        self._booked = max(0, self._booked - dropped)
        self._take_back()
        self._runs = taken_over

    def counts_no_more(self) -> None:
        """What comes from now on may be newer than the last count: it corrects nothing that was told."""
        self._counts_still = False

    def finish(self) -> None:
        """The last capture has ended."""
        self._end_boundary()
        self._forget_doubtful()
        self.missed += self.pending

    def filters_anew(self) -> None:
        """The counter has the capture's new filter, and `counted` was called just now.

        What is pending may be what only the old filter passed; from now on both mean the same again.
        """
        self._doubtful = self.pending

    def stalls(self, now: float) -> bool:
        """Whether packets pass and none arrives. Said later and later until some come."""
        if self._moved is None or now - self._moved < self._patience:
            return False
        self._patience = min(2 * self._patience, _LONGEST_STALL_SECONDS)
        self.deaf = True
        return True


def read_from_file(packets: int) -> LossAccounting:
    """The accounts of a capture file: all that was in it is here."""
    accounts = LossAccounting()
    accounts.given = packets
    return accounts
