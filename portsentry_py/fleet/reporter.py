"""What one host reported, and its quotas."""

from dataclasses import dataclass, field

from portsentry_py.config.settings import Fleet
from portsentry_py.fleet.messages import Ban

_BURST_MINUTES = 10
# A clock that is not set drifts by less than 100 microseconds in a second.
_DRIFT = 10_000
_MOST_LAG_US = 120_000_000
_MINUTE_US = 60_000_000
# A host under a heavy scan sends some hundred messages at once; beyond this its messages are not even decoded.
_MESSAGES_PER_MINUTE, _MESSAGES_AT_ONCE = 1200.0, 2000.0


@dataclass(slots=True)
class Bucket:
    """A token bucket; it starts full."""

    most: float
    per_minute: float
    level: float = field(init=False)
    filled_us: int = 0

    def __post_init__(self) -> None:
        self.level = self.most

    def at(self, now_us: int) -> float:
        """How many tokens there are at that time."""
        passed = max(now_us - self.filled_us, 0)
        return min(self.most, self.level + passed / _MINUTE_US * self.per_minute)

    def take(self, now_us: int) -> bool:
        """Take a token; False if there is none."""
        self.level, self.filled_us = self.at(now_us), now_us
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass(frozen=True, slots=True)
class Report:
    """A ban of a host, from a message of this time, with the end that this host grants."""

    ban: Ban
    issued_us: int
    until_us: int


@dataclass(slots=True)
class Reporter:
    """One host of the fleet.

    Attributes:
        reports: its active bans, by source.
        ban_us, state_us, seen_us: the time of its latest live message, list and contacts: an older one is replayed.
        left_out: first contacts that it had no room for.
        contacts: the rate limit of its contacts; None until the first.
        heard_us: when this host last heard it, by the clock of this host; 0 for never.
        offset_us: how far its clock is ahead of ours, the delay of the message included.
        lag_us: how much later than its fastest message the latest one came.
    """

    new: Bucket
    messages: Bucket
    most: int
    reports: dict[str, Report] = field(default_factory=dict)
    ban_us: int = 0
    state_us: int = 0
    seen_us: int = 0
    left_out: int = 0
    contacts: Bucket | None = None
    heard_us: int = 0
    offset_us: int = 0
    lag_us: int = 0

    def hear(self, issued_us: int, now_us: int) -> None:
        """Hear a live message of this time.

        Whether a clock is ahead or a message late, one message cannot tell: the fastest one is the measure. It ages,
        because clocks drift, and does not outlive a clock that was set.
        """
        best_us = self.offset_us + self.lag_us - max(now_us - self.heard_us, 0) // _DRIFT
        offset_us = issued_us - now_us
        if not self.heard_us or not offset_us <= best_us <= offset_us + _MOST_LAG_US:
            best_us = offset_us
        self.heard_us, self.offset_us, self.lag_us = now_us, offset_us, best_us - offset_us

    def admits(self, source: str, now_us: int, *, replay: bool) -> bool:
        """Whether the quota leaves room for a source; what was retained while we were away counts as active alone."""
        if source in self.reports:
            return True
        return len(self.reports) < self.most and (replay or self.new.take(now_us))


def quota_bucket(settings: Fleet, times: int = 1) -> Bucket:
    """The quota of new bans, or a multiple of it."""
    rate = times * settings.new_per_minute
    return Bucket(rate * _BURST_MINUTES, rate)


def new_reporter(settings: Fleet) -> Reporter:
    """A host of which nothing was heard."""
    return Reporter(quota_bucket(settings), Bucket(_MESSAGES_AT_ONCE, _MESSAGES_PER_MINUTE), settings.max_active)
