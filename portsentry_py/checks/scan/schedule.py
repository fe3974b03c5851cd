"""When to send which probe to a host, and when to give a port up. Pure; the caller has the clock."""

from array import array
from collections import OrderedDict, deque

from portsentry_py.checks.scan.cookies import MAX_ATTEMPTS
from portsentry_py.checks.scan.model import SILENT, UNKNOWN, Answer, HostResult
from portsentry_py.checks.scan.timing import RoundTrip, Timing, Window


class Schedule:
    """The probes of one host.

    Args:
        result: gets the states.
        ports: in the order in which to probe them; several hosts may share it.
        attempts: probes per silent port while no loss is noticed.
        window: the most probes that may wait for an answer.
        errors_matter: an ICMP error is the only answer of a closed port, as of UDP.
    """

    def __init__(
        self, result: HostResult, ports: "array[int]", attempts: int, window: int, *, errors_matter: bool = False
    ) -> None:
        self.result = result
        self._ports = ports
        self._attempts = min(MAX_ATTEMPTS, attempts)
        self._begun = 0
        self._timing = Timing(RoundTrip(), Window(window))
        if errors_matter:
            self._timing.await_errors()
        # For each attempt, the ports that wait for an answer with the time of the probe, oldest first.
        self._waiting = [OrderedDict[int, float]() for _ in range(MAX_ATTEMPTS)]
        self._again: deque[tuple[int, int]] = deque()
        self._silent = array("H")
        self._not_before = 0.0

    @property
    def done(self) -> bool:
        """Whether every port has its state."""
        return self._begun == len(self._ports) and not self._again and not any(self._waiting)

    @property
    def decided(self) -> int:
        """How many ports have their state, for now."""
        return self._begun - len(self._again) - sum(map(len, self._waiting))

    def next_probe(self, now: float) -> tuple[int, int] | None:
        """The port to probe now and the number of the attempt, from 0; None if it is not time."""
        if now < self._not_before or sum(map(len, self._waiting)) >= self._timing.window.size:
            return None
        while self._again:
            port, attempt = self._again.popleft()
            if self.result.codes[port] == UNKNOWN:
                return self._sent(port, attempt, now)
        if self._begun == len(self._ports):
            return None
        self._begun += 1
        return self._sent(self._ports[self._begun - 1], 0, now)

    def _sent(self, port: int, attempt: int, now: float) -> tuple[int, int]:
        self._waiting[attempt][port] = now
        self._not_before = now + self._timing.pause
        return port, attempt

    def expire(self, now: float) -> list[int]:
        """The ports whose last probe has waited long enough: probed again later, or given up."""
        expired = []
        for attempt, waiting in enumerate(self._waiting):
            limit = now - self._timing.timeout(attempt)
            while waiting and next(iter(waiting.values())) <= limit:
                port, _ = waiting.popitem(last=False)
                expired.append(port)
                if attempt + 1 < self._attempts:
                    self._again.append((port, attempt + 1))
                else:
                    self.result.codes[port] = SILENT
                    self._silent.append(port)
        return expired

    def wait(self, now: float) -> float:
        """Seconds until there is something to do, unless an answer comes first."""
        moments = [
            next(iter(waiting.values())) + self._timing.timeout(attempt)
            for attempt, waiting in enumerate(self._waiting)
            if waiting
        ]
        more = bool(self._again) or self._begun < len(self._ports)
        if more and sum(map(len, self._waiting)) < self._timing.window.size:
            moments.append(self._not_before)
        return max(0.0, min(moments) - now) if moments else 0.0

    def answered(self, answer: Answer, now: float) -> None:
        """Take an answer; the first one about a port counts."""
        port, attempt = answer.port, answer.attempt
        if self.result.codes[port] not in {UNKNOWN, SILENT}:
            return
        self._learn(answer, now)
        self.result.know(port, answer.state)
        for waiting in self._waiting[attempt:]:
            waiting.pop(port, None)

    def _learn(self, answer: Answer, now: float) -> None:
        sent = self._waiting[answer.attempt].get(answer.port)
        if sent is None:
            self._timing.round_trip.back_off()
        else:
            self._timing.round_trip.measure(now - sent)
        error_counts = answer.by_icmp and answer.state != self.result.silent
        if error_counts:
            self._timing.await_errors()
        if answer.attempt == 0:
            self._timing.window.grow()
        elif sent is not None:
            self._lost(now, error_counts=error_counts)

    def _lost(self, now: float, *, error_counts: bool) -> None:
        """An earlier probe of a port was lost, or its answer: silence says less than it seemed."""
        self._timing.window.halve(now, self._timing.round_trip.timeout)
        if error_counts:
            self._timing.slow_down(now)
        if self._attempts < MAX_ATTEMPTS:
            for port in self._silent:
                if self.result.codes[port] == SILENT:
                    self.result.codes[port] = UNKNOWN
                    self._again.append((port, self._attempts))
            self._silent = array("H")
            self._attempts = MAX_ATTEMPTS
