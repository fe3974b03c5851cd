"""What became of every packet that passed the kernel's filter: arithmetic alone, no sockets, no clock.

    seen = given + dropped + missed + pending

`seen` is counted by the kernel, beside the capture; `given` are tshark's lines; `dropped` was lost while a
capture ran, `missed` while there was none or with its end; `pending` is still on its way.
"""

from collections.abc import Iterable, Sequence

from portsentry_py.decode import seconds_of

_STALL_SECONDS = 3.0
# A packet is here after dumpcap's timer (0.25 s) and ours; what is not here by then will not come. Longer
# than a stall takes to be seen, or a few packets that a deaf capture missed would pass for dropped.
_SETTLED_SECONDS = 4.0
_LONGEST_STALL_SECONDS = 60.0


class Accounts:
    """The packets of one sensor, over all its captures. Times are seconds of any clock that only goes on."""

    def __init__(self) -> None:
        self.dropped = 0
        self.missed = 0
        self.given = 0
        self._counts = False
        self._counted = 0
        self._base: int | None = None
        # Of the capture that runs: losses booked as dropped, by what the kernel counted.
        self._booked = 0
        self._heard = self._still_since = 0.0
        self._moved: float | None = None
        self._patience = _STALL_SECONDS
        self.deaf = False
        """Packets passed and none arrived, however often the capture was restarted since."""
        # The beginning of the capture that runs: what came before was not for it, but for the first packets.
        self._boundary = 0.0
        self._at_boundary: int | None = None
        self._early = 0
        self._loose = False

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
        self._counts = True
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
        excess = self._accounted - (self._counted - (self._base or 0))
        if excess <= 0:
            return
        late = min(excess, self._booked)
        self.dropped -= late
        self._booked -= late
        # A packet at the edge of a capture, or one that the counter does not know, a doubly tagged frame say.
        self._base = (self._base or 0) - (excess - late)

    def _settle(self, now: float) -> None:
        """Nothing moves any more: what is not here is lost."""
        if now - max(self._heard, self._still_since) < _SETTLED_SECONDS:
            return
        self._end_boundary()
        if self._loose:
            self._base = (self._base or 0) + self.pending
            self._loose = False
        lost = self.pending
        self.dropped += lost
        self._booked += lost

    def gave(self, now: float, lines: Sequence[str]) -> None:
        """These lines came."""
        if not lines:
            return
        self._heard, self._moved, self._patience, self.deaf = now, None, _STALL_SECONDS, False
        self.given += len(lines)
        if self._at_boundary is not None:
            self._early += self._before_boundary(lines)

    def _before_boundary(self, lines: Iterable[str]) -> int:
        early = 0
        for line in lines:
            if seconds_of(line.split("\t", 1)[0]) >= self._boundary:
                break
            early += 1
        else:
            return early
        self._early += early
        self._end_boundary()
        return 0

    def begins(self, now: float, time: float) -> None:
        """A capture begins, and `counted` was called just now; the packets' clock says `time` (seconds)."""
        self._end_boundary()
        if self._base is None:
            self._base = self._counted - self.given
        self._boundary, self._at_boundary, self._early = time, self.pending, 0
        self._heard, self._moved, self._booked = now, None, 0

    def _end_boundary(self) -> None:
        """What passed before the capture's beginning and did not come with its first packets was missed."""
        if self._at_boundary is not None:
            self.missed += max(0, self._at_boundary - self._early)
            self._at_boundary = None

    def ends(self, dropped: int) -> None:
        """A capture has ended and gave its last line; dumpcap says how many packets were dropped."""
        self.dropped += max(0, dropped - self._booked)
        self._booked = 0

    def finish(self) -> None:
        """The last capture has ended."""
        self._end_boundary()
        self.missed += self.pending

    def filters_anew(self) -> None:
        """The filter is another from now on: for a moment, counter and capture do not mean the same."""
        self._loose = True

    def stalls(self, now: float) -> bool:
        """Whether packets pass and none arrives. Said later and later until some come."""
        if self._moved is None or now - self._moved < self._patience:
            return False
        self._patience = min(2 * self._patience, _LONGEST_STALL_SECONDS)
        self.deaf = True
        return True


def read_from_file(packets: int) -> Accounts:
    """The accounts of a capture file: all that was in it is here."""
    accounts = Accounts()
    accounts.given = packets
    return accounts
