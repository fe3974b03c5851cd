"""Each scenario goes through the real tshark, gives exactly the expected lines, and those are true."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.scenarios.families import SCENARIOS
from tests.scenarios.scenario import Scenario, named
from tests.support.build import write_pcap
from tests.support.needs import require_tool
from tests.support.paths import CASES
from tests.support.schema import validate

ALL = [pytest.param(one, id=one.name) for one in SCENARIOS.values()]
COMMITTED = [pytest.param(one, id=one.name) for one in SCENARIOS.values() if one.committed]
MOST_BYTES = 20_000
MOST_LATER_SECONDS = 0.05


def test_every_scenario_has_its_folder_and_the_other_way_round() -> None:
    assert sorted(path.name for path in CASES.iterdir() if path.is_dir()) == sorted(SCENARIOS)
    assert len(SCENARIOS) >= 30


@pytest.mark.parametrize("one", ALL)
def test_a_replay_gives_the_expected_lines_and_understands_every_packet(one: Scenario, tmp_path: Path) -> None:
    require_tool("tshark")
    lines = one.replayed(one.capture if one.committed else one.write_capture(tmp_path / "capture.pcap"))

    assert one.contradictions(lines) == []
    assert lines == one.expected()
    status = validate(lines[-1])
    assert (status["event_type"], status["reason"]) == ("status", "end_of_input")
    assert status["packets"] == len(one.traffic())
    assert status["packets_malformed"] == 0


@pytest.mark.parametrize("one", COMMITTED)
def test_what_the_kernel_keeps_to_itself_changes_no_line(one: Scenario, tmp_path: Path) -> None:
    """A live sensor gets no plain ACKs and data, and of sessions with served ports neither our own end nor most SYNs.

    A scan that begins with such a session begins with its answer.
    """
    require_tool("tshark")
    passed = one.without_what_the_kernel_keeps()
    if len(passed) == len(one.traffic()):
        return
    lines = one.replayed(write_pcap(tmp_path / "passed.pcap", passed))
    for line, expected in zip(map(validate, lines[:-1]), map(validate, one.expected()[:-1]), strict=True):
        began = expected.get("first_seen", "")
        if line.get("first_seen", "") != began:
            assert abs(since(line["first_seen"]) - since(began)) <= MOST_LATER_SECONDS
            expected |= {key: line[key] for key in ("first_seen", "event_id")}
        assert line == expected
    assert validate(lines[-1])["packets"] == len(passed)


def since(time: str) -> float:
    return datetime.fromisoformat(time.removesuffix("Z")).timestamp()


def test_the_kernel_keeps_nearly_half_of_what_visitors_cause() -> None:
    visitors = SCENARIOS["web_visitor"]
    assert len(visitors.without_what_the_kernel_keeps()) <= 0.6 * len(visitors.traffic())


@pytest.mark.parametrize("one", ALL)
def test_the_expected_lines_keep_the_schema_and_say_what_they_must(one: Scenario) -> None:
    records = [validate(line) for line in one.expected()]
    assert records[-1]["event_type"] == "status"
    assert one.contradictions(one.expected()) == []
    for record in records:
        assert (record["event_type"] == "trap") == (record.get("technique") == "trap")


@pytest.mark.parametrize("one", ALL)
def test_the_readme_says_what_happens(one: Scenario) -> None:
    assert (one.folder / "README.md").read_text(encoding="utf-8").startswith(one.about)


@pytest.mark.parametrize("one", COMMITTED)
def test_the_capture_is_small_and_the_one_that_the_builders_make(one: Scenario, tmp_path: Path) -> None:
    made = one.write_capture(tmp_path / "made.pcap").read_bytes()
    assert made == one.capture.read_bytes()
    assert len(made) < MOST_BYTES


def test_a_large_capture_is_not_committed() -> None:
    assert [one.name for one in SCENARIOS.values() if not one.committed and one.capture.exists()] == []


def test_the_flood_waits_outside_of_the_tables() -> None:
    status = validate(SCENARIOS["scan_in_a_flood"].expected()[-1])
    assert status["packets_held"] > 30_000
    assert status["sources_evicted"] < 10_000


def test_nobody_is_banned_in_the_name_of_another() -> None:
    forged = [one for name, one in SCENARIOS.items() if name.startswith("forged")]
    forged.append(SCENARIOS["decoys"])
    said = {line.verdict for one in forged for line in named(one.expected())}
    assert said == {"watch", "ignore"}


def test_every_kind_of_line_about_a_source_is_in_some_scenario() -> None:
    seen = {validate(line)["event_type"] for one in SCENARIOS.values() for line in one.expected()}
    assert seen == {"connection", "scan", "trap", "status"}
