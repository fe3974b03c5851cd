"""How long to wait for an answer, and how many probes may be on their way. Pure."""

from dataclasses import dataclass

_FIRST_TIMEOUT, _LEAST_TIMEOUT, _MOST_TIMEOUT = 1.0, 0.1, 10.0
_GRANULARITY = 0.01
_SRTT_GAIN, _VARIANCE_GAIN, _VARIANCES = 1 / 8, 1 / 4, 4
_FIRST_WINDOW, _LEAST_WINDOW = 64.0, 8.0
_FIRST_PAUSE, _MOST_PAUSE = 0.05, 1.0
# RFC 1812 section 4.3.2.8 and RFC 4443 section 2.4: hosts limit ICMP errors; Linux sends one a second after six.
_ICMP_TIMEOUT = 1.0


@dataclass(slots=True)
class RoundTrip:
    """The retransmission timeout of RFC 6298 section 2, in seconds."""

    smoothed: float = 0.0
    variance: float = 0.0
    timeout: float = _FIRST_TIMEOUT

    def measure(self, seconds: float) -> None:
        """Learn from an answer. Karn: never from one of which it is not known which probe it answers."""
        if self.smoothed:
            self.variance += _VARIANCE_GAIN * (abs(self.smoothed - seconds) - self.variance)
            self.smoothed += _SRTT_GAIN * (seconds - self.smoothed)
        else:
            self.smoothed, self.variance = seconds, seconds / 2
        wanted = self.smoothed + max(_GRANULARITY, _VARIANCES * self.variance)
        self.timeout = min(_MOST_TIMEOUT, max(_LEAST_TIMEOUT, wanted))

    def back_off(self) -> None:
        """An answer came after its timeout: wait longer."""
        self.timeout = min(_MOST_TIMEOUT, 2 * self.timeout)


class Window:
    """How many probes may wait for an answer: slow start and halving as in RFC 5681."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._size = min(_FIRST_WINDOW, self._most)
        self._threshold = self._most
        self._halved_at = float("-inf")

    @property
    def size(self) -> int:
        """Probes."""
        return int(self._size)

    def grow(self) -> None:
        """The first probe of a port was answered."""
        self._size = min(self._most, self._size + (1 if self._size < self._threshold else 1 / self._size))

    def halve(self, now: float, round_trip: float) -> None:
        """A probe or its answer was lost; once a round trip."""
        if now - self._halved_at > round_trip:
            self._halved_at = now
            self._size = self._threshold = max(min(_LEAST_WINDOW, self._most), self._size / 2)


@dataclass(slots=True)
class Timing:
    """What the answers of a host teach.

    Attributes:
        round_trip: the retransmission timeout.
        window: how many probes may wait for an answer.
        least_timeout: raised once silence could be an ICMP error that the host held back.
        pause: the least time between two probes, raised while the host holds errors back.
    """

    round_trip: RoundTrip
    window: Window
    least_timeout: float = 0.0
    pause: float = 0.0
    _slowed_at: float = float("-inf")

    def timeout(self, attempt: int) -> float:
        """How long to wait for the answer to this probe of a port; later probes wait longer, up to a second."""
        base = max(self.least_timeout, self.round_trip.timeout)
        return float(max(base, min(base * 2**attempt, _FIRST_TIMEOUT)))

    def await_errors(self) -> None:
        """The host's ICMP errors matter, and hosts send few."""
        self.least_timeout = _ICMP_TIMEOUT

    def slow_down(self, now: float) -> None:
        """An ICMP error came only after another probe: the host held the first one back."""
        if now - self._slowed_at > self.pause:
            self._slowed_at = now
            self.pause = min(_MOST_PAUSE, max(_FIRST_PAUSE, 2 * self.pause))
