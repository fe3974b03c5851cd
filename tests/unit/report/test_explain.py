"""The explanation names the rule that decided, in every scenario that names a source, and the facts beside it."""

import dataclasses
import json
import re
from datetime import date
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.events.model import Technique, to_record, utc
from portsentry_py.fail2ban.jails import Fail2banState, JailBan, JailState
from portsentry_py.report.explain import Facts, as_object, explain, threshold
from portsentry_py.report.reasons import RULES
from portsentry_py.report.source_lines import SourceLines, read_source
from portsentry_py.state.sources import KnownSource
from tests.scenarios.families import SCENARIOS
from tests.scenarios.scenario import Scenario
from tests.support.build import SCANNER, log_lines, refused, scans, strict, syn, watch
from tests.support.paths import DOCS

NAMING = [pytest.param(one, id=one.name) for one in SCENARIOS.values() if one.names]
(SCAN,) = scans(watch(strict(), refused(syn(SCANNER, 20, 21, 22, 24))), "port_scan")[:1]
SILENT = Fail2banState("absent", "fail2ban is not installed.")
KNOWN = KnownSource(
    source=SCANNER,
    address=SCANNER,
    direction="inbound",
    scan_type="syn",
    ports=2,
    sample=(22, 80),
    hosts=1,
    attempts=2,
    closed=1,
    open=3,
    touches=0,
    score=6,
    tool=None,
    verified=False,
    mimicked=True,
    checks=2,
    first_seen=utc(0),
    last_seen=utc(1),
)


def shown(facts: Facts) -> dict[str, str]:
    return {heading: " ".join(sentences) for heading, sentences in explain(facts)}


def facts(tmp_path: Path, *lines: bytes, source: str = SCANNER) -> Facts:
    path = tmp_path / "log"
    path.write_bytes(b"".join(lines))
    return Facts(ip_network(source), Settings(), read_source(path, ip_network(source)), SILENT)


@pytest.mark.parametrize("one", NAMING)
def test_every_scenario_that_names_a_source_is_explained_by_the_rule_that_decided(
    one: Scenario, tmp_path: Path
) -> None:
    severity = ["ignore", "watch", "ban"]
    for source in {named.source for named in one.names}:
        said = [named for named in one.names if named.source == source]
        worst = max(severity.index(named.verdict) for named in said)
        of = facts(tmp_path, *one.expected(), source=source)
        text = shown(of)
        deciding = {named.reason for named in said if severity.index(named.verdict) == worst}
        reason = text["rule"].partition(":")[0]
        assert reason in deciding, text
        assert RULES[reason].sentence in text["rule"]  # type: ignore[index] # a word of the line
        assert text["verdict"].startswith(severity[worst])
        assert text["counted"]
        assert text["to change"]
        for_programs = as_object(of)
        assert (for_programs["verdict"], for_programs["reason"]) == (severity[worst], reason)
        assert [for_programs[key] for key in ("rule", "change")] == [RULES[reason].sentence, text["to change"]]  # type: ignore[index] # a word of the line
        assert str(for_programs["threshold"]) in text["counted"]
        assert json.loads(json.dumps(for_programs)) == for_programs


def test_the_object_for_programs_has_all_keys_even_if_nothing_is_known(tmp_path: Path) -> None:
    empty, full = as_object(facts(tmp_path)), as_object(facts(tmp_path, *log_lines([SCAN])), {"packets": []})
    assert list(empty) == list(full)
    assert (empty["verdict"], empty["deciding"], empty["capture"]) == ("none", None, None)
    assert full["deciding"] == to_record(SCAN)
    assert full["lines"] == [to_record(SCAN)]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", (DOCS / "seeing.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [key for row in rows for key in re.findall(r"\w+", row)] == list(full), "docs/seeing.md"


