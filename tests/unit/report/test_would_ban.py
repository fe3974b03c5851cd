"""Rules side by side."""

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.events.model import to_record
from portsentry_py.fail2ban.pack import MODES
from portsentry_py.fail2ban.samples import _classes, _groups, _shared_networks
from portsentry_py.report.would_ban import FirstBan, compare, modes_of
from tests.support.build import SCANNER, scans, strict, syn, watch
from tests.support.log_lines import line, write
from tests.support.reports import summary_of

EARLY = FirstBan("2026-11-20T08:00:00.000000Z", "port_scan", "ports_in_window", 8)
LATE = FirstBan("2026-11-20T09:00:00.000000Z", "slow", "likelihood", 3)


def test_the_sums_are_of_all_and_innocents_come_first() -> None:
    bans = {"203.0.113.9": {"a": EARLY, "b": LATE}, "192.0.2.7": {"b": LATE}, "2001:db8:1:2::/64": {"a": LATE}}
    found = compare(("a", "b", "c"), bans, [ip_network("192.0.2.0/24"), ip_network("2001:db8:1:2::3")], "note.", 2)
    assert [(rule.name, rule.sources, rule.innocents) for rule in found.rules] == [
        ("a", 2, 1),
        ("b", 2, 1),
        ("c", 0, 0),
    ]
    assert (found.total, [one.source for one in found.candidates]) == (3, ["192.0.2.7", "2001:db8:1:2::/64"])
    assert all(one.innocent for one in found.candidates)


def test_what_is_no_address_is_on_no_allowlist() -> None:
    found = compare(("a",), {"<b>x</b>": {"a": EARLY}}, [ip_network("0.0.0.0/0")], "", 9)
    assert [one.innocent for one in found.candidates] == [False]


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_bans_in_the_report_what_it_bans_in_the_filter(tmp_path: Path, mode: str) -> None:
    """Of each class of line that the sensor writes. The filter also refuses lines of a wrong form."""
    lines = [
        *_classes("198.18.%d.9", "198.18.%d.0/24"),
        *_classes("2001:db8:0:%x::9", "2001:db8:0:%x::/64"),
        *(*_groups(), *_shared_networks()),
    ]
    found = summary_of(write(tmp_path / "a.log", *(sample.line.encode() for sample in lines)), allowlist=()).would_ban
    assert found is not None
    banned = {one.source for one in found.candidates if mode in one.bans}
    assert banned == {sample.banned_in(mode) for sample in lines if mode in sample.modes}


def test_scans_by_this_host_are_banned_in_no_mode(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", line(direction="outbound"), line(technique="outbound", verdict="watch"))
    found = summary_of(log, allowlist=()).would_ban
    assert found is not None
    assert found.total == 0


def test_the_allowlist_marks_whom_an_armed_jail_would_ban(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", line(), line(src_ip="198.51.100.7", verdict="watch", event_id="b"))
    found = summary_of(log, allowlist=(ip_network("198.51.100.0/24"),)).would_ban
    assert found is not None
    assert {rule.name: rule.innocents for rule in found.rules if rule.innocents} == {"aggressive": 1}
    assert found.candidates[0].source == "198.51.100.7"
    assert found.candidates[0].bans["aggressive"].ports == 3


def test_a_line_has_the_same_modes_in_memory_as_in_a_log(tmp_path: Path) -> None:
    events = scans(watch(strict(), syn(SCANNER, *range(1, 9))))
    log = write(tmp_path / "a.log", *(json.dumps(to_record(event)).encode() for event in events))
    found = summary_of(log, allowlist=()).would_ban
    assert found is not None
    assert {mode for event in events for mode in modes_of(event)} == {rule.name for rule in found.rules if rule.sources}
