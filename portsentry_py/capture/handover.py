"""When a fresh capture should take over from the one that runs: decides, touches nothing."""

GROWN = "tshark has grown"
SERVED = "UDP ports that are served now are still captured"
BEHIND = "packets may have been dropped while the sensor was behind"

_SETTLED_SECONDS = 2.0  # after these, tshark has loaded what it needs for its work
_BEHIND_SECONDS = 1.0  # dumpcap's timer and ours are half of it
_OVERLAP_SECONDS = 5.0  # a fresh capture begins behind: it is not read before the old one has ended
_SILENCE_SECONDS = 10.0
_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 600.0


class HandoverPolicy:
    """What is known of the capture that runs, and the reason for another one.

    Args:
        growth_bytes: growth of tshark at which it is replaced.
    """

    def __init__(self, growth_bytes: int) -> None:
        self._growth_bytes = growth_bytes
        self._pause, self._last = _PAUSE_SECONDS, float("-inf")
        self.begin(0.0, frozenset())

    def begin(self, now: float, filtered: frozenset[int]) -> None:
        """A capture has started; its filter leaves these UDP ports in the kernel."""
        self.decodes(now)
        self._filtered = filtered
        self._unfiltered: frozenset[int] = frozenset()
        self._stale_filter = self._named_anew = False
        self._behind = self._caught_up = False

    def decodes(self, now: float) -> None:
        """Its tshark runs since now; that of a capture which takes over begins later."""
        self._began = self._heard = now
        self._fresh_bytes = 0

    def listening(self, ports: frozenset[int]) -> None:
        """These UDP ports have a socket now: a client's is soon gone, a service's is there the next time."""
        unfiltered = ports - self._filtered
        self._stale_filter = bool(unfiltered & self._unfiltered)
        self._unfiltered = unfiltered

    def named_anew(self) -> None:
        """The operator names other ports as served, and does not want to wait."""
        self._named_anew = True
        self._last = float("-inf")

    def read(self, now: float, lag_seconds: float | None) -> None:
        """The capture is so far behind; None if nothing came of late."""
        if lag_seconds is not None:
            self._heard = now
        elif now - self._heard < _SILENCE_SECONDS:
            return  # nothing on the wire, or tshark was held up
        if (lag_seconds or 0.0) <= _BEHIND_SECONDS:
            self._caught_up = self._behind
        elif now - self._began > _OVERLAP_SECONDS:
            self._behind, self._caught_up = True, False

    def due(self, now: float, tshark_bytes: int) -> str | None:
        """Why a fresh capture should take over now; said once, and again when there is a reason again."""
        if now - self._began < _SETTLED_SECONDS or not self._fresh_bytes:
            self._fresh_bytes = tshark_bytes
        if tshark_bytes - self._fresh_bytes > self._growth_bytes:
            self._fresh_bytes = tshark_bytes
            return GROWN
        # dumpcap tells what was dropped when it ends, and not before.
        reason = BEHIND if self._caught_up else None
        if self._stale_filter or self._named_anew:
            reason = SERVED
        waited = now - self._last
        if reason is None or waited < self._pause:
            return None
        # Telephony opens ports all day, and a clock may be wrong for ever: what comes at once again must wait
        # longer and longer.
        again = waited < 2 * self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS) if again else _PAUSE_SECONDS
        self._last = now
        return reason
