"""Decides when a fresh capture takes over from the one that runs: no I/O, no clock."""

from portsentry_py.capture.bpf import PLAIN, FilterHost

GROWN = "tshark has grown"
SERVED = "the filter does not fit the served ports any more"
MOVED = "this host has other addresses or routes"
TWICE = "interfaces have come whose packets another one has too"
BEHIND = "packets may have been dropped while the sensor was behind"

# A takeover costs as much as the packets of more than a second, so the next one waits for a while.
_SETTLED_SECONDS = 2.0
# A fresh capture takes so long to take over: its start, the overlap, and a second between two looks at the growth.
_TAKEOVER_SECONDS = 2.4
# And as long as the old one is behind. It is no further behind than this unless the clock is wrong.
_LONGEST_LAG_SECONDS = 5.0
_BEHIND_SECONDS = 1.0  # twice the delay of dumpcap's timer and ours
_OVERLAP_SECONDS = 5.0  # a fresh capture is behind at first, because it is not read before the old one ends
_SILENCE_SECONDS = 10.0
_PAUSE_SECONDS = 60.0
_MAX_PAUSE_SECONDS = 600.0


class HandoverPolicy:
    """What is known of the running capture, and whether another one is due.

    `growth_bytes` is what tshark may have grown by when it is replaced. The argument `now` is in seconds of any clock
    that is never set back.
    """

    def __init__(self, growth_bytes: int) -> None:
        self._growth_bytes = growth_bytes
        self._pause, self._last_due = _PAUSE_SECONDS, float("-inf")
        self.capture_started(0.0, PLAIN)

    def capture_started(self, now: float, filtered: FilterHost) -> None:
        """A capture has started whose filter knows this of the host."""
        self.decoding_started(now)
        self._filtered = filtered
        self._unfiltered = self._closed = frozenset[int]()
        self._ports_are_stale = self._addresses_are_stale = self._ports_changed = False
        self._are_heard_twice = False
        self._is_behind = self._has_caught_up = False

    def decoding_started(self, now: float) -> None:
        """Its tshark has started; that of a capture which takes over starts later than dumpcap."""
        self._started = self._last_lag = now
        self._growth, self._allowed_bytes = (now, 0), self._growth_bytes
        self._lag_seconds = 0.0

    def update_host(self, host: FilterHost) -> None:
        """The host is this now.

        A UDP port that is there twice in a row is a service's, not a client's, and a TCP port that is not there twice
        has no service that just starts again.
        """
        filtered = self._filtered
        unfiltered = host.filtered_udp - filtered.filtered_udp
        closed = filtered.unvisited_tcp - host.served_tcp
        self._ports_are_stale = bool(unfiltered & self._unfiltered or closed & self._closed)
        self._unfiltered, self._closed = unfiltered, closed
        self._addresses_are_stale = (host.routable, host.elsewhere) != (filtered.routable, filtered.elsewhere)
        self._are_heard_twice = not host.twice <= filtered.twice

    def served_ports_changed(self) -> None:
        """The operator has named other ports as served, or wants other lines: take over at once."""
        self._ports_changed = True
        self._last_due = float("-inf")

    def update_lag(self, now: float, lag_seconds: float | None) -> None:
        """The capture is this far behind; None if no line came lately."""
        self._lag_seconds = min(max(lag_seconds or 0.0, 0.0), _LONGEST_LAG_SECONDS)
        if lag_seconds is not None:
            self._last_lag = now
        elif now - self._last_lag < _SILENCE_SECONDS:
            return  # no packets, or tshark hangs
        if (lag_seconds or 0.0) <= _BEHIND_SECONDS:
            self._has_caught_up = self._is_behind
        elif now - self._started > _OVERLAP_SECONDS:
            self._is_behind, self._has_caught_up = True, False

    def due(self, now: float, grown_bytes: int) -> str | None:
        """The reason why a fresh capture should take over now, if there is one. Each reason is given once.

        `grown_bytes` is what tshark has grown by so far.
        """
        if self._will_have_grown(now, grown_bytes):
            self._allowed_bytes = grown_bytes + self._growth_bytes
            return GROWN
        # dumpcap reports its drops only when it ends.
        reason = BEHIND if self._has_caught_up else None
        if self._are_heard_twice:
            reason = TWICE
        if self._ports_are_stale or self._ports_changed:
            reason = SERVED
        if self._addresses_are_stale:
            reason = MOVED
        waited = now - self._last_due
        if reason is None or waited < self._pause:
            return None
        # Telephony opens ports all day, and a clock may stay wrong: a reason that returns at once must
        # wait twice as long each time.
        returned_at_once = waited < 2 * self._pause
        self._pause = min(2 * self._pause, _MAX_PAUSE_SECONDS) if returned_at_once else _PAUSE_SECONDS
        self._last_due = now
        return reason

    def _will_have_grown(self, now: float, grown_bytes: int) -> bool:
        """Whether tshark has grown by more than it may, or will have before a fresh one has taken over.

        In a flood it grows by half of that meanwhile. Little growth is no reason, however fast it came.
        """
        (before, bytes_before), self._growth = self._growth, (now, grown_bytes)
        if now - self._started < _SETTLED_SECONDS or grown_bytes < self._allowed_bytes - self._growth_bytes / 2:
            return False
        pace = max(0.0, (grown_bytes - bytes_before) / (now - before)) if now > before else 0.0
        return grown_bytes + pace * (_TAKEOVER_SECONDS + self._lag_seconds) > self._allowed_bytes
