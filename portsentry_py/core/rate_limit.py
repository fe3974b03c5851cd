"""Rate limits: token buckets that refill with capture time, and the limits on log lines that use them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from portsentry_py.config.settings import Lines
from portsentry_py.core.lru_table import LruTable

_BURST_SECONDS = 10
_BURST_MINUTES = 10
_MANY_PROBES = 64
_MAX_NETWORKS = 4_096
MOST_LATE_US = 60_000_000
"""A time that is earlier by more than this comes from a clock that was set back, not from a late packet."""


class Rate(NamedTuple):
    """How a bucket refills: tokens per microsecond, up to its size."""

    per_us: float
    size: float


@dataclass(slots=True)
class TokenBucket:
    """Tokens that refill with capture time, and the time of the last refill."""

    rate: Rate
    tokens: float
    filled_us: int = 0

    def level(self, now_us: int) -> float:
        """How many tokens there are at that time."""
        per_us, size = self.rate
        return min(size, self.tokens + max(0, now_us - self.filled_us) * per_us)

    def refill(self, now_us: int) -> float:
        """Refill, and return how many tokens there are. Time that runs backwards refills nothing."""
        filled_us = self.filled_us
        if now_us == filled_us:
            return self.tokens
        if now_us > filled_us:
            per_us, size = self.rate
            self.tokens = min(size, self.tokens + (now_us - filled_us) * per_us)
        # Outcomes and packets out of order come late: the time by which they are late must not refill the bucket again.
        if now_us > filled_us or filled_us - now_us > MOST_LATE_US:
            self.filled_us = now_us
        return self.tokens

    def take(self, now_us: int, least: float = 1, price: int = 1) -> bool:
        """Take as many tokens as the price if there are at least `least`; what is missing is owed."""
        if self.refill(now_us) < least:
            return False
        self.tokens -= price
        return True

    def wait_us(self, least: float = 1) -> int:
        """The time until there are so many tokens, rounded down."""
        return max(0, int((least - self.tokens) / self.rate.per_us))


def bucket_of(per_minute: int) -> TokenBucket:
    """A full bucket that holds ten minutes' worth of tokens."""
    size = _BURST_MINUTES * per_minute
    return TokenBucket(Rate(per_minute / 60e6, size), size)


class NetworkBuckets:
    """A bucket for each network, bounded in networks.

    Args:
        per_minute: how a bucket refills.
        network_of: the network of an address.
    """

    def __init__(self, per_minute: int, network_of: Callable[[str], str]) -> None:
        self._per_minute = per_minute
        self._network_of = network_of
        self._buckets: LruTable[str, TokenBucket] = LruTable(_MAX_NETWORKS)

    def is_spent(self, address: str, now_us: int) -> bool:
        """Whether the bucket of the address's network has no token."""
        bucket = self._buckets.peek(self._network_of(address))
        return bucket is not None and bucket.level(now_us) < 1

    def of(self, address: str) -> TokenBucket:
        """The bucket of the address's network."""
        network = self._network_of(address)
        bucket = self._buckets.touch(network)
        if bucket is None:
            bucket = bucket_of(self._per_minute)
            self._buckets.put(network, bucket)
        return bucket


class ScanRateLimit:
    """The limit on lines about sources that did not prove their address: forging a scan costs nothing.

    A line that is refused may come with the next probe of the source. A line that bans nobody leaves half of
    the tokens to lines that ban, and of either half, a source that sent few probes leaves a half to sources that
    sent many: no scanner is hidden by others that are forged with less.
    """

    def __init__(self, settings: Lines) -> None:
        size = _BURST_SECONDS * settings.scans_per_second
        self._bucket = TokenBucket(Rate(settings.scans_per_second / 1e6, size), size)

    def is_spent(self, now_us: int, probes: int, *, bans: bool) -> bool:
        """Whether there is no line now about a source that sent so many probes."""
        return self._bucket.refill(now_us) < self._least(probes, bans=bans)

    def allows(self, now_us: int, probes: int, *, bans: bool) -> bool:
        """Whether a line may be written now; takes a token if so."""
        return self._bucket.take(now_us, self._least(probes, bans=bans))

    def _least(self, probes: int, *, bans: bool) -> float:
        least = 1 if probes >= _MANY_PROBES else self._bucket.rate.size / 4
        return least if bans else least + self._bucket.rate.size / 2


class ConnectionRateLimit:
    """The limits on connection lines, per source and in total."""

    def __init__(self, settings: Lines, max_sources: int) -> None:
        size = _BURST_SECONDS * settings.per_second
        self._total = TokenBucket(Rate(settings.per_second / 1e6, size), size)
        self._per_source = Rate(settings.per_source_per_minute / 60e6, settings.per_source_per_minute)
        self._sources: LruTable[str, TokenBucket] = LruTable(max_sources)
        self.suppressed = 0

    def allows(self, source: str, now_us: int) -> bool:
        """Whether `source` may have a line now; a refusal is counted."""
        bucket = self._sources.touch(source)
        if bucket is None:
            bucket = TokenBucket(self._per_source, self._per_source.size, now_us)
            self._sources.put(source, bucket)
        allowed = bucket.take(now_us) and self._total.take(now_us)
        self.suppressed += not allowed
        return allowed
