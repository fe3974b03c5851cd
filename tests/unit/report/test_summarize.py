"""The numbers of a summary, beside those of jq."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from portsentry_py.report.summarize import _WIDTHS, bucket_seconds
from portsentry_py.report.summary import Summary
from tests.support.log_lines import hostile_log, line, scenario_log, write
from tests.support.needs import require_tool
from tests.support.reports import summary_of
from tests.support.running import run

# A scan of jq: the lines of one event_id, and the most severe verdict of them.
SCANS = """
[.[] | select(.event_type == "scan" or .event_type == "trap")] | group_by(.event_id) | map({
    source: (.[-1] | .src_ip), ban: any(.verdict == "ban"),
    line: (sort_by({"ban": 3, "watch": 2, "ignore": 1, "none": 0}[.verdict], .timestamp) | last)
})
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenario_log(tmp_path_factory.mktemp("log") / "portsentry.log")


@pytest.fixture(scope="module")
def summary(log: Path) -> Summary:
    return summary_of(log)


def jq(log: Path, program: str) -> Any:
    return json.loads(run(require_tool("jq"), "-c", "--slurp", program, log))


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("lines", "length"),
        ("connection_lines", 'map(select(.event_type == "connection")) | length'),
        ("scan_lines", 'map(select(.event_type == "scan")) | length'),
        ("trap_lines", 'map(select(.event_type == "trap")) | length'),
        ("status_lines", 'map(select(.event_type == "status")) | length'),
        ("ban_lines", 'map(select(.verdict == "ban")) | length'),
        ("connection_lines_suppressed", "map(.suppressed // 0) | add"),
        ("scans", f"{SCANS} | length"),
        ("sources", f"{SCANS} | map(.source) | unique | length"),
        ("sources_banned", f"{SCANS} | map(select(.ban) | .source) | unique | length"),
        ("first", "map(.timestamp) | min"),
        ("last", "map(.timestamp) | max"),
    ],
)
def test_a_total_is_that_of_jq(log: Path, summary: Summary, name: str, program: str) -> None:
    assert getattr(summary.totals, name) == jq(log, program)


@pytest.mark.parametrize("name", ["verdict", "technique", "scan_type", "tool", "src_net", "src_known"])
def test_a_group_is_that_of_jq(log: Path, summary: Summary, name: str) -> None:
    program = f"""{SCANS} | map(select(.line.{name})) | group_by(.line.{name}) | map({{
        name: .[0].line.{name}, scans: length, sources: (map(.source) | unique | length),
        banned: (map(select(.ban)) | length)}}) | sort_by(-.scans, .name)"""
    groups = summary.groups[{"src_net": "network", "src_known": "known_scanner"}.get(name, name)]
    expected = jq(log, program)
    assert groups.total == len(expected)
    assert [dataclasses.asdict(row) for row in groups.rows] == expected[: len(groups.rows)]


def test_the_timeline_adds_up_to_the_totals(summary: Summary) -> None:
    line_ = summary.timeline
    assert sum(line_.connections) == summary.totals.connection_lines
    assert sum(map(sum, (line_.ban, line_.watch, line_.other))) == summary.totals.scans
    assert {len(series) for series in (line_.starts, line_.connections, line_.ban, line_.new_ports)} == {
        len(line_.starts)
    }


def test_the_heat_map_has_the_lines_of_its_ports(log: Path, summary: Summary) -> None:
    for port, counts in zip(summary.heat_map.ports, summary.heat_map.lines, strict=True):
        number, proto = port.split("/")
        program = f'map(select(.dest_port == {number} and .proto == "{proto}" and .direction == "inbound")) | length'
        assert sum(counts) == jq(log, program)


def test_each_port_is_new_once(log: Path, summary: Summary) -> None:
    program = """[.[] | select(.direction == "inbound") | .proto as $proto | (.dest_port, (.ports_sample // [])[])
        | select(. > 0) | [., $proto]] | unique | length"""
    assert sum(summary.timeline.new_ports) == summary.top_ports.total == jq(log, program)


