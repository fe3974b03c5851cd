"""A few things of each source are excused, for a while."""

from portsentry_py.core.allowance import Allowance
from tests.support.build import FRIEND, SCANNER

AGE_US = 1000


def test_a_few_things_of_a_source_are_excused_and_then_no_other() -> None:
    allowance = Allowance(2, AGE_US, 10)
    assert [allowance.takes(SCANNER, thing, 0) for thing in (1, 2, 1, 3, 2)] == [True, True, True, False, True]
    assert [allowance.holds(SCANNER, thing, 0) for thing in (1, 2, 3)] == [True, True, False]
    assert allowance.takes(FRIEND, 3, 0), "each source has an allowance of its own"


def test_to_ask_excuses_nothing() -> None:
    allowance = Allowance(1, AGE_US, 10)
    assert not allowance.holds(SCANNER, 1, 0)
    assert allowance.takes(SCANNER, 2, 0)


def test_a_source_begins_again_after_a_time_in_whatever_direction() -> None:
    allowance = Allowance(1, AGE_US, 10)
    assert allowance.takes(SCANNER, 1, 5000)
    for now_us in (5000 + AGE_US, 5000 - AGE_US):
        assert allowance.holds(SCANNER, 1, now_us)
        assert not allowance.takes(SCANNER, 2, now_us)
    assert not allowance.holds(SCANNER, 1, 5000 - AGE_US - 1)
    assert allowance.takes(SCANNER, 2, 5000 + AGE_US + 1)


def test_sources_are_bounded_and_the_one_that_asked_first_goes() -> None:
    allowance = Allowance(1, AGE_US, 2)
    for nth in range(3):
        assert allowance.takes(f"198.18.0.{nth}", 1, 0)
    assert [allowance.holds(f"198.18.0.{nth}", 1, 0) for nth in range(3)] == [False, True, True]
