"""What follows from the record of one source: ports, score, scan type, tool, proof."""

import dataclasses
import operator
from collections import Counter, OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.packet import ICMP
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Counts, Endpoint, SourceRecord, StackFingerprint, prevailing, stack_of
from portsentry_py.events.model import ScanType
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, SECOND_US, START_US, no_deadline
from tests.support.sightings import noted, probes, proof, sighting


def test_transports_and_hosts_are_counted_apart() -> None:
    _, record = noted(
        sighting(Kind.PROBE, 53), sighting(Kind.PROBE, 53, proto="udp"), sighting(Kind.PROBE, 53, target=HOST6)
    )
    assert (record.ports, len(record.unserved), dict(record.targets)) == (2, 3, {HOST: 2, HOST6: 1})


def test_attempts_are_held_in_the_order_of_their_last_probe() -> None:
    _, record = noted(*probes(1, 2, 3), sighting(Kind.REPEAT, 1, at=5))
    assert [pair.port for pair in record.unserved] == [2, 3, 1]
    assert [pair.port for pair, _ in record.recent(START_US + 5 * SECOND_US, 4 * SECOND_US, 9)] == [1]
    assert [pair.port for pair, _ in record.recent(START_US, 5 * SECOND_US, 2)] == [1, 3]


def test_privileged_ports_weigh_three() -> None:
    _, record = noted(*probes(1, 1023, 1024, 65535))
    assert record.score == 8


@pytest.mark.parametrize(
    ("types", "scan_type"),
    [
        ({}, "unknown"),
        ({"syn": 27, "fin": 3}, "syn"),
        ({"syn": 26, "fin": 3}, "mixed"),
        ({"fin": 2, "null": 1}, "mixed"),
        ({"fin": 3, "null": 1}, "fin"),
    ],
)
def test_the_scan_type_is_mixed_unless_nine_in_ten_are_of_one(types: dict[ScanType, int], scan_type: ScanType) -> None:
    assert prevailing(Counter(types)) == scan_type


@pytest.mark.parametrize(
    ("types", "scan_type"),
    [
        ({"syn": 7, "ack": 1}, "syn"),
        ({"syn": 1, "ack": 1, "connect": 6}, "connect"),
        ({"syn": 2, "ack": 1, "maimon": 6}, "maimon"),
        ({"syn": 6, "null": 1, "odd_flags": 1, "xmas": 1}, "syn"),
        ({"syn": 5, "ack": 2, "fin": 1}, "mixed"),
        ({"syn": 5, "ack": 3}, "mixed"),
    ],
)
def test_one_or_two_probes_of_a_kind_fold_into_the_scan_they_belong_to(
    types: dict[ScanType, int], scan_type: ScanType
) -> None:
    assert prevailing(Counter(types)) == scan_type


def test_a_proof_holds_for_probes_of_the_same_stack() -> None:
    _, record = noted(*probes(22), *proof())
    assert record.verified
    assert record.proven_stacks == (StackFingerprint(ttl=64, header_bytes=24),)


def test_a_proof_does_not_hold_for_probes_of_another_stack() -> None:
    """A forger can write the address of a visitor, but not the number of hops that its packets take."""
    _, record = noted(*probes(22, 23), *proof(ttl=51))
    assert not record.verified


def test_half_of_the_probes_must_have_a_proven_stack() -> None:
    proven = [*probes(22, ttl=51), *proof(ttl=51)]
    _, record = noted(*proven, *probes(23, ttl=51), *probes(24, 25))
    assert record.verified
    _, record = noted(*proven, *probes(23, ttl=51), *probes(24, 25, 26))
    assert not record.verified


def test_a_proof_of_a_source_that_probed_nothing_does_not_count() -> None:
    """A health check opens and closes connections, which proves nothing about later probes in its name."""
    _, record = noted(*proof(), *probes(22))
    assert (record.verified, record.proofs) == (False, ())


