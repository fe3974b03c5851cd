"""A row says how far a technique came, and which step failed."""

import json
from typing import Any

import pytest

from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.techniques import Technique
from tests.support.drill_rows import SOURCE, SOURCE6, banned, event, tried

_TRAP = {"event_type": "trap", "technique": "decoy_port", "reason": "decoy_port", "scan_type": "connect"}


@pytest.mark.parametrize(
    ("row", "faults"),
    [
        (banned(), []),
        (tried(why_not="no IPv6 address"), []),
        (tried(), ["line"]),
        (banned(line=event(scan_type="udp")), ["type"]),
        (banned(line=event(verdict="watch", reason="forged"), jail=""), ["verdict"]),
        (banned(jail="", tcp=None, udp=None, unbanned=None, let_in=None), ["ban"]),
        (banned(tcp=False), ["block"]),
        (banned(udp=False), ["block"]),
        (banned(forwarded=(8080,)), ["forwarded"]),
        (banned(unbanned=False), ["unban"]),
        (banned(let_in=False), ["unban"]),
        (banned(udp=False, let_in=False), ["block", "unban"]),
    ],
)
def test_each_step_that_failed_is_named(row: Row, faults: list[str]) -> None:
    assert list(row.faults(armed=True)) == faults


def test_an_unarmed_drill_looks_at_the_line_alone() -> None:
    assert list(tried(line=event()).faults(armed=False)) == []
    assert list(tried(line=event(verdict="watch")).faults(armed=False)) == ["verdict"]


@pytest.mark.parametrize(
    ("keys", "is_trap", "is_named"),
    [
        ({}, False, True),
        ({"scan_type": "fin"}, False, False),
        (_TRAP, True, True),
        ({"scan_type": "connect"}, True, False),
    ],
)
def test_the_line_must_name_the_technique(keys: dict[str, Any], *, is_trap: bool, is_named: bool) -> None:
    technique = Technique("connect" if is_trap else "syn", 4, is_trap)
    assert tried(technique=technique, line=event(**keys)).is_named == is_named


@pytest.mark.parametrize(
    ("row", "is_unproved"),
    [(banned(), False), (tried(why_not="no trap"), True), (banned(tcp=None), True), (banned(let_in=None), True)],
)
def test_a_step_that_could_not_be_tried_is_no_proof(row: Row, *, is_unproved: bool) -> None:
    assert row.is_unproved(armed=True) == is_unproved


def test_without_bans_there_is_nothing_else_to_prove() -> None:
    assert not tried(line=event()).is_unproved(armed=False)


def test_a_ban_holds_an_address_or_the_network_of_it() -> None:
    assert str(tried(SOURCE).network) == "198.51.100.7/32"
    assert str(tried(SOURCE6).network) == "2001:db8:7:7::/64"


def test_the_record_for_programs_is_json() -> None:
    shown = json.loads(json.dumps(banned(udp=False).record(armed=True)))
    assert shown["technique"] == "syn IPv4"
    assert (shown["blocked_tcp"], shown["blocked_udp"], shown["faults"]) == (True, False, ["block"])
    assert json.loads(json.dumps(tried().record(armed=True)))["verdict"] is None
