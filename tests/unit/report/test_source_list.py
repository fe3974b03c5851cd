"""The list joins log and state, filters them, and gives forms that programs read safely."""

import csv
import dataclasses
import io
import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.report.log_reader import LogTail
from portsentry_py.report.source_list import SourceFilter, SourceRow, as_csv, as_json, list_sources
from portsentry_py.state.checkpoint import Checkpoint
from portsentry_py.state.sources import KnownSource, read_memory
from tests.support.build import SCANNER, SCANNER6, US, log_lines, refused, scans, strict, syn, watch

QUIET = "198.51.100.9"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[LogTail, tuple[KnownSource, ...]]:
    """A log with two scanners, and a state with one more source and later numbers of one of them."""
    folder: Path = tmp_path_factory.mktemp("state")
    pipeline, log = Pipeline(strict(), US), LogTail(folder / "log")
    events = watch(pipeline, refused(syn(SCANNER, 20, 21, 22, 24), syn(SCANNER6, 20, 21, 22, 24, at=1)))
    for line in reversed(log_lines(scans(events))):
        log.take(line)
    watch(pipeline, refused(syn(SCANNER, 25, at=5), syn(QUIET, 8080, at=6)))
    Checkpoint(pipeline, str(folder / "state")).close()
    memory = read_memory(folder / "state")
    assert memory is not None
    return log, memory.sources


def test_each_source_has_one_row_with_the_latest_numbers(known: tuple[LogTail, tuple[KnownSource, ...]]) -> None:
    rows = list_sources(*known, SourceFilter())
    network6 = str(ip_network(SCANNER6).supernet(new_prefix=64))
    assert [(row.source, row.verdict, row.known_from) for row in rows] == [
        (QUIET, "none", "state"),
        (SCANNER, "ban", "both"),
        (network6, "ban", "both"),
    ]
    assert (rows[1].ports, rows[1].reason, rows[1].attempts) == (5, "ports_in_window", 5)
    assert list_sources(known[0], (), SourceFilter())[-1].known_from == "log"


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (SourceFilter(networks=(ip_network("198.51.100.0/24"),)), 1),
        (SourceFilter(networks=(ip_network(SCANNER6),)), 1),
        (SourceFilter(verdicts=frozenset({"ban"})), 2),
        (SourceFilter(ports=frozenset({25, 8080})), 2),
        (SourceFilter(min_ports=5), 1),
        (SourceFilter(min_attempts=2), 2),
        (SourceFilter(min_score=13), 1),
        (SourceFilter(seen_since="2023-11-14T22:13:25.000000Z"), 2),
        (SourceFilter(min_ports=5, verdicts=frozenset({"none"})), 0),
    ],
)
def test_the_conditions_hold_together(
    known: tuple[LogTail, tuple[KnownSource, ...]], wanted: SourceFilter, count: int
) -> None:
    assert len(list_sources(*known, wanted)) == count


def test_a_scan_that_ended_keeps_its_ban() -> None:
    scan = scans(watch(strict(), refused(syn(SCANNER, 20, 21, 22, 24))))[0]
    ended = dataclasses.replace(scan, state="ended", verdict="watch", reason="ended")
    log = LogTail(Path("log"))
    for line in log_lines([ended, scan]):
        log.take(line)
    (row,) = list_sources(log, (), SourceFilter())
    assert (row.verdict, row.reason) == ("ban", "ports_in_window")


def test_json_and_csv_have_the_same_values(known: tuple[LogTail, tuple[KnownSource, ...]]) -> None:
    rows = list_sources(*known, SourceFilter())
    read = list(csv.DictReader(io.StringIO("\n".join(as_csv(rows)))))
    for row, line, cells in zip(rows, map(json.loads, as_json(rows)), read, strict=True):
        assert {**line, "sample": tuple(line["sample"])} == dataclasses.asdict(row)
        shown = {**line, "sample": " ".join(map(str, line["sample"]))}
        assert cells == {name: str(content) for name, content in shown.items()}


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@SUM", '"x', "a,b"])
def test_no_cell_is_a_formula(known: tuple[LogTail, tuple[KnownSource, ...]], word: str) -> None:
    row: SourceRow = dataclasses.replace(list_sources(*known, SourceFilter())[0], tool=word)
    (cells,) = csv.DictReader(io.StringIO("\n".join(as_csv([row]))))
    assert cells["tool"] in {word, f"'{word}"}
    assert cells["tool"][0] not in "=+-@"
