"""The line as a mapping: order, times, optional keys."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.events.model import EVENT_CLASSES, time_us, to_record, utc
from tests.support.build import connections, no_deadline, records, strict, syn, watch

LATEST_US = 253_402_300_799_000_000


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_000_001, "1970-01-01T00:00:01.000001Z"),
        (1_700_000_000_999_999, "2023-11-14T22:13:20.999999Z"),
        (4_294_967_296_000_000, "2106-02-07T06:28:16.000000Z"),
        (LATEST_US, "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_a_time_is_utc_with_six_decimals(micros: int, text: str) -> None:
    assert utc(micros) == text


@no_deadline
@given(st.integers(0, LATEST_US))
def test_a_time_is_read_as_it_was_written(micros: int) -> None:
    assert time_us(utc(micros)) == micros


@no_deadline
@given(st.integers(0, LATEST_US), st.integers(0, LATEST_US))
def test_times_sort_as_text(one: int, other: int) -> None:
    assert (utc(one) < utc(other)) == (one < other)


def test_optional_keys_without_a_value_are_left_out() -> None:
    (bare,) = connections(watch(strict(), syn("203.0.113.9", 22)))
    (tagged,) = connections(watch(strict(), syn("203.0.113.9", 22, vlan=7)))
    assert not {"vlan", "in_iface"} & set(to_record(bare))
    assert to_record(tagged)["vlan"] == 7


def test_lists_are_lists() -> None:
    (scan,) = [one for one in records(watch(strict(), syn("203.0.113.9", 1, 2, 3, 4))) if "ports" in one]
    assert scan["ports_sample"] == [1, 2, 3, 4]


def test_events_are_frozen() -> None:
    (event,) = connections(watch(strict(), syn("203.0.113.9", 22)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.verdict = "ban"  # type: ignore[misc] # it is read-only


def test_every_event_type_has_a_word_of_its_own() -> None:
    words = [event_class.event_type for event_class in EVENT_CLASSES]
    assert len(set(words)) == len(words)
    assert set(words) == {"connection", "scan", "trap", "fleet", "status"}
