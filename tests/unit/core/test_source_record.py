"""What follows from the record of one source: ports, score, scan type, tool, proof."""

import dataclasses

from portsentry_py.core.sighting import Kind
from portsentry_py.core.source_record import StackFingerprint
from tests.support.build import HOST, HOST6, SECOND_US, START_US
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


def test_the_scan_type_is_mixed_unless_nine_in_ten_are_of_one() -> None:
    nine = [sighting(Kind.PROBE, port) for port in range(9)]
    _, record = noted(*nine, sighting(Kind.PROBE, 10, scan_type="fin"))
    assert record.scan_type == "syn"
    _, record = noted(*nine[1:], sighting(Kind.PROBE, 10, scan_type="fin"))
    assert record.scan_type == "mixed"


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


def test_a_health_check_is_a_session_once_a_minute() -> None:
    """It opens and closes connections, which proves nothing about later probes in its name."""
    checks = [one for at in (0, 30, 59, 60, 61, 130) for one in proof(at=at)]
    _, record = noted(*checks, *probes(22, at=131))
    assert (record.sessions, record.verified) == (3, False)


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


def test_stacks_are_bounded() -> None:
    many = [sighting(Kind.PROBE, 22, ttl=ttl) for ttl in range(100)]
    _, record = noted(*many, *(one for ttl in range(100) for one in proof(ttl)))
    assert (len(record.stacks), len(record.proven_stacks)) == (8, 8)