def test_a_source_that_probes_with_three_stacks_and_proves_them_is_verified_whatever_stack_most_probes_have() -> None:
    others, ttls = probes(*range(100, 120)), (51, 52, 53)
    varied = [*probes(22), *(one for ttl in ttls for one in probes(ttl, ttl=ttl))]
    proofs = [proof(ttl=ttl) for ttl in ttls]
    _, record = noted(*varied, *proofs[0], *proofs[1], *others)
    assert not record.verified
    _, record = noted(*varied, *(one for some in proofs for one in some), *others)
    assert record.verified


def test_stacks_without_probes_prove_nothing_about_probes_of_others() -> None:
    """A middlebox resets a visitor's connections, each with another TTL, while somebody probes in its name."""
    _, record = noted(*probes(22), *(one for ttl in range(51, 59) for one in proof(ttl=ttl)), *probes(*range(100, 120)))
    assert len(record.proven_stacks) == 8
    assert not record.verified


def test_a_connection_that_comes_again_is_a_health_check_and_no_proof() -> None:
    other = sighting(Kind.PROVEN, 443)
    _, record = noted(*probes(22), *proof(), other)
    assert record.proofs == (Endpoint(HOST, "tcp", 80), Endpoint(HOST, "tcp", 443))
    assert record.verified
    _, record = noted(*probes(22), *proof(), *proof(at=5), other)
    assert (record.proofs, record.checks) == ((Endpoint(HOST, "tcp", 443),), (Endpoint(HOST, "tcp", 80),))
    _, record = noted(*probes(22), *proof(), *proof(at=5), *proof(at=9))
    assert (record.proofs, record.proven_stacks, record.verified) == ((), (), False)


def test_a_connection_before_everything_else_is_a_health_check() -> None:
    _, record = noted(*proof(), *probes(22), *proof(at=5))
    assert (record.proofs, record.checks, record.verified) == ((), (Endpoint(HOST, "tcp", 80),), False)


def test_a_probe_that_came_after_its_refusal_counts_once_and_by_its_own_type() -> None:
    unseen = sighting(Kind.PROBE, 22, scan_type="unseen")
    unseen = unseen._replace(packet=unseen.packet._replace(ttl=0, header_bytes=0))
    _, record = noted(unseen, sighting(Kind.REFUSED, 22), sighting(Kind.REPEAT, 22), sighting(Kind.REPEAT, 22))
    assert (record.probes, record.scan_type, record.types["unseen"], record.closed) == (2, "syn", 0, 1)
    assert {stack for stack, times in record.stacks.items() if times} == {stack_of(sighting(Kind.PROBE, 22))}
    assert [attempt.scan_type for attempt in record.unserved.values()] == ["syn"]


def test_another_probe_of_a_port_that_was_probed_unseen_changes_no_count_of_others() -> None:
    unseen = sighting(Kind.PROBE, 22, scan_type="unseen")
    _, record = noted(unseen, sighting(Kind.REPEAT, 22))
    assert (record.probes, record.types["unseen"]) == (2, 1)


def with_twins(twins: int, attempts: int) -> SourceRecord:
    """The latest attempts have no spoofed twin."""
    _, record = noted(*probes(*range(attempts)))
    for nth, attempt in enumerate(record.unserved.values()):
        attempt.has_twin = nth < twins
    return record


@pytest.mark.parametrize(
    ("twins", "attempts", "is_mimicked"), [(0, 1, False), (1, 2, True), (4, 9, False), (64, 128, True)]
)
def test_a_source_is_mimicked_if_half_of_its_attempts_have_spoofed_twins(
    twins: int, attempts: int, is_mimicked: bool
) -> None:
    assert with_twins(twins, attempts).is_mimicked == is_mimicked


def test_nothing_is_known_of_a_source_without_attempts() -> None:
    _, record = noted(sighting(Kind.SERVED, 80))
    assert (record.is_mimicked, record.scan_type) == (False, "unknown")


def test_the_latest_128_attempts_tell_whether_a_source_is_mimicked() -> None:
    assert with_twins(72 + 64, 200).is_mimicked
    assert not with_twins(72 + 63, 200).is_mimicked


