"""The exit code says whether the chain is proved."""

import pytest

from portsentry_py.checks.drill.found import BROKEN, GOOD, UNPROVED, Found
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.sensor_view import SensorView
from tests.support.drill_rows import banned, tried


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([banned()], GOOD),
        ([banned(), tried(why_not="no IPv6 address")], GOOD),
        ([tried(why_not="no IPv6 address")], UNPROVED),
        ([banned(), banned(tcp=None)], UNPROVED),
        ([banned(), tried()], BROKEN),
        ([banned(udp=False)], BROKEN),
    ],
)
def test_one_step_decides(rows: list[Row], code: int) -> None:
    assert Found(rows, armed=True, sensor=SensorView((5,))).exit_code == code


def test_without_a_sensor_or_with_something_left_it_is_broken() -> None:
    assert Found([banned()], armed=True).exit_code == BROKEN
    assert Found([banned()], armed=True, sensor=SensorView((5,)), left=("192.0.2.7/32",)).exit_code == BROKEN


def test_what_was_not_tried_is_no_row_of_the_table() -> None:
    rows = [banned(), tried(why_not="no trap")]
    assert Found(rows, armed=True).tried == rows[:1]
