"""The test for anomalous hours: its false-alarm rate, quiet years, and bursts that it finds."""

import random
from math import exp, lgamma, log

import pytest

from portsentry_py.report.anomalies import FALSE_ALARM_RATE, LEAST_WEEKS, find_anomalies, tail

YEAR = 366 * 24


def poisson(random_: random.Random, mean: float) -> int:
    """A Poisson count: arrivals within a time of 1."""
    count, at = 0, random_.expovariate(mean)
    while at < 1:
        count, at = count + 1, at + random_.expovariate(mean)
    return count


def chance(count: int, mean: float) -> float:
    return exp(count * log(mean) - mean - lgamma(count + 1))


def false_alarm_rate(mean: float, others: int) -> float:
    """The exact probability that an hour with Poisson counts is rejected, over all baselines that can be."""
    total = 0.0
    middle, width = mean * others, 12 * (mean * others) ** 0.5 + 30
    for baseline in range(max(0, int(middle - width)), int(middle + width)):
        expected = (baseline + 0.5) / others
        limit = next(
            count
            for count in range(int(expected) + 1, 10_000)
            if tail(count, expected, 1 + 1 / others) < FALSE_ALARM_RATE
        )
        total += chance(baseline, middle) * sum(chance(count, mean) for count in range(limit, limit + 200))
    return total


@pytest.mark.parametrize("mean", [0.05, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("others", [LEAST_WEEKS - 1, 12, 51])
def test_the_false_alarm_rate_is_as_stated(mean: float, others: int) -> None:
    assert false_alarm_rate(mean, others) < 2 * FALSE_ALARM_RATE


@pytest.mark.parametrize("mean", [0.02, 0.5, 4.0, 60.0])
def test_a_flat_year_is_quiet(mean: float) -> None:
    random_ = random.Random(20_261_120)
    assert find_anomalies({hour: poisson(random_, mean) for hour in range(YEAR)}, 0, YEAR - 1) == []


def test_a_year_with_days_and_nights_is_quiet() -> None:
    random_ = random.Random(7)
    scans = {hour: poisson(random_, 20.0 if 8 <= hour % 24 < 20 else 1.0) for hour in range(YEAR)}
    assert find_anomalies(scans, 0, YEAR - 1) == []


def test_a_year_of_uneven_scanners_is_quiet() -> None:
    """The rate of each hour is drawn: the variance is three times the mean."""
    random_ = random.Random(11)
    scans = {hour: poisson(random_, random_.gammavariate(2.5, 2.0)) for hour in range(YEAR)}
    found = find_anomalies(scans, 0, YEAR - 1)
    assert found is not None
    assert len(found) <= 2


@pytest.mark.parametrize("burst", [30, 500])
def test_a_burst_is_found_and_alone(burst: int) -> None:
    random_ = random.Random(3)
    scans = {hour: poisson(random_, 3.0) for hour in range(YEAR)}
    scans[4000] = burst
    found = find_anomalies(scans, 0, YEAR - 1)
    assert found is not None
    assert [hour.hour for hour in found] == [4000]
    assert found[0].scans == burst
    assert 2 < found[0].expected < 4


def test_a_busy_hour_at_its_usual_time_is_none() -> None:
    random_ = random.Random(5)
    scans = {hour: poisson(random_, 100.0 if hour % 168 == 40 else 0.5) for hour in range(YEAR)}
    assert find_anomalies(scans, 0, YEAR - 1) == []


def test_a_short_log_has_no_baseline() -> None:
    assert find_anomalies({}, 0, LEAST_WEEKS * 168 - 2) is None
    assert find_anomalies({}, 0, LEAST_WEEKS * 168 - 1) == []


def test_a_wrong_clock_costs_no_time() -> None:
    """A line of the year 9999 beside lines of 2026."""
    assert find_anomalies({500_000: 3}, 0, 70_000_000) == []


def test_the_tail_of_the_distribution_adds_up() -> None:
    assert tail(0, 3.0, 2.0) == pytest.approx(1.0)
    # r = 3, p = 1/2: P(X >= 1) = 1 - 1/8
    assert tail(1, 3.0, 2.0) == pytest.approx(7 / 8)
    assert 0.0 <= tail(100_000, 3.0, 2.0) < 1e-300
