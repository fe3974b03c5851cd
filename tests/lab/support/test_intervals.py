"""The intervals are those of the tables."""

import pytest

from tests.lab.support.intervals import interval, share, upper_bound


# Published values of the exact interval.
@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.3084971),
        (1, 10, 0.002528579, 0.4450161),
        (10, 20, 0.2719578, 0.7280422),
        (81, 263, 0.2527479, 0.3676604),
        (10, 10, 0.6915029, 1.0),
    ],
)
def test_the_interval_is_exact(hits: int, trials: int, low: float, high: float) -> None:
    assert interval(hits, trials) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("trials", [1, 129, 3000])
def test_no_hit_at_all_has_the_bound_of_the_rule_of_three(trials: int) -> None:
    assert upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials))


def test_a_share_shows_its_count_and_its_interval() -> None:
    assert share(84, 84) == "84 (95.7 to 100.0 %)"
    assert share(0, 129) == "0 (0.0 to 2.8 %)"
    assert share(0, 0) == "0"
