"""`sources`: a table for people, JSON and CSV for programs."""

import json
from pathlib import Path

import pytest

from tests.support.build import SCANNER, SCANNER6, log_lines, refused, strict, syn, watch
from tests.support.command import Command, fails


@pytest.fixture
def words(tmp_path: Path) -> tuple[object, ...]:
    events = watch(strict(), refused(syn(SCANNER, 20, 21, 22, 24)), refused(syn(SCANNER6, 20, 21, 22, 24)))
    (tmp_path / "log").write_bytes(b"".join(log_lines(events)))
    return ("sources", "--log", tmp_path / "log", "--state", tmp_path / "none")


def test_the_table_has_each_source(command: Command, words: tuple[object, ...]) -> None:
    done = command(*words)
    assert (done.code, done.err) == (0, "")
    assert SCANNER in done.out
    assert "ports_in_window" in done.out


def test_filters_and_forms(command: Command, words: tuple[object, ...]) -> None:
    given = ("--net", SCANNER, "--verdict", "ban", "--port", 22, "--min-ports", 4, "--min-attempts", 4)
    (found,) = (json.loads(line) for line in command(*words, *given, "--json").out.splitlines())
    assert found["source"] == SCANNER
    head, row = command(*words, *given, "--csv").out.splitlines()
    assert (head.startswith("source,verdict,"), row.startswith(f"{SCANNER},ban,")) == (True, True)
    assert command(*words, "--seen", "1h", "--json").out == ""
    assert command(*words, "--min-score", 1000, "--json").out == ""


def test_a_state_that_cannot_be_read_is_a_note(command: Command, words: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"x")
    done = command(*words, "--json")
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert "not a state file" in done.err


def test_wrong_values_are_64_and_a_missing_log_65(command: Command, words: tuple[object, ...]) -> None:
    fails(command(*words, "--seen", "soon"), 64, "--seen", "soon")
    fails(command(*words, "--json", "--csv"), 64, "--csv")
    fails(command(*words, "--log", "/nonexistent/log"), 65, "/nonexistent/log")
