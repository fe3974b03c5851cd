"""A trouble is reported once, whatever its causes do, and its end too."""

import pytest

from portsentry_py.fleet.troubles import Troubles


def test_each_cause_is_reported_once_until_the_trouble_is_over(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    for _ in range(2):
        troubles.report("log", "it is full.")
        troubles.report("log", "it is gone.")
    troubles.is_over("log")
    troubles.is_over("log")
    troubles.is_over("broker")
    troubles.report("log", "it is full.")
    assert caplog.messages == ["it is full.", "it is gone.", "log: all is well again.", "it is full."]


def test_a_trouble_with_ever_new_causes_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    for number in range(1_000):
        troubles.report("fault", f"cause {number}.")
    assert len(caplog.messages) == 8