def test_the_evidence_lasts_from_its_first_attempts_to_the_last() -> None:
    _, record = noted(*probes(22, at=5), sighting(Kind.REPEAT, 22, at=20))
    assert record.evidence_us == 0, "repetitions add nothing"
    _, record = noted(*probes(*range(600, 620), at=100), *probes(700, at=150))
    assert record.evidence_us == 50 * SECOND_US
    _, record = noted(*probes(22, at=9), *probes(23, at=5))
    assert record.evidence_us == 0, "times in a capture can run backwards"
    _, record = noted(sighting(Kind.SERVED, 80))
    assert record.evidence_us == 0


def test_a_few_old_attempts_do_not_make_the_evidence_long() -> None:
    strays = [one for port in range(22, 30) for one in probes(port, at=port)]
    _, record = noted(*strays, *probes(*range(600, 620), at=90_000))
    assert record.evidence_us == 0
    _, record = noted(*strays, *probes(30, at=90), *probes(*range(600, 620), at=90_000))
    assert record.evidence_us == (90_000 - 90) * SECOND_US


def test_a_source_has_the_address_of_its_last_probe() -> None:
    first, last = (
        sighting(Kind.PROBE, 22, source=address)._replace(source="2001:db8:bad::/64")
        for address in (SCANNER6, "2001:db8:bad::77")
    )
    _, record = noted(first, last)
    assert (record.source, record.address, record.attempts) == ("2001:db8:bad::/64", "2001:db8:bad::77", 2)


def test_a_source_that_acknowledged_an_open_trap_is_verified() -> None:
    _, record = noted(*probes(23))
    assert not record.verified
    assert dataclasses.replace(record, trap_answered=True).verified


def test_half_of_the_probes_must_carry_the_fingerprint_of_the_tool() -> None:
    mark = sighting(Kind.PROBE, 22)
    zmap = mark._replace(packet=mark.packet._replace(ip_id=54_321))
    plain = mark._replace(packet=mark.packet._replace(window=29_200))
    _, record = noted(zmap, plain)
    assert record.tool == "zmap"
    _, record = noted(zmap, plain, plain)
    assert record.tool is None
    _, record = noted(plain)
    assert record.tool is None


def test_pings_carry_no_fingerprint_but_do_not_make_up_most_of_the_probes() -> None:
    packet = sighting(Kind.PROBE, 22).packet
    zmap = sighting(Kind.PROBE, 22)._replace(packet=packet._replace(ip_id=54_321))
    pings = [sighting(Kind.PROBE, 8, proto="icmp", scan_type="icmp")] * 3
    pings = [one._replace(packet=packet._replace(proto=ICMP, window=0)) for one in pings]
    _, record = noted(zmap, *pings)
    assert record.tool == "zmap"
    _, record = noted(zmap, *pings, pings[0])
    assert record.tool is None


def test_stacks_and_proofs_are_bounded() -> None:
    many = [sighting(Kind.PROBE, 22, ttl=ttl) for ttl in range(100)]
    ports = [sighting(Kind.PROVEN, port) for port in range(100)]
    _, record = noted(*many, *(one for ttl in range(100) for one in proof(ttl)), *ports)
    assert (len(record.stacks), len(record.proven_stacks), len(record.proofs)) == (8, 8, 8)


def test_what_somebody_serves_and_what_is_dropped_is_no_evidence() -> None:
    _, record = noted(*probes(22, 2000), sighting(Kind.REFUSED, 22), sighting(Kind.PROBE, 22, target=HOST6))
    record.drop(Endpoint(HOST, "tcp", 22))
    assert (record.closed, record.score, dict(record.targets)) == (0, 4, {HOST: 1, HOST6: 1})
    record.drop(Endpoint(HOST, "tcp", 2000))
    assert dict(record.targets) == {HOST6: 1}
    for _ in range(2):
        record.add_opened(Endpoint(HOST, "tcp", 2000))
    assert record.opened == (Endpoint(HOST, "tcp", 2000),)


