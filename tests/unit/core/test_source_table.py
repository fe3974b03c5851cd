"""The records of all sources: attempts count at once, are retracted when answered, and are bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Limits
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Endpoint, SourceRecord
from portsentry_py.core.source_table import SourceTable
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SECOND_US, START_US, no_deadline
from tests.support.sightings import noted, probes, sighting

HOUR = 3600


def test_probes_are_counted_by_distinct_port() -> None:
    table, record = noted(*probes(22, 23, 22), sighting(Kind.REPEAT, 22, at=3))
    assert (record.ports, record.attempts, record.probes, table.attempts) == (2, 4, 4, 2)
    assert (record.first_us, record.last_us) == (START_US, START_US + 3 * SECOND_US)


def test_sources_and_directions_have_records_of_their_own() -> None:
    table, record = noted(*probes(22), sighting(Kind.PROBE, 23, source=FRIEND))
    assert (record.source, record.ports, len(table)) == (FRIEND, 1, 2)
    assert table.update(sighting(Kind.PROBE, 24, direction="outbound")).ports == 1


def test_an_answer_retracts_the_attempt() -> None:
    table, record = noted(*probes(22, 8080), sighting(Kind.ANSWERED, 8080))
    assert (record.ports, table.attempts, record.opened) == (1, 1, (Endpoint(HOST, "tcp", 8080),))
    assert record.score == 3


def test_an_answer_after_a_refusal_retracts_the_refusal_too() -> None:
    _, record = noted(*probes(22), sighting(Kind.REFUSED, 22), sighting(Kind.ANSWERED, 22))
    assert (record.ports, record.closed, len(record.opened)) == (0, 0, 1)
    assert not record.unserved
    assert not record.targets


def test_an_answer_to_no_attempt_retracts_nothing() -> None:
    _, record = noted(*probes(22), sighting(Kind.ANSWERED, 80), sighting(Kind.ANSWERED, 22, target=HOST6))
    assert (record.ports, record.score) == (1, 3)


def test_refusals_count_once_and_only_for_what_was_probed() -> None:
    _, record = noted(
        *probes(22),
        sighting(Kind.REFUSED, 22),
        sighting(Kind.REFUSED, 22),
        sighting(Kind.REFUSED, 23),
        sighting(Kind.REFUSED, 22, target=HOST6),
    )
    assert record.closed == 1


def test_refusal_silence_and_an_open_trap_settle_an_attempt() -> None:
    settled = [sighting(Kind.REFUSED, 22), sighting(Kind.SILENT, 23), sighting(Kind.TRAPPED, 24)]
    _, record = noted(*probes(22, 23, 24, 25), *settled)
    assert [attempt.settled for attempt in record.unserved.values()] == [True, True, True, False]
    assert [pair.port for pair, attempt in record.unserved.items() if attempt.refused] == [22]


def test_attempts_on_served_ports_are_attempts_and_no_evidence() -> None:
    _, record = noted(sighting(Kind.SERVED, 80), sighting(Kind.SERVED, 443, at=2))
    assert (record.attempts, record.ports, record.score, record.scan_type) == (2, 0, 0, "unknown")
    assert len(record.opened) == 2
    assert record.last_us == START_US + 2 * SECOND_US


def test_a_touch_of_a_trap_is_counted_when_its_outcome_is_known() -> None:
    table = SourceTable(Limits())
    table.set_traps(frozenset({("tcp", 23)}))
    for kind in (Kind.PROBE, Kind.REFUSED, Kind.SILENT, Kind.TRAPPED):
        for port in (22, 23):
            record = table.update(sighting(kind, port))
    assert record.trap_touches == 3
    table.update(sighting(Kind.PROBE, 23, direction="outbound"))
    assert table.update(sighting(Kind.REFUSED, 23, direction="outbound")).trap_touches == 0


def test_a_proof_at_a_trap_that_was_touched_is_the_traps_own_answer() -> None:
    table = SourceTable(Limits())
    table.set_traps(frozenset({("tcp", 23)}))
    table.update(sighting(Kind.PROBE, 23))
    assert not table.update(sighting(Kind.PROVEN, 23)).trap_answered, "nothing was touched"
    table.update(sighting(Kind.TRAPPED, 23))
    assert not table.update(sighting(Kind.PROVEN, 80)).trap_answered
    assert table.update(sighting(Kind.PROVEN, 23)).trap_answered
    assert table.update(sighting(Kind.PROVEN, 80)).trap_answered


def test_equal_probes_of_different_networks_are_spoofed_twins() -> None:
    table = SourceTable(Limits())
    sent = [sighting(Kind.PROBE, port, source=source, seq=77) for port in (22, 23) for source in (SCANNER, FRIEND)]
    records = {one.source: table.update(one) for one in sent}
    assert all(attempt.has_twin for record in records.values() for attempt in record.unserved.values())


def test_a_repetition_is_no_spoofed_twin() -> None:
    table = SourceTable(Limits())
    record = table.update(sighting(Kind.PROBE, 22, seq=77))
    table.update(sighting(Kind.REPEAT, 22, source=FRIEND, seq=77))
    assert not record.is_mimicked


def test_many_probes_are_written_at_once() -> None:
    table, record = noted(*probes(22))
    pairs = {Endpoint(HOST, "tcp", port): times for port, times in ((22, 3), (23, 1), (2000, 2))}
    table.update_counted(sighting(Kind.PROBE, 2000, at=9), pairs, [Endpoint(HOST, "tcp", 22), Endpoint(HOST, "tcp", 7)])
    assert (record.attempts, record.probes, record.ports, record.closed, table.attempts) == (7, 7, 3, 1, 3)
    assert (record.score, record.last_us) == (7, START_US + 9 * SECOND_US)
    assert table.waits_again(SCANNER) is False
    record.waits_again = True
    assert table.waits_again(SCANNER)
    assert table.waits_again(FRIEND) is None


def test_records_of_an_earlier_run_are_taken_less_what_is_too_much_or_too_old() -> None:
    limits = Limits(max_sources=16, max_attempts=64, memory_hours=2)
    table, known = noted(*probes(22), *probes(23, at=HOUR), *probes(24, at=HOUR))
    newcomers = [table.update(sighting(Kind.PROBE, 22, source=f"10.0.0.{nth}", at=HOUR)) for nth in range(20)]
    known.closed = known.score = 0
    fresh = SourceTable(limits)
    fresh.restore([known], newcomers, START_US + 3 * HOUR * SECOND_US)
    assert (fresh.known(), fresh.newcomers()) == ([known], newcomers[4:])
    assert [pair.port for pair in known.unserved] == [23, 24]
    assert (fresh.attempts, known.score) == (18, 6)


def test_the_least_recently_used_source_is_evicted_and_counted() -> None:
    table = SourceTable(Limits(max_sources=16))
    for last in range(1, 21):
        table.update(sighting(Kind.PROBE, 22, source=f"203.0.113.{last}"))
    assert (len(table), table.attempts, table.evicted) == (16, 16, 4)
    assert table.update(sighting(Kind.PROBE, 23, source="203.0.113.20")).ports == 2
    assert table.update(sighting(Kind.PROBE, 23, source="203.0.113.1")).ports == 1


def test_a_flood_of_single_packets_pushes_out_no_scanner() -> None:
    limits = Limits(max_sources=16, max_attempts=64)
    table, record = noted(*probes(22, 23), limits=limits)
    for number in range(1000):
        table.update(sighting(Kind.PROBE, 22, source=f"10.0.{number >> 8}.{number & 255}"))
    assert not record.evicted
    assert table.update(sighting(Kind.PROBE, 24)).ports == 3


def test_an_evicted_record_is_emptied() -> None:
    table, record = noted(*probes(22), sighting(Kind.REFUSED, 22), limits=Limits(max_sources=16))
    for last in range(1, 18):
        table.update(sighting(Kind.PROBE, 22, source=f"198.51.100.{last}"))
    assert record.evicted
    assert not record.unserved
    assert not record.closed
    assert not record.targets


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.SILENT, Kind.ANSWERED, Kind.PROVEN, Kind.SESSION])
def test_an_outcome_brings_no_evicted_source_back(kind: Kind) -> None:
    table, record = noted(sighting(kind, 22))
    assert (len(table), record.ports, record.attempts) == (0, 0, 0)


def test_one_source_alone_loses_its_oldest_attempts() -> None:
    table, record = noted(*probes(*range(100)), limits=Limits(max_attempts=64))
    assert (record.ports, len(record.unserved), table.attempts, len(table)) == (64, 64, 64, 1)
    assert next(iter(record.unserved)) == Endpoint(HOST, "tcp", 36)


def test_of_too_many_attempts_those_of_other_sources_go_first() -> None:
    known = [sighting(Kind.PROBE, port, source=FRIEND) for port in (1, 2)]
    newcomer = sighting(Kind.PROBE, 1, source="198.51.100.8")
    table, record = noted(*known, newcomer, *probes(*range(62)), limits=Limits(max_attempts=64))
    assert (table.newcomers(), len(table.known()), table.evicted) == ([], 2, 1)
    for port in (62, 63):
        table.update(sighting(Kind.PROBE, port))
    assert (table.known(), record.ports, table.attempts) == ([record], 64, 64)


def test_what_this_host_asks_pushes_out_nothing_that_others_try_here() -> None:
    outward = [sighting(Kind.PROBE, port, source=HOST, target=FRIEND, direction="outbound") for port in range(1, 500)]
    table, record = noted(*probes(*range(1, 51)), *outward, limits=Limits(max_attempts=80))
    assert (len(record.unserved), table.attempts, table.evicted) == (10, 60, 0)


def test_a_target_without_attempts_is_dropped() -> None:
    first = sighting(Kind.PROBE, 1, target=HOST6)
    _, record = noted(first, *probes(*range(64)), limits=Limits(max_attempts=64))
    assert set(record.targets) == {HOST}


def test_attempts_are_forgotten_after_the_hours_that_the_operator_chose() -> None:
    limits = Limits(memory_hours=2)
    _, record = noted(*probes(22), *probes(23, at=2 * HOUR), limits=limits)
    assert record.ports == 2
    _, record = noted(*probes(22), *probes(23, at=2 * HOUR + 1), limits=limits)
    assert [pair.port for pair in record.unserved] == [23]


sources = st.sampled_from([f"203.0.113.{last}" for last in range(1, 40)])
targets = st.sampled_from([HOST, HOST6, FRIEND])
steps = st.builds(
    sighting,
    st.sampled_from(list(Kind)),
    st.integers(0, 60) | st.integers(1020, 1030),
    source=sources,
    target=targets,
    proto=st.sampled_from(["tcp", "udp"]),
    scan_type=st.sampled_from(["syn", "fin", "udp"]),
    direction=st.sampled_from(["inbound", "outbound"]),
    at=st.integers(0, 100),
    seq=st.sampled_from([0, 77]),
)


@no_deadline
@given(st.lists(steps, max_size=300))
def test_the_counters_are_those_of_the_records_and_never_exceed_the_limits(sightings: list[Sighting]) -> None:
    limits = Limits(max_sources=16, max_attempts=64)
    table = SourceTable(limits)
    records: dict[tuple[str, str], SourceRecord] = {}
    for one in sightings:
        record = table.update(one)
        records[(one.source, one.direction)] = record
        held = set(record.unserved)
        assert record.ports == len({(pair.proto, pair.port) for pair in held})
        assert record.closed == sum(attempt.refused for attempt in record.unserved.values())
        assert record.targets == {
            target: sum(pair.target == target for pair in held) for target in {pair.target for pair in held}
        }
        assert record.score == sum(3 if pair.port < 1024 else 1 for pair in held)
        assert len(record.opened) <= 64
        assert not record.evicted
        assert table.attempts <= limits.max_attempts
        assert len(table) <= 2 * limits.max_sources
        assert table.attempts == sum(len(other.unserved) for other in records.values())


@no_deadline
@given(st.lists(st.integers(0, 2000), max_size=300))
def test_opened_endpoints_are_bounded(ports: list[int]) -> None:
    table = SourceTable(Limits(max_attempts=64))
    for port in ports:
        table.update(sighting(Kind.PROBE, port))
        assert len(table.update(sighting(Kind.ANSWERED, port)).opened) <= 64


def test_what_we_asked_for_is_retracted_and_speaks_for_nobody() -> None:
    table, record = noted(*probes(22, 8080), sighting(Kind.EXPECTED, 8080), sighting(Kind.EXPECTED, 9090))
    assert (record.ports, table.attempts, record.opened, record.attempts) == (1, 1, (), 2)


def test_attempts_on_what_turned_out_to_be_served_are_retracted() -> None:
    table, record = noted(*probes(22, 8080, 9090))
    assert table.retract_served(record, lambda target, proto, port: (target, proto, port) > (HOST, "tcp", 22))
    assert (list(record.unserved), table.attempts, record.opened) == ([Endpoint(HOST, "tcp", 22)], 1, ())
    assert not table.retract_served(record, lambda *_: False)


def test_only_the_attempts_that_are_judged_are_looked_up_again() -> None:
    table, record = noted(*probes(*range(1, 200)))
    assert table.retract_served(record, lambda *_: True)
    assert [one.port for one in record.unserved] == list(range(1, 72))


def test_a_network_with_very_many_sources_does_not_push_out_others() -> None:
    table = SourceTable(Limits(max_sources=64))

    def seen(source: str, ports: int) -> None:
        for port in range(ports):
            table.update(sighting(Kind.PROBE, port, source=source))

    seen(SCANNER, 4)
    for number in range(500):
        seen(f"198.51.{number // 250}.{number % 250}", 9)
    assert len(table.known()) == 64
    assert table.waits_again(SCANNER) is False
