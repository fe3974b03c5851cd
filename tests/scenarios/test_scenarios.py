"""Each scenario goes through the real tshark, gives exactly the expected lines, and those are true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.families.innocents import (
    FOLDER,
    SCENARIOS,
    contradictions,
    named,
    replayed,
    write_capture,
)
from tests.support.needs import require_tool
from tests.support.schema import validate

NAMES = sorted(SCENARIOS)
COMMITTED = [name for name in NAMES if SCENARIOS[name].committed]
MOST_BYTES = 20_000


def expected(name: str) -> list[bytes]:
    return (FOLDER / name / "expected.jsonl").read_bytes().splitlines(keepends=True)


def test_every_scenario_has_its_folder_and_the_other_way_round() -> None:
    assert sorted(path.name for path in FOLDER.iterdir() if path.is_dir()) == NAMES
    assert len(NAMES) >= 30


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_gives_the_expected_lines_and_understands_every_packet(name: str, tmp_path: Path) -> None:
    require_tool("tshark")
    capture = FOLDER / name / "capture.pcap"
    if name not in COMMITTED:
        capture = write_capture(name, tmp_path / "capture.pcap")

    lines = replayed(FOLDER / name, capture)

    assert contradictions(name, lines) == []
    assert lines == expected(name)
    status = validate(lines[-1])
    assert (status["event_type"], status["reason"]) == ("status", "end_of_input")
    assert status["packets"] == len(SCENARIOS[name].traffic())
    assert status["packets_malformed"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_expected_lines_keep_the_contract_and_mean_the_same(name: str) -> None:
    records = [validate(line) for line in expected(name)]
    assert records[-1]["event_type"] == "status"
    assert contradictions(name, expected(name)) == []
    for record in records:
        assert (record["event_type"] == "trap") == (record.get("technique") == "trap")


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_says_what_it_is(name: str) -> None:
    assert (FOLDER / name / "README.md").read_text(encoding="utf-8").startswith(SCENARIOS[name].about)


@pytest.mark.parametrize("name", COMMITTED)
def test_the_capture_is_small_and_the_one_that_the_builders_make(name: str, tmp_path: Path) -> None:
    made = write_capture(name, tmp_path / "made.pcap").read_bytes()
    assert made == (FOLDER / name / "capture.pcap").read_bytes()
    assert len(made) < MOST_BYTES


def test_a_large_capture_is_not_committed() -> None:
    assert [path for name in set(NAMES) - set(COMMITTED) for path in (FOLDER / name).glob("*.pcap")] == []


def test_the_flood_waits_outside_of_the_tables() -> None:
    status = validate(expected("scan_in_a_flood")[-1])
    assert status["packets_held"] > 30_000
    assert status["sources_evicted"] < 10_000


def test_nobody_is_banned_in_anothers_name() -> None:
    forged = [name for name in NAMES if name.startswith("forged")] + ["decoys", "tunnelled_scan"]
    said = {one.verdict for name in forged for one in named(expected(name))}
    assert said == {"watch", "ignore"}


def test_every_kind_of_line_about_a_source_is_in_some_scenario() -> None:
    seen = {validate(line)["event_type"] for name in NAMES for line in expected(name)}
    assert seen == {"connection", "scan", "trap", "status"}
