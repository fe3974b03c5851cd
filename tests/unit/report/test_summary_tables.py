"""A summary on a terminal."""

import io
from pathlib import Path

from rich.console import Console

from portsentry_py.report.summary import Summary
from portsentry_py.report.summary_tables import render
from tests.support.log_lines import hostile_log, line, scenario_log, write
from tests.support.reports import summary_of


def shown(summary: Summary) -> str:
    output = io.StringIO()
    console = Console(file=output, width=200, highlight=False, markup=False, emoji=False)
    for part in render(summary):
        console.print(part)
    return output.getvalue()


def test_the_tables_have_the_numbers(tmp_path: Path) -> None:
    summary = summary_of(scenario_log(tmp_path / "a.log"))
    text = shown(summary)
    assert f"{summary.totals.scans} scans by {summary.totals.sources} sources" in text
    assert "by technique" in text
    assert "ports_in_window" in text
    assert "who would be banned" not in text


def test_what_would_be_banned_is_side_by_side(tmp_path: Path) -> None:
    summary = summary_of(scenario_log(tmp_path / "a.log"), allowlist=())
    text = " ".join(shown(summary).replace("│", " ").split())
    assert summary.would_ban is not None
    assert "who would be banned" in text
    for number, rule in enumerate(summary.would_ban.rules, 1):
        assert f"{number} {rule.name} {rule.sources} {rule.innocents}" in text


def test_an_empty_log_has_no_table_without_rows(tmp_path: Path) -> None:
    text = shown(summary_of(write(tmp_path / "a.log")))
    assert "0 lines" in text
    assert "by technique" not in text


def test_unreadable_and_newer_lines_are_mentioned(tmp_path: Path) -> None:
    text = shown(summary_of(write(tmp_path / "a.log", line(schema=2), b"torn")))
    assert "1 lines unreadable, 1 lines of a newer version" in text


def test_hostile_lines_bring_no_control_character(tmp_path: Path) -> None:
    text = shown(summary_of(hostile_log(tmp_path / "a.log"), allowlist=()))
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "[bold red]x[/]" in text
