"""Measures `portsentry-py report` over a long log, beside jq and DuckDB by hand; writes docs/measurements/report.md.

The log is made by a formula (tests/support/long_log.py): of 20 lines, 14 are about connections, 5 about scans and 1 is
about the sensor. Each program runs as a process of its own; its CPU time and its peak of memory are the kernel's.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from tests.lab.support import program
from tests.lab.support.machine import described
from tests.lab.support.page import put
from tests.lab.support.tables import count, shown, table
from tests.lab.support.whole_run import Cost, cost_of
from tests.support.long_log import long_log
from tests.support.needs import require_tool

_LINES = 10_000_000
_DAYS = 365
_MOST_SECONDS = 60
_MOST_BYTES = 1_000_000_000
_MOST_PAGE_BYTES = 300_000
_BATCH = 100_000
_JQ = "reduce inputs as $line ({}; .[$line.event_type] += 1)"
_DUCKDB = """
import duckdb, json, sys
duckdb.sql("SET enable_progress_bar = false")
rows = duckdb.sql(f"SELECT event_type, count(*) FROM read_json('{sys.argv[1]}', format = 'nd') GROUP BY 1").fetchall()
print(json.dumps(dict(rows)))
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a program answers, at which cost."""

    name: str
    answers: str
    cost: Cost

    def cells(self) -> list[str]:
        """The row of the table."""
        return [self.name, self.answers, *self.cost.cells()]


def measured(name: str, answers: str, *words: str | Path) -> Run:
    """Run a program to its end."""
    return shown(Run(name, answers, cost_of(*words)))


def make(path: Path, lines: int) -> None:
    """Write the log."""
    made = long_log(lines, _DAYS)
    with path.open("w", encoding="ascii") as file:
        while batch := "".join(islice(made, _BATCH)):
            file.write(batch)


def measure(folder: Path, lines: int) -> tuple[str, bool]:
    """The part of the page, and whether every check held."""
    log, page = folder / "portsentry.log", folder / "page.html"
    load = os.getloadavg()[0]
    make(log, lines)
    report = measured(
        "`portsentry-py report`",
        "everything, as a page and as JSON",
        *(sys.executable, "-m", "portsentry_py", "report", log, "--json", "--html", page),
    )
    by_hand = (
        measured("jq", "lines by `event_type`", require_tool("jq"), "-n", "-c", _JQ, log),
        measured("DuckDB", "the same", sys.executable, "-c", _DUCKDB, log),
    )
    totals = json.loads(report.cost.output)["totals"]
    counts = {name: totals[f"{name}_lines"] for name in ("connection", "scan", "status")}
    page_bytes = page.stat().st_size
    ok = (
        all(json.loads(run.cost.output) == counts for run in by_hand)
        and report.cost.seconds <= _MOST_SECONDS
        and report.cost.peak_bytes <= _MOST_BYTES
        and page_bytes <= _MOST_PAGE_BYTES
    )
    head = ("program", "answers", "seconds", "CPU seconds", "peak memory, MB")
    text = (
        f"{described().partition('; ')[0]}; other programs had a load of {load:.1f}.\n\n"
        f"{count(lines)} lines, {log.stat().st_size / 1e9:.1f} GB, of {_DAYS} days; {count(totals['scans'])} scans by "
        f"{count(totals['sources'])} sources. The page has {page_bytes / 1000:.0f} kB. DuckDB {version('duckdb')}. "
        f"All programs count the same lines.\n\n{table(head, (run.cells() for run in (report, *by_hand)))}"
    )
    return text, ok


def main(words: Sequence[str], measures: Callable[[Path, int], tuple[str, bool]] = measure) -> int:
    """Measure, and write the page."""
    made = program.parser("report", __doc__ or "")
    made.add_argument("--lines", type=int, default=_LINES, help="default: ten million")
    arguments = program.begin(made, words)
    with tempfile.TemporaryDirectory(prefix="portsentry-lab-", dir="/var/tmp") as folder:
        text, ok = measures(Path(folder), arguments.lines)
    print(text)
    if arguments.output:
        put(arguments.output / "report.md", "figures", text)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