def test_an_empty_log_has_a_summary(tmp_path: Path) -> None:
    summary = summary_of(write(tmp_path / "a.log"), allowlist=())
    assert (summary.totals.lines, summary.totals.first, summary.health.state) == (0, None, None)
    assert json.loads(summary.to_json())["timeline"]["starts"] == []


def test_one_line_has_a_summary(tmp_path: Path) -> None:
    summary = summary_of(write(tmp_path / "a.log", line()))
    assert (summary.totals.scans, summary.timeline.ban, summary.now.total) == (1, (1,), 1)
    assert summary.new_ports.total == 0, "a log of less than a day cannot say what is new"
    assert summary.ban_line.median_seconds == pytest.approx(7.40898)


def test_a_port_that_nobody_probed_before_is_new(tmp_path: Path) -> None:
    old = line(timestamp="2026-11-10T08:00:00.000000Z", first_seen="2026-11-10T08:00:00.000000Z", event_id="a")
    new = line(dest_port=4444, ports_sample=[22, 4444, 5555], event_id="b")
    summary = summary_of(write(tmp_path / "a.log", old, new))
    assert {row.port for row in summary.new_ports.rows} == {4444, 5555}
    assert summary.now.total == 1


def test_the_counts_of_all_runs_are_added(tmp_path: Path) -> None:
    def status(minute: int, state: str, dropped: int) -> bytes:
        stamp = f"2026-11-20T08:{minute:02}:00.000000Z"
        keys = {"timestamp": stamp, "event_type": "status", "verdict": "none", "state": state, "reason": "none"}
        return json.dumps({**keys, "version": "0.1.0", "packets_dropped": dropped}).encode()

    states = [(1, "started", 0), (2, "running", 5), (3, "stopped", 7), (4, "started", 0), (5, "running", 2)]
    health = summary_of(write(tmp_path / "a.log", *(status(*one) for one in states))).health
    assert (health.state, health.version, health.counts["packets_dropped"]) == ("running", "0.1.0", 9)
    assert [incident.state for incident in health.incidents] == ["started", "stopped", "started"]


def test_a_burst_of_scans_is_an_anomaly(tmp_path: Path) -> None:
    def scan(hour: int, number: int) -> bytes:
        stamp = f"2026-{1 + hour // 672:02}-{1 + hour % 672 // 24:02}T{hour % 24:02}:30:00.000000Z"
        return line(timestamp=stamp, first_seen=stamp, event_id=f"{hour}.{number}")

    lines = [scan(hour, number) for hour in range(1344) for number in range(60 if hour == 1000 else 1)]
    hours = summary_of(write(tmp_path / "a.log", *lines)).anomalies.hours
    assert hours is not None
    assert [(hour.start, hour.scans) for hour in hours] == [("2026-02-14T16:00:00.000000Z", 60)]


def test_the_buckets_are_few_and_of_a_usual_length() -> None:
    bucket = partial(bucket_seconds, 0, most=96)
    assert [bucket(seconds * 1_000_000) for seconds in (0, 94, 3_599, 86_399, 7 * 86_400)] == [1, 1, 60, 900, 10_800]
    assert all(bucket(width * 95 * 1_000_000) == width for width in _WIDTHS)
    centuries = 8_000 * 31_536_000 * 1_000_000
    assert centuries // (bucket(centuries) * 1_000_000) < 96


def test_hostile_lines_have_a_summary_in_json(tmp_path: Path) -> None:
    text = summary_of(hostile_log(tmp_path / "a.log"), allowlist=()).to_json()
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 300_000


def test_the_time_to_a_ban_of_fail2ban_is_that_of_its_database(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", line(src_ip="2001:db8::9", src_net="2001:db8::/64"))
    second = 1_795_164_118  # 2026-11-20T08:41:58Z
    ban = summary_of(log, bans=[("2001:db8::/64", second)]).ban
    assert ban is not None
    assert (ban.scans, ban.median_seconds) == (1, 8.0)
    assert summary_of(log).ban is None
