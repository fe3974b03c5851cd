"""Lines are rationed, so that no flood can fill the disk, hide a scanner in the log or keep fail2ban busy."""

from dataclasses import dataclass

from portsentry_py.config.settings import Lines
from portsentry_py.core.lru_table import LruTable

_BURST_SECONDS = 10
_MANY_PROBES = 64
# Later than that is a clock that was set back.
_LATEST_US = 60_000_000


@dataclass(slots=True)
class TokenBucket:
    """Tokens that refill with capture time."""

    tokens: float
    filled_us: int

    def holds(self, least: float, now_us: int, per_us: float, size: int) -> bool:
        """Whether there are so many tokens. Time that runs backwards refills nothing."""
        self.tokens = min(size, self.tokens + max(0, now_us - self.filled_us) * per_us)
        # Packets that had to wait come late: what they are late must not be given out again.
        if now_us > self.filled_us or self.filled_us - now_us > _LATEST_US:
            self.filled_us = now_us
        return self.tokens >= least

    def take(self, now_us: int, per_us: float, size: int) -> bool:
        """One token, if there is one."""
        if not self.holds(1, now_us, per_us, size):
            return False
        self.tokens -= 1
        return True


class ScanRateLimit:
    """Says whether one more line about a source that did not prove its address may be written.

    Forging a scan costs nothing. Each line that is refused may come with the source's next probe; a line that
    bans nobody leaves half of the ration to those that do, and who sent few probes a quarter of it to who
    sent many: a scanner is not hidden by others that are forged with less.
    """

    def __init__(self, settings: Lines) -> None:
        self._per_us = settings.scans_per_second / 1e6
        self._size = _BURST_SECONDS * settings.scans_per_second
        self._bucket = TokenBucket(self._size, 0)

    def is_spent(self, now_us: int, probes: int) -> bool:
        """Whether there is no line now about a source that sent so many probes."""
        return not self._bucket.holds(self._least(probes), now_us, self._per_us, self._size)

    def allows(self, now_us: int, probes: int, *, bans: bool) -> bool:
        """Whether a line may be written now; it is taken from the ration if so."""
        least = self._least(probes) if bans else self._size / 2
        if not self._bucket.holds(least, now_us, self._per_us, self._size):
            return False
        self._bucket.tokens -= 1
        return True

    def _least(self, probes: int) -> float:
        return 1 if probes >= _MANY_PROBES else self._size / 4


class ConnectionRateLimit:
    """Says whether one more connection line may be written."""

    def __init__(self, settings: Lines, max_sources: int) -> None:
        self._per_source = settings.per_source_per_minute
        self._per_second = settings.per_second
        self._sources: LruTable[str, TokenBucket] = LruTable(max_sources)
        self._total = TokenBucket(self._burst, 0)
        self.suppressed = 0

    @property
    def _burst(self) -> int:
        return _BURST_SECONDS * self._per_second

    def allows(self, source: str, now_us: int) -> bool:
        """Whether `source` may have a line now; a refusal is counted."""
        bucket = self._sources.touch(source)
        if bucket is None:
            bucket = TokenBucket(self._per_source, now_us)
            self._sources.put(source, bucket)
        allowed = bucket.take(now_us, self._per_source / 60e6, self._per_source) and self._total.take(
            now_us, self._per_second / 1e6, self._burst
        )
        self.suppressed += not allowed
        return allowed
