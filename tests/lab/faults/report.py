"""The table of docs/measurements/reliability.md."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.lab.faults.fault import Fault, Observed
from tests.lab.support import machine
from tests.lab.support import page as pages
from tests.lab.support.tables import table

PAGE = "reliability.md"
PART = "faults"
_HEAD = ("fault", "promise", "observed", "recovery, s", "packets lost", "reported")


def row(fault: Fault, outcome: Observed | AssertionError) -> list[str]:
    """A line of the table; a promise that was not kept stands out."""
    if isinstance(outcome, AssertionError):
        return [fault.what, fault.promise, f"**{str(outcome).splitlines()[0]}**", "", "", ""]
    recovery = outcome.recovery_seconds
    return [
        fault.what,
        fault.promise,
        outcome.text,
        "" if recovery is None else f"{recovery:.1f}",
        f"{outcome.lost:,} of {outcome.came:,}" if outcome.came else "",
        outcome.reported,
    ]


def write(page: Path, rows: Iterable[list[str]], order: Sequence[str]) -> None:
    """Put the rows in their places.

    Args:
        page: whose other rows stay.
        rows: those that are new.
        order: what breaks, in the order of the table; other rows go.
    """
    old = pages.part(page, PART)
    known = {cells[0]: cells for line in old.splitlines() if len(cells := _cells(line)) == len(_HEAD)}
    known |= {cells[0]: cells for cells in rows}
    new = table(_HEAD, [known[what] for what in order if what in known])
    pages.put(page, PART, f"{machine.described()}\n{new}")


def _cells(line: str) -> list[str]:
    return line.removeprefix("| ").removesuffix(" |").split(" | ")