def test_the_facts_are_named(tmp_path: Path) -> None:
    of = facts(tmp_path, *log_lines([dataclasses.replace(SCAN, src_known="censys")]))
    ban = JailBan(SCANNER, ends_at="2026-11-20T08:51:57.000000Z", left_seconds=540)
    jails = Fail2banState("answers", "", (JailState("portsentry", bans=(ban,)), JailState("portsentry-net")))
    full = shown(
        dataclasses.replace(
            of, known=KNOWN, visits=(date(2026, 11, 19), date(2026, 11, 20)), protection="gateway", fail2ban=jails
        )
    )
    assert "detectors.port_scan" in full["counted"]
    for words in ("did not prove", "2 days, the last on 2026-11-20", "3 of its", "health check", "censys"):
        assert words in full["for it"]
    assert full["protected"].startswith("gateway: ")
    held = as_object(dataclasses.replace(of, known=KNOWN, visits=(date(2026, 11, 19),), fail2ban=jails))
    assert held["state"] == {"note": None, "known": dataclasses.asdict(KNOWN)}
    assert held["visits"] == ["2026-11-19"]
    assert held["fail2ban"] == {
        "standing": "answers",
        "note": None,
        "bans": [
            {
                "jail": "portsentry",
                "address": SCANNER,
                "banned_at": None,
                "ends_at": ban.ends_at,
                "ban_seconds": None,
                "left_seconds": 540,
                "permanent": False,
            }
        ],
    }
    assert full["fail2ban"] == f"Jail portsentry bans {SCANNER} until 2026-11-20T08:51:57.000000Z (9 min left)."


@pytest.mark.parametrize(
    ("ban", "words"),
    [
        (JailBan("203.0.113.0/24", permanent=True), "for ever"),
        (JailBan(SCANNER), "does not tell"),
        (JailBan("2001:db8::/64"), "No jail"),
    ],
)
def test_a_ban_of_a_network_hits_the_address(tmp_path: Path, ban: JailBan, words: str) -> None:
    of = facts(tmp_path, *log_lines([SCAN]))
    state = Fail2banState("answers", "", (JailState("portsentry-net", bans=(ban,)),))
    assert words in shown(dataclasses.replace(of, fail2ban=state))["fail2ban"]


def test_a_source_without_lines_is_explained_by_the_state(tmp_path: Path) -> None:
    of = facts(tmp_path)
    text = shown(dataclasses.replace(of, known=KNOWN, state_note="a note."))
    assert text["verdict"].startswith("none: ")
    assert "Below every threshold: 2 probes, the latest at the ports 22, 80. a note." in text["counted"]
    assert "rule" not in text
    assert shown(of)["fail2ban"] == SILENT.note


def test_a_word_of_a_newer_version_is_explained(tmp_path: Path) -> None:
    line = log_lines([SCAN])[0].replace(b"ports_in_window", b"new_rule")
    assert "newer version" in shown(facts(tmp_path, line))["rule"]


@pytest.mark.parametrize(
    ("technique", "words"),
    [
        ("sweep", "detectors.sweep"),
        ("stealth", "detectors.stealth"),
        ("slow", "990 to 1"),
        ("distributed", "detectors.distributed"),
        ("trap", "traps.ban_on"),
        ("outbound", "30 pairs of address and port"),
        ("port_scan", "8 of one host within 60 s"),
    ],
)
def test_each_technique_has_its_threshold(technique: Technique, words: str) -> None:
    line = dataclasses.replace(SCAN, technique=technique)
    assert words in threshold(line, Settings())


def test_protocols_served_ports_and_profiles_have_other_thresholds() -> None:
    assert "5 of one host" in threshold(dataclasses.replace(SCAN, scan_type="ipproto"), Settings())
    assert "32 asked" in threshold(dataclasses.replace(SCAN, reason="served_ports"), Settings())
    assert "profile psad" in threshold(SCAN, Settings(profile="psad"))
    assert SourceLines(Path("log")).deciding is None
