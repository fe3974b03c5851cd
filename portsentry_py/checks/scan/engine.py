"""The loop of a scan: sends what is due at the rate, and gives each schedule its answers."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from portsentry_py.checks.scan.model import Target
from portsentry_py.checks.scan.prober import Prober
from portsentry_py.checks.scan.schedule import Schedule

_HOSTS_AT_ONCE = 16
_BURST_SECONDS = 0.005
_SENT_BETWEEN_READS = 32
_LONGEST_WAIT = 0.2


@dataclass(slots=True)
class Pace:
    """At most `rate` probes per second, a few milliseconds' worth at once."""

    rate: float
    _next: float = 0.0

    def take(self, now: float) -> None:
        """A probe is sent."""
        self._next = max(self._next, now - _BURST_SECONDS) + 1 / self.rate

    def wait(self, now: float) -> float:
        """Seconds until the next one."""
        return max(0.0, self._next - now)


class Engine:
    """Runs schedules to their end, a few hosts at once.

    Args:
        prober: sends and receives.
        rate: probes per second.
        clock: monotonic seconds.
        progress: gets the number of decided ports now and then.
    """

    def __init__(
        self, prober: Prober, rate: float, clock: Callable[[], float], progress: Callable[[int], None]
    ) -> None:
        self._prober = prober
        self._pace = Pace(rate)
        self._clock = clock
        self._progress = progress
        self.sent = 0

    def run(self, schedules: Iterable[Schedule]) -> None:
        """Until every port of every host has its state."""
        queued = deque(schedules)
        active: dict[Target, Schedule] = {}
        decided = 0
        while queued or active:
            while queued and len(active) < _HOSTS_AT_ONCE:
                schedule = queued.popleft()
                active[schedule.result.target] = schedule
            self._turn(active)
            for target, schedule in list(active.items()):
                if schedule.done:
                    decided += schedule.decided
                    del active[target]
            self._progress(decided + sum(schedule.decided for schedule in active.values()))

    def _turn(self, active: dict[Target, Schedule]) -> None:
        now = self._clock()
        for target, schedule in active.items():
            for port in schedule.expire(now):
                self._prober.forget(target, port)
        more = self._send(active)
        now = self._clock()
        wait = 0.0 if more else min(schedule.wait(now) for schedule in active.values())
        for answer in self._prober.answers(min(_LONGEST_WAIT, max(wait, self._pace.wait(now)))):
            if answer.target in active:
                active[answer.target].answered(answer, self._clock())

    def _send(self, active: dict[Target, Schedule]) -> bool:
        """Send a few probes; whether there are more."""
        for _ in range(_SENT_BETWEEN_READS):
            before = self.sent
            for target, schedule in active.items():
                now = self._clock()
                if self._pace.wait(now):
                    return True
                probe = schedule.next_probe(now)
                if probe is not None:
                    self._pace.take(now)
                    self._prober.send(target, *probe)
                    self.sent += 1
            if self.sent == before:
                return False
        return True
