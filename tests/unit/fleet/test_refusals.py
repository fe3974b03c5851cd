"""Each cause is reported once an hour, in one line, and counted each time."""

from portsentry_py.fleet.refusals import Refusals
from tests.support.fleet import MINUTE_US, NOW_US


def test_a_cause_is_reported_once_an_hour() -> None:
    refusals = Refusals()
    for minute in range(61):
        refusals.add("web1", "malformed", NOW_US + minute * MINUTE_US)
        if minute in {0, 60}:
            assert list(refusals.sentences()) == ["web1: a message that is none of ours."]
        assert list(refusals.sentences()) == []
    assert refusals.counts["web1", "malformed"] == 61


def test_the_sentence_names_the_reason_and_an_example() -> None:
    refusals = Refusals()
    refusals.add("web1", "gateway", NOW_US, "192.0.2.1")
    (sentence,) = refusals.sentences()
    assert "(gateway), such as 192.0.2.1." in sentence
