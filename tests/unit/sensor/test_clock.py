"""Time passes once per interval."""

import time

from portsentry_py.sensor.clock import Clock, Interval
from tests.support.sensor_parts import MovedClock


def test_the_clock_is_that_of_the_machine() -> None:
    clock = Clock()
    before = time.monotonic(), time.time_ns() // 1000
    clock.sleep(0)
    assert before[0] <= clock.monotonic() <= time.monotonic()
    assert before[1] <= clock.now_us() <= time.time_ns() // 1000


def test_an_interval_is_over_once() -> None:
    clock = MovedClock()
    interval = Interval(clock, 10)
    assert not interval.is_over()
    clock.passed = 9.9
    assert not interval.is_over()
    clock.passed = 10
    assert interval.is_over()
    assert not interval.is_over()
    clock.passed = 100
    assert interval.is_over()
    clock.passed = 105
    assert not interval.is_over(), "the next interval begins when the last one was noticed"
