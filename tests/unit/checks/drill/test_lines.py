"""The lines about the drill's sources are read as they come; others are passed over."""

from pathlib import Path

import pytest

from portsentry_py.checks.drill.lines import DrillLines
from portsentry_py.errors import InputError
from tests.support.drill_rows import SOURCE, SOURCE6, tried
from tests.support.log_lines import line, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with a line from before the drill."""
    return write(tmp_path / "log", line(src_ip=SOURCE))


def append(log: Path, *lines: bytes) -> None:
    with log.open("ab") as file:
        file.writelines(one + b"\n" for one in lines)


def test_a_line_of_before_is_no_line_of_the_drill(log: Path) -> None:
    row = tried()
    lines = DrillLines(log, [row])
    lines.poll()
    assert row.line is None
    append(log, line(src_ip="203.0.113.9"), line(src_ip=SOURCE))
    lines.poll()
    assert row.line is not None
    assert row.line_seconds is not None
    assert (lines.bans, lines.strange) == (1, False)
    lines.close()


def test_the_gravest_verdict_counts(log: Path) -> None:
    row = tried()
    lines = DrillLines(log, [row])
    for verdict in ("watch", "ban", "watch"):
        append(log, line(src_ip=SOURCE, verdict=verdict))
        lines.poll()
    assert row.verdict == "ban"
    lines.close()


def test_what_has_ended_and_single_connections_are_no_evidence(log: Path) -> None:
    row = tried()
    lines = DrillLines(log, [row])
    append(log, line(src_ip=SOURCE, state="ended"), line(src_ip=SOURCE, event_type="connection", outcome="refused"))
    lines.poll()
    assert (row.line, lines.strange) == (None, False)
    lines.close()


@pytest.mark.parametrize(
    "text",
    [
        f"Nov 29 08:41:57 host kernel: SRC={SOURCE} DST=192.0.2.1",
        f'{{"timestamp":"now","src_ip":"{SOURCE}"}}',
        "[" * 5000 + f'"{SOURCE}"',
    ],
)
def test_a_line_of_another_program_about_a_source_is_strange(log: Path, text: str) -> None:
    lines = DrillLines(log, [tried()])
    append(log, text.encode())
    lines.poll()
    assert lines.strange
    lines.close()


@pytest.mark.parametrize("address", [f"1{SOURCE}", f"{SOURCE}1", f"{SOURCE}.1", f"{SOURCE6}88", f"a:{SOURCE6}"])
def test_an_address_that_begins_alike_is_another(log: Path, address: str) -> None:
    lines = DrillLines(log, [tried(SOURCE), tried(SOURCE6)])
    append(log, f"about {address}".encode())
    lines.poll()
    assert not lines.strange
    lines.close()


def test_the_log_is_followed_over_a_rotation(log: Path) -> None:
    row = tried()
    lines = DrillLines(log, [row])
    log.rename(log.with_suffix(".1"))
    write(log, line(src_ip=SOURCE))
    lines.poll()
    lines.poll()
    assert row.verdict == "ban"
    lines.close()


def test_a_log_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        DrillLines(tmp_path / "none", [tried()])
