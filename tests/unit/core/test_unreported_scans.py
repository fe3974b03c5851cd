"""Which scans without a line are remembered, and in which order they have one."""

from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.finding import SCAN, Finding
from portsentry_py.core.policy import Judgement
from portsentry_py.core.sighting import Kind
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord
from portsentry_py.core.unreported_scans import LEAST_WEIGHT, MAX_SCANS, ScanKey, UnreportedScans
from tests.support.build import HOST, SECOND_US, START_US, micros, no_deadline
from tests.support.sightings import sighting

QUIET_US = 60 * SECOND_US


def judgement(source: str, weight: int, at: float = 0) -> Judgement:
    record = SourceRecord(source, "inbound", START_US, START_US, source)
    record.unserved.update({Endpoint(HOST, "tcp", port): Attempt(START_US, START_US, "syn") for port in range(weight)})
    found = Finding("port_scan", sighting(Kind.PROBE, 22, source=source, at=at), record, "syn", True, "ports_in_window")
    return Judgement(found, "ban", "ports_in_window")


def key_of(source: str) -> ScanKey:
    return (source, "inbound", SCAN)


def noted(weights: dict[str, int]) -> UnreportedScans:
    scans = UnreportedScans(QUIET_US)
    for source, weight in weights.items():
        scans.note(key_of(source), judgement(source, weight), START_US)
    return scans


def order(scans: UnreportedScans, at: float = 60) -> list[str]:
    return [source for (source, _, _), _ in scans.ended(micros(at))]


def test_a_scan_is_due_when_it_has_ended_at_a_whole_second() -> None:
    scans = UnreportedScans(QUIET_US)
    assert list(scans.times(micros(10_000))) == []
    scans.note(key_of("192.0.2.9"), judgement("192.0.2.9", 20, at=0.5), START_US)
    assert list(scans.times(micros(60))) == []
    assert list(scans.times(micros(62))) == [micros(61), micros(62)]


def test_a_probe_puts_the_end_off_and_a_line_or_an_hour_forgets_the_scan() -> None:
    scans = noted(dict.fromkeys(["192.0.2.9", "192.0.2.10", "192.0.2.11"], 20))
    scans.touch(key_of("192.0.2.9"), sighting(Kind.PROBE, 23, source="192.0.2.9", at=30))
    scans.drop(key_of("192.0.2.10"))
    assert order(scans) == ["192.0.2.11"]
    assert order(scans, at=90) == ["192.0.2.11", "192.0.2.9"]
    assert order(scans, at=4_000) == []
    assert [*scans.times(micros(4_000))] == [micros(4_000)]


@no_deadline
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_the_strongest_come_first_and_weak_ones_never(weights: list[int]) -> None:
    scans = noted({f"198.{nth}.0.1": weight for nth, weight in enumerate(weights)})
    found = [weights[int(source.split(".")[1])] for source in order(scans)]
    assert found == sorted((one for one in weights if one >= LEAST_WEIGHT), reverse=True)


def test_each_network_has_its_turn() -> None:
    weights = {"198.51.100.1": 17, "198.51.100.2": 90, "198.51.100.3": 80, "192.0.2.9": 20, "192.0.2.10": 16}
    scans = noted(weights)
    found = []
    while waiting := list(scans.ended(micros(60))):
        scans.report(*waiting[0])
        found.append(waiting[0][0][0])
    assert found == ["198.51.100.2", "192.0.2.9", "198.51.100.3", "192.0.2.10", "198.51.100.1"]


def test_many_scans_that_are_forged_with_less_push_out_no_stronger_one() -> None:
    scans = noted({"192.0.2.9": 40, **{f"198.{nth >> 8}.{nth & 255}.1": 20 for nth in range(2 * MAX_SCANS)}})
    found = order(scans)
    assert len(found) == MAX_SCANS
    assert found[0] == "192.0.2.9"
