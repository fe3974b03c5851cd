"""What the drill sends lies above the thresholds, and touches no port that somebody serves."""

from collections import Counter

import pytest

from portsentry_py.checks.drill.techniques import ALL, QUICK, Technique, closed_ports, trap_touches
from portsentry_py.config.loader import parse
from portsentry_py.errors import ConfigError


def test_the_quick_drill_has_five_techniques_of_the_full_one() -> None:
    assert len(QUICK) == 5
    assert set(QUICK) < set(ALL)
    assert {one.version for one in QUICK} == {4, 6}


def test_every_technique_has_a_name_of_its_own() -> None:
    assert max(Counter(one.name for one in ALL).values()) == 1
    assert {"syn IPv4", "trap IPv6", "udp IPv6"} < {one.name for one in ALL}


def test_a_technique_that_is_known_by_answers_says_so() -> None:
    assert {one.method for one in ALL if one.needs_answers} == {"maimon", "ack"}
    assert not Technique("syn", 4).needs_answers


def test_ports_that_are_served_or_traps_are_not_probed() -> None:
    settings = parse("served: {tcp: [640], udp: [641]}\ntraps: {tcp: [642], udp: [643]}")
    found = closed_ports(settings, {1100})
    assert not {640, 641, 642, 643, 1100} & set(found)


def test_there_are_twice_as_many_ports_as_make_a_scan() -> None:
    assert len(closed_ports(parse("detectors: {port_scan: {min_ports: 40}}"), ())) == 80
    assert len(closed_ports(parse("detectors: {port_scan: {min_ports: 2}}"), ())) == 16
    assert len(closed_ports(parse("detectors: {port_scan: {min_ports: 128}}"), ())) == 200


def test_a_host_that_serves_everything_is_told_so() -> None:
    with pytest.raises(ConfigError, match="fewer than"):
        closed_ports(parse("served: {tcp: [1-65535]}"), ())


def test_one_trap_is_touched_more_than_once() -> None:
    settings = parse("traps: {tcp: [23, 21]}")
    assert trap_touches(settings, ()) == (21, 21, 21)
    assert trap_touches(settings, {21}) == (23, 23, 23)
    assert trap_touches(settings, {21, 23}) == ()
