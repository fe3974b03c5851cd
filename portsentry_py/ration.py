"""Connection lines are rationed, per source and in total, so that no flood can hide a scanner in the log."""

from dataclasses import dataclass

from portsentry_py.settings import Lines
from portsentry_py.tables import BoundedTable

# Later than that is a clock that was set back.
_LATEST_US = 60_000_000


@dataclass(slots=True)
class _Bucket:
    """Tokens that refill with capture time."""

    tokens: float
    filled_us: int

    def take(self, now_us: int, per_us: float, size: int) -> bool:
        """One token, if there is one. Time that runs backwards refills nothing."""
        self.tokens = min(size, self.tokens + max(0, now_us - self.filled_us) * per_us)
        # Packets that had to wait come late: what they are late must not be given out again.
        if now_us > self.filled_us or self.filled_us - now_us > _LATEST_US:
            self.filled_us = now_us
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Ration:
    """Says whether one more connection line may be written."""

    def __init__(self, settings: Lines, max_sources: int) -> None:
        self._per_source = settings.per_source_per_minute
        self._per_second = settings.per_second
        self._sources: BoundedTable[str, _Bucket] = BoundedTable(max_sources)
        self._total = _Bucket(self._burst, 0)
        self.suppressed = 0

    @property
    def _burst(self) -> int:
        return 10 * self._per_second

    def allows(self, source: str, now_us: int) -> bool:
        """Whether `source` may have a line now; a refusal is counted."""
        bucket = self._sources.touch(source)
        if bucket is None:
            bucket = _Bucket(self._per_source, now_us)
            self._sources.put(source, bucket)
        allowed = bucket.take(now_us, self._per_source / 60e6, self._per_source) and self._total.take(
            now_us, self._per_second / 1e6, self._burst
        )
        self.suppressed += not allowed
        return allowed
