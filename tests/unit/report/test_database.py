"""Logs in, rows out, whatever the logs hold."""

import gzip
import sys
import threading
from pathlib import Path

import pytest

from portsentry_py.errors import InputError, LibraryMissing, OutputError
from portsentry_py.report import database as database_module
from portsentry_py.report.database import log_database
from portsentry_py.report.log_files import LogFile, find_logs
from tests.support.disk import small_disk
from tests.support.log_lines import BROKEN, GOOD, HOSTILE, line, write
from tests.support.long_log import long_log
from tests.support.reports import EVER_US, summary_of


def test_broken_lines_are_counted_and_the_others_read(tmp_path: Path) -> None:
    reading = summary_of(write(tmp_path / "a.log", line(), *BROKEN, b"", line(new={"a": 1}))).reading
    assert (reading.lines, reading.unreadable) == (len(BROKEN) + 2, len(BROKEN))


def test_lines_of_a_newer_version_are_used_as_far_as_they_are_known(tmp_path: Path) -> None:
    newer = line(schema=2, technique="telepathy", ports={"low": 3}, verdict="ponder", event_id="b")
    summary = summary_of(write(tmp_path / "a.log", line(), newer))
    assert (summary.reading.unreadable, summary.reading.newer) == (0, 1)
    assert [group.name for group in summary.groups["technique"].rows] == ["port_scan", "telepathy"]


def test_a_compressed_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.log.2.gz").write_bytes(gzip.compress(line() + b"\n") + gzip.compress(line() + b"\n"))
    assert summary_of(tmp_path / "a.log.2.gz").totals.scan_lines == 2


def test_a_damaged_compressed_log_is_read_up_to_the_damage(tmp_path: Path) -> None:
    lines = b"".join(
        line(event_id=f"{number:016x}", dest_port=number * 7919 % 60_000) + b"\n" for number in range(9999)
    )
    packed = gzip.compress(lines)
    (tmp_path / "a.gz").write_bytes(packed[: len(packed) // 2])
    summary = summary_of(tmp_path / "a.gz")
    assert 3000 < summary.totals.scans < 7000
    (note,) = summary.reading.notes
    assert "what came before the damage was read" in note


@pytest.mark.parametrize("name", ["[a-z]*.log", "a'b.log", "a?.log", "{x}.log", "wlän \udcff.log", "--since.log"])
def test_a_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    write(tmp_path / "other.log", line(), line())
    assert summary_of(write(tmp_path / name, line())).totals.lines == 1


def test_hostile_values_are_data(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", *(line(reason=value, event_id=str(n)) for n, value in enumerate(HOSTILE)))
    rows = summary_of(log).groups["reason"].rows
    assert {row.name.removeprefix("ban: ") for row in rows} == {value[:64] for value in HOSTILE}


@pytest.mark.parametrize("key", [key for key in GOOD if key not in {"timestamp", "event_type", "verdict", "src_ip"}])
@pytest.mark.parametrize("value", ["x", -1, 1e300, 2**70, None, {"a": [1]}, ["<b>"], True])
def test_a_value_of_another_type_costs_no_line(tmp_path: Path, key: str, value: object) -> None:
    assert summary_of(write(tmp_path / "a.log", line(**{key: value}))).reading.unreadable == 0


def test_progress_names_the_file(tmp_path: Path) -> None:
    (file,) = find_logs([write(tmp_path / "a.log", line())])
    seen: list[tuple[LogFile, float]] = []
    before = threading.active_count()
    with log_database() as database:
        database.load(file, lambda *shown: seen.append(shown))
    assert seen[0] == (file, 0.0)
    assert threading.active_count() == before


def test_a_log_that_fits_nowhere_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither into the memory nor onto the disk."""
    log = tmp_path / "a.log"
    log.write_text("".join(long_log(40_000, 9)))
    monkeypatch.setattr(database_module, "_MEMORY_MIB", 8)
    with small_disk(tmp_path) as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        with pytest.raises((OutputError, InputError), match=r"cannot read the log|the report failed"):
            summary_of(log)


def test_nothing_is_left_in_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    summary_of(write(tmp_path / "a.log", line()))
    assert list(place.iterdir()) == []


def test_a_temporary_directory_without_room_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(OutputError, match="set TMPDIR"), log_database():
        pass


def test_a_query_that_fails_is_one_sentence(tmp_path: Path) -> None:
    with log_database() as database, pytest.raises(OutputError, match="the report failed"):
        database.rows("totals")  # there are no tables yet
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_vanishes_is_unreadable(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", line())
    (file,) = find_logs([log])
    log.unlink()
    with log_database() as database, pytest.raises(InputError, match="No such file"):
        database.load(file, lambda *_: None)
    log.mkdir()
    with log_database() as database, pytest.raises(InputError, match="cannot read the log"):
        database.load(file, lambda *_: None)


def test_a_period_leaves_the_other_lines_out(tmp_path: Path) -> None:
    first, second = "2026-11-20T08:00:00.000000Z", "2026-11-21T08:00:00.000000Z"
    log = write(tmp_path / "a.log", line(timestamp=first), line(timestamp=second, event_id="b"), b"x")
    with log_database() as database:
        database.load(find_logs([log])[0], lambda *_: None)
        database.create(-EVER_US, 1_795_200_000_000_000)
        assert database.rows("totals")[0]["scans"] == 1


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(LibraryMissing, match=r"pip install 'portsentry-py\[report\]'"), log_database():
        pass


def test_ctrl_c_ends_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """What DuckDB raises when a signal stops it."""

    class Interrupted:
        def execute(self, *_: object) -> None:
            raise RuntimeError("Query interrupted")

        def close(self) -> None:
            pass

    with log_database() as database:
        monkeypatch.setattr(database, "_connection", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            database.rows("totals")
