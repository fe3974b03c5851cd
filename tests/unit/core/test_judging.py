"""Which sources are judged at which of their probes."""

import pytest

from portsentry_py.config.settings import Lines
from portsentry_py.core import judging
from portsentry_py.core.judging import Judging
from portsentry_py.core.sighting import Kind
from tests.support.build import micros
from tests.support.judgements import at, source_record, states, strangers, tracker


@pytest.fixture
def spent() -> list[int]:
    """When no line could be written about any source."""
    return []


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch, spent: list[int]) -> Judging:
    """Twenty probes at once, ten a second."""
    monkeypatch.setattr(judging, "_WORK_PER_SECOND", 10)
    return Judging(tracker(), spent.append)


def test_a_source_is_judged_with_its_first_eight_and_then_as_far_as_there_is_room(paced: Judging) -> None:
    record, judged = source_record(), []
    for probes in range(1, 129):
        record.probes = probes
        if not paced.is_put_off(at(0), record, None):
            judged.append(probes)
    assert judged == [*range(1, 30), 32, 64, 128]
    assert paced.unjudged == 96
    record.probes = 200
    assert not paced.is_put_off(at(2), record, None), "there is room again"
    assert not record.waits_again


def test_refusals_do_not_keep_a_source_from_being_judged_at_its_probes(paced: Judging) -> None:
    """Each probe is refused before the next one comes, and of refusals most detectors say nothing."""
    record, judged = source_record(), []
    for _ in range(3):
        paced.note_finding(micros(0))
    for probes in range(1, 40):
        record.probes, record.settled = probes, probes - 1
        if not paced.is_put_off(at(0), record, None):
            judged.append(probes)
        record.settled = probes
        paced.is_put_off(at(0, Kind.REFUSED), record, None)
    assert judged == [1, 2, 3, 4, 8, 16, 32]


def test_a_source_that_waited_is_judged_in_the_present(spent: list[int]) -> None:
    followed = tracker(Lines(scans_per_second=1))
    one, record = Judging(followed, spent.append), source_record(weight=15)
    states(followed, *strangers(30))
    followed.earliest_us = micros(0.01)
    assert one.is_put_off(at(0), record, None)
    assert spent == [micros(0.01)], "that no line can be written is known of now"


def test_it_waits_again_while_there_is_none(paced: Judging) -> None:
    record = source_record()
    for probes in range(9, 40):
        record.probes = probes
        paced.is_put_off(at(0), record, None)
    assert record.waits_again
    record.probes, record.settled = 4, 36
    assert paced.is_put_off(at(0, Kind.SILENT), record, None), "outcomes are put off too"
    assert not record.waits_again, "with fewer than eight probes it has just begun"
    assert paced.unjudged == 9, "outcomes are no probes"


def test_a_finding_takes_as_long_as_eight_probes(paced: Judging) -> None:
    record = source_record()
    record.probes = 9
    for _ in range(3):
        paced.note_finding(micros(0))
    assert paced.is_put_off(at(0.4), record, None)
    assert not paced.is_put_off(at(0.6), record, None)


def test_a_large_scan_is_judged_when_it_has_doubled_though_no_line_can_be_written(spent: list[int]) -> None:
    followed = tracker(Lines(scans_per_second=1))
    one, record = Judging(followed, spent.append), source_record(weight=16)
    states(followed, *strangers(30))
    record.probes = 31
    assert one.is_put_off(at(0), record, None)
    assert record.waits_again
    record.probes = 32
    assert not one.is_put_off(at(0), record, None)
    assert not record.waits_again
    small = source_record(weight=15)
    small.probes = 32
    assert one.is_put_off(at(0), small, None)
    assert spent == [micros(0)] * 2, "for neither is there a line, whatever it does"
