"""Hours with more new scans than their hour of the week explains. Pure.

The test is the upper tail of a negative binomial distribution: what a Poisson count with an unknown rate (Jeffreys'
prior) is predicted to be after the counts of the same hour in other weeks, widened by the dispersion of the log.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

TEST = "negative binomial upper tail, baseline: the same hour of the other weeks"
# Of each hour. A year has 8,766 hours: one false alarm in ten years of scans that come at random.
FALSE_ALARM_RATE = 1 / 87_660
LEAST_WEEKS = 4
_WEEK_HOURS = 168
_MOST_HOURS = 5 * 366 * 24
# The busiest hours are left out where the dispersion is estimated: they are what is looked for.
_TRIMMED = 0.01


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An hour with too many new scans; `hour` counts hours since 1970, `probability` is that of so many or more."""

    hour: int
    scans: int
    expected: float
    probability: float


def find_anomalies(scans: Mapping[int, int], first_hour: int, last_hour: int) -> list[Anomaly] | None:
    """The hours that the test rejects, the latest first; None if the log is shorter than four weeks.

    Args:
        scans: the number of new scans by hour since 1970; a missing hour had none.
        first_hour: the first whole hour that the log covers; the last five years count.
        last_hour: the last one.
    """
    hours = range(max(first_hour, last_hour - _MOST_HOURS + 1), last_hour + 1)
    if len(hours) < LEAST_WEEKS * _WEEK_HOURS:
        return None
    sums: defaultdict[int, int] = defaultdict(int)
    weeks: defaultdict[int, int] = defaultdict(int)
    for hour in hours:
        sums[hour % _WEEK_HOURS] += scans.get(hour, 0)
        weeks[hour % _WEEK_HOURS] += 1
    baselines = {hour: _baseline(hour, scans, sums, weeks) for hour in hours}
    dispersion = _dispersion((scans.get(hour, 0), mean, others) for hour, (mean, others) in baselines.items())
    found = []
    for hour, (mean, others) in baselines.items():
        count = scans.get(hour, 0)
        if count > mean and (probability := tail(count, mean, dispersion * (1 + 1 / others))) < FALSE_ALARM_RATE:
            found.append(Anomaly(hour, count, mean, probability))
    return found[::-1]


def tail(count: int, mean: float, variance_ratio: float) -> float:
    """The probability that a negative binomial count with this mean and variance/mean reaches `count`."""
    size, failure = mean / (variance_ratio - 1), 1 / variance_ratio
    # From `count` upwards, because 1 - (the rest) has no digits left where it matters.
    term = exp(lgamma(count + size) - lgamma(size) - lgamma(count + 1) + size * log(failure) + count * log1p(-failure))
    total, at = 0.0, count
    while term > total * 1e-12 and at < count + 1_000_000:
        total += term
        term *= (at + size) / (at + 1) * (1 - failure)
        at += 1
    return min(1.0, total)


def _baseline(
    hour: int, scans: Mapping[int, int], sums: Mapping[int, int], weeks: Mapping[int, int]
) -> tuple[float, int]:
    """The mean of the same hour in the other weeks, with half a scan more, and the number of those weeks."""
    of_week = hour % _WEEK_HOURS
    others = weeks[of_week] - 1
    return (sums[of_week] - scans.get(hour, 0) + 0.5) / others, others


def _dispersion(hours: Iterable[tuple[int, float, int]]) -> float:
    """Variance/mean of the counts around their baselines; at least 1, which is Poisson's."""
    terms = sorted((count - mean) ** 2 / (mean * (1 + 1 / others)) for count, mean, others in hours)
    kept = terms[: len(terms) - round(len(terms) * _TRIMMED)]
    return max(1.0, sum(kept) / len(kept))
