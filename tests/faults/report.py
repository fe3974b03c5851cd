"""The table of docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

from tests.bench import machine
from tests.bench.tables import table
from tests.faults.fault import Fault, Observed
from tests.jail.matrix import put_in

PAGE = "reliability.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->\n"
_HEAD = ("fault", "promise", "observed", "recovery, s", "packets lost", "told")


def row(fault: Fault, outcome: Observed | AssertionError) -> list[str]:
    """Give a line of the table; a promise that was not kept stands out."""
    if isinstance(outcome, AssertionError):
        return [fault.what, fault.promise, f"**{str(outcome).splitlines()[0]}**", "", "", ""]
    recovery = outcome.recovery_seconds
    return [
        fault.what,
        fault.promise,
        outcome.text,
        "" if recovery is None else f"{recovery:.1f}",
        f"{outcome.lost:,} of {outcome.came:,}" if outcome.came else "",
        outcome.told,
    ]


def write(page: Path, rows: list[list[str]]) -> None:
    """Put the table in its place."""
    text = f"{machine.described()}\n{table(_HEAD, rows)}"
    page.write_text(put_in(page.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")