def test_a_refusal_counts_once() -> None:
    _, record = noted(*probes(22), sighting(Kind.REFUSED, 22), sighting(Kind.REFUSED, 22))
    (attempt,) = record.unserved.values()
    assert (record.closed, attempt.settled, attempt.refused) == (1, True, True)


def test_an_evicted_record_gives_its_memory_back() -> None:
    _, record = noted(*probes(22), *proof(), sighting(Kind.ANSWERED, 23))
    record.evict()
    assert record.evicted
    assert not any((record.unserved, record.targets, record.types, record.tools, record.stacks))
    assert (record.opened, record.proven_stacks, record.proofs, record.closed) == ((), (), (), 0)


def test_records_that_look_alike_share_their_counts_and_never_change_those_of_others() -> None:
    made = [noted(sighting(Kind.PROBE, 22, source=source))[1] for source in (SCANNER, SCANNER6)]
    alike = [[one.types, one.stacks, one.targets, one.tools] for one in made]
    assert all(map(operator.is_, *alike))
    assert not isinstance(made[0].unserved, OrderedDict)
    one, other = made
    one.attempt(Endpoint(HOST, "tcp", 23), sighting(Kind.PROBE, 23))
    one.count_probes(sighting(Kind.PROBE, 23), 1)
    assert (one.types, one.targets, [*one.stacks.values()]) == ({"syn": 2}, {HOST: 2}, [2])
    assert (other.types, other.targets, [*other.stacks.values()]) == ({"syn": 1}, {HOST: 1}, [1])
    other.drop(Endpoint(HOST, "tcp", 22))
    assert (other.targets, other.unserved) == ({}, {})
    third = noted(*probes(22))[1]
    assert (third.types, third.targets) == ({"syn": 1}, {HOST: 1})
    assert third.targets is alike[0][2]
    third.recompute()
    assert all(map(operator.is_, alike[0], (third.types, third.stacks, third.targets, third.tools)))
    assert not isinstance(third.unserved, OrderedDict)


def test_the_order_of_two_attempts_is_that_of_their_last_probes() -> None:
    _, record = noted(*probes(22, 22, 23, 22))
    assert [endpoint.port for endpoint in record.unserved] == [23, 22]
    record.drop(Endpoint(HOST, "tcp", 22))
    record.drop(Endpoint(HOST, "tcp", 23))
    for port in (24, 25, 24):
        record.attempt(Endpoint(HOST, "tcp", port), sighting(Kind.PROBE, port))
    assert [endpoint.port for endpoint in record.unserved] == [25, 24]


def test_what_follows_from_a_restored_record_is_derived_and_bounded() -> None:
    _, record = noted(*probes(22, 2000), sighting(Kind.REFUSED, 22))
    record.targets = Counts()
    record.closed = record.score = 0
    record.opened = tuple(Endpoint(HOST, "tcp", port) for port in range(100))
    record.proven_stacks = tuple(StackFingerprint(ttl, 24) for ttl in range(100))
    record.stacks = Counts(dict.fromkeys(record.proven_stacks, 1))
    record.proofs = record.opened
    record.recompute()
    assert (dict(record.targets), record.closed, record.score) == ({HOST: 2}, 1, 4)
    assert (len(record.opened), len(record.proven_stacks), len(record.proofs), len(record.stacks)) == (64, 8, 8, 8)


@no_deadline
@given(
    st.lists(
        st.builds(
            sighting,
            st.sampled_from([Kind.PROBE, Kind.REPEAT, Kind.REFUSED, Kind.ANSWERED, Kind.PROVEN, Kind.SERVED]),
            st.integers(0, 9),
            at=st.integers(-100, 100),
            ttl=st.sampled_from([51, 52, 53, 64]),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_a_source_sends_its_record_says_nothing_that_cannot_be(seen: list[Sighting]) -> None:
    table, record = noted(*seen)
    assert record.evidence_us >= 0
    assert not record.is_mimicked
    assert record.closed <= len(record.unserved) == record.ports == table.attempts
    assert sum(record.stacks.values()) == record.probes <= record.attempts
    assert not record.verified or record.proofs
