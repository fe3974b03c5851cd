"""Token buckets, and the rate limits on connection lines, per source and in total, and on scan lines."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Lines
from portsentry_py.core import rate_limit as module
from portsentry_py.core.host_state import network_of
from portsentry_py.core.rate_limit import ConnectionRateLimit, NetworkBuckets, ScanRateLimit, bucket_of
from tests.support.build import FRIEND, SCANNER, SECOND_US, START_US, no_deadline


def test_a_bucket_starts_with_ten_minutes_of_tokens_and_refills_up_to_them() -> None:
    bucket = bucket_of(6)
    assert [bucket.take(START_US) for _ in range(61)] == [True] * 60 + [False]
    assert bucket.refill(START_US + 25 * SECOND_US) == pytest.approx(2.5)
    assert bucket.refill(START_US + 3600 * SECOND_US) == 60


def test_a_token_is_taken_only_if_there_are_enough() -> None:
    bucket = bucket_of(1)
    assert [bucket.take(START_US, least=9) for _ in range(3)] == [True, True, False]
    assert bucket.tokens == 8


def test_the_wait_ends_when_there_is_a_token() -> None:
    bucket = bucket_of(6)
    for _ in range(60):
        assert bucket.wait_us() == 0
        bucket.take(START_US)
    assert bucket.wait_us() == pytest.approx(10 * SECOND_US, abs=1)
    assert not bucket.take(START_US + 9 * SECOND_US)
    assert bucket.take(START_US + 10 * SECOND_US + 1)


def test_a_clock_that_is_set_back_refills_from_then_on() -> None:
    bucket = bucket_of(6)
    while bucket.take(START_US):
        pass
    hour_ago = START_US - 3600 * SECOND_US
    assert not bucket.take(hour_ago)
    assert bucket.take(hour_ago + 11 * SECOND_US)


@no_deadline
@given(st.lists(st.integers(0, 200 * SECOND_US), max_size=100))
def test_no_order_of_times_gives_more_tokens_than_have_flowed(times_us: list[int]) -> None:
    bucket = bucket_of(1)
    taken = sum(bucket.take(START_US + time_us) for time_us in times_us)
    risen_us = sum(max(0, after - before) for before, after in pairwise(times_us))
    assert taken <= 10 + risen_us / (60 * SECOND_US)
    assert 0 <= bucket.tokens <= 10


def test_the_addresses_of_a_network_share_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NETWORKS", 2)
    buckets = NetworkBuckets(1, network_of)
    assert buckets.of(SCANNER) is buckets.of("203.0.113.77")
    assert [buckets.of(SCANNER).take(START_US) for _ in range(11)] == [True] * 10 + [False]
    assert buckets.of(FRIEND).take(START_US)
    assert not buckets.of(SCANNER).take(START_US)
    buckets.of("10.0.0.1")
    buckets.of("10.0.1.1")
    assert buckets.of(SCANNER).take(START_US), "networks are bounded, and this one was forgotten"


def limit(max_sources: int = 100, **changes: int) -> ConnectionRateLimit:
    return ConnectionRateLimit(Lines(**changes), max_sources)


def allowed(one: ConnectionRateLimit, source: str, count: int, at: float = 0) -> int:
    return sum(one.allows(source, START_US + round(at * SECOND_US)) for _ in range(count))


def test_each_source_has_a_limit_per_minute() -> None:
    one = limit(per_source_per_minute=10)
    assert allowed(one, SCANNER, 50) == 10
    assert allowed(one, SCANNER, 50, at=30) == 5
    assert allowed(one, SCANNER, 50, at=3600) == 10
    assert one.suppressed == 125


def test_a_flood_of_one_source_leaves_the_others_their_lines() -> None:
    one = limit(per_source_per_minute=10, per_second=20)
    allowed(one, SCANNER, 10_000)
    assert allowed(one, FRIEND, 10) == 10


def test_all_sources_share_a_limit_per_second() -> None:
    one = limit(max_sources=10_000, per_second=20)
    burst = sum(allowed(one, f"10.0.{net}.{last}", 1) for net in range(20) for last in range(100))
    assert burst == 200
    later = sum(allowed(one, f"10.1.{net}.{last}", 1, at=1) for net in range(20) for last in range(100))
    assert later == 20


def test_time_that_runs_backwards_refills_nothing() -> None:
    one = limit(per_source_per_minute=10)
    allowed(one, SCANNER, 10, at=100)
    assert allowed(one, SCANNER, 10, at=0) == 0


def test_sources_are_bounded() -> None:
    one = limit(max_sources=16, per_source_per_minute=1)
    for last in range(17):
        one.allows(f"203.0.113.{last}", START_US)
    assert one.allows("203.0.113.0", START_US), "it was forgotten"
    assert not one.allows("203.0.113.16", START_US)


def test_packets_that_come_late_refill_nothing_twice() -> None:
    limits = ConnectionRateLimit(Lines(per_second=1, per_source_per_minute=10), 1000)
    late_and_new = [START_US + second * SECOND_US for _ in range(100) for second in (0, 9)]
    allowed = [limits.allows(f"198.18.0.{number}", now) for number, now in enumerate(late_and_new)]
    assert sum(allowed) <= 10 + 9


def scans_allowed(one: ScanRateLimit, count: int, at: float = 0, *, probes: int = 8, bans: bool = True) -> int:
    return sum(one.allows(START_US + round(at * SECOND_US), probes, bans=bans) for _ in range(count))


def test_unverified_scanners_share_a_limit_per_second() -> None:
    one = ScanRateLimit(Lines(scans_per_second=8))
    assert scans_allowed(one, 1000) == 61
    assert one.is_spent(START_US, 8, bans=True)
    assert not one.is_spent(START_US + SECOND_US, 8, bans=True)
    assert scans_allowed(one, 1000, at=2) == 16
    assert scans_allowed(one, 1000, at=3600) == 61


def test_lines_without_a_ban_leave_half_to_lines_with_one() -> None:
    one = ScanRateLimit(Lines(scans_per_second=8))
    assert scans_allowed(one, 1000, bans=False) == 21
    assert scans_allowed(one, 1000, probes=64, bans=False) == 19
    assert scans_allowed(one, 1000) == 21
    assert scans_allowed(one, 1000, at=1, probes=64, bans=False) == 0


def test_sources_of_few_probes_leave_a_quarter_to_sources_of_many() -> None:
    one = ScanRateLimit(Lines(scans_per_second=8))
    scans_allowed(one, 1000)
    assert not one.is_spent(START_US, 64, bans=True)
    assert scans_allowed(one, 1000, probes=64) == 19
