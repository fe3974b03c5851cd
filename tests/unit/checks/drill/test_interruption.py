"""Signals end the drill, but not its removal."""

import signal

import pytest

from portsentry_py.checks.drill.interruption import ended_by_signals, not_interrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_drill_as_ctrl_c_does(number: signal.Signals) -> None:
    with ended_by_signals(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_signal_ends_the_removal(number: signal.Signals) -> None:
    with not_interrupted():
        signal.raise_signal(number)


def test_the_handlers_of_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    with ended_by_signals(), not_interrupted():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == before
