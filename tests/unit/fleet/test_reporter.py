"""A quota refills with time and never beyond its size."""

from portsentry_py.config.settings import Fleet
from portsentry_py.fleet.reporter import Bucket, Report, new_reporter
from tests.support.fleet import MINUTE_US, NOW_US, ban


def test_a_bucket_starts_full_and_refills() -> None:
    bucket = Bucket(2, 1)
    assert [bucket.take(NOW_US) for _ in range(3)] == [True, True, False]
    assert bucket.take(NOW_US + MINUTE_US)
    assert not bucket.take(NOW_US + MINUTE_US)


def test_a_clock_that_was_set_back_gives_nothing() -> None:
    bucket = Bucket(1, 1)
    assert bucket.take(NOW_US)
    assert not bucket.take(NOW_US - 9 * MINUTE_US)


def test_a_known_source_needs_no_quota_and_a_retained_one_counts_as_active_alone() -> None:
    reporter = new_reporter(Fleet(new_per_minute=1, max_active=11))
    admitted = [
        f"45.33.32.{number}" for number in range(20) if reporter.admits(f"45.33.32.{number}", NOW_US, replay=False)
    ]
    assert len(admitted) == 10
    reporter.reports = {source: Report(ban(source), NOW_US, NOW_US) for source in admitted}
    assert reporter.admits(admitted[0], NOW_US, replay=False)
    assert reporter.admits("45.1.1.1", NOW_US, replay=True)
    reporter.reports["45.1.1.1"] = Report(ban("45.1.1.1"), NOW_US, NOW_US)
    assert not reporter.admits("45.1.1.2", NOW_US, replay=True)


def test_the_fastest_message_is_the_measure_of_the_others() -> None:
    reporter = new_reporter(Fleet())
    reporter.hear(NOW_US - 90_000_000, NOW_US)
    assert (reporter.offset_us, reporter.lag_us) == (-90_000_000, 0), "its clock, for all that is known"
    reporter.hear(NOW_US - 85_000_000, NOW_US + 10_000_000)
    assert (reporter.lag_us, reporter.heard_us) == (4_999_000, NOW_US + 10_000_000)
    reporter.hear(NOW_US + 30_000_000, NOW_US + 20_000_000)
    assert (reporter.offset_us, reporter.lag_us) == (10_000_000, 0)


def test_a_clock_that_was_set_is_no_lag() -> None:
    reporter = new_reporter(Fleet())
    reporter.hear(NOW_US, NOW_US)
    reporter.hear(NOW_US - 60 * MINUTE_US, NOW_US)
    assert reporter.lag_us == 0


def test_a_clock_that_drifts_has_no_lag() -> None:
    reporter = new_reporter(Fleet())
    for minute in range(1000):
        reporter.hear(NOW_US + minute * MINUTE_US - minute * 5000, NOW_US + minute * MINUTE_US)
    assert reporter.lag_us == 0
