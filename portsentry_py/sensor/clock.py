"""The time, and waiting for it: the daemon gets both from here, and a test moves them."""

import time


class Clock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Seconds of a clock that only goes forward."""
        return time.monotonic()

    def now_us(self) -> int:
        """The time of day, in microseconds since 1970."""
        return time.time_ns() // 1000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Interval:
    """Says once per interval that it is over."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._began = clock.monotonic()

    def is_over(self) -> bool:
        """Whether the interval is over; if so, the next one begins."""
        now = self._clock.monotonic()
        if now - self._began < self._seconds:
            return False
        self._began = now
        return True
