"""Breaks what is around the sensor, one fault after the other, and writes the table of docs/reliability.md.

    python -m tests.faults [--short] [-o docs] [NAME...]

A NAME is a fault or the beginning of one. Needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.bench import machine, sending
from tests.bench.tables import table
from tests.faults import bans, children, clock, limits, log, network, settings, stand_ins, whole
from tests.faults.fault import Fault, Observed, Stage
from tests.jail.matrix import put_in
from tests.wire.lab import opened

PAGE = "reliability.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->\n"
HEAD = ("fault", "promise", "observed", "recovery, s", "packets lost", "told")
FAULTS: tuple[Fault, ...] = (
    *children.FAULTS,
    *stand_ins.FAULTS,
    *whole.FAULTS,
    *network.FAULTS,
    *log.FAULTS,
    *bans.FAULTS,
    *settings.FAULTS,
    *limits.FAULTS,
    *clock.FAULTS,
)


def play(fault: Fault, folder: Path, *, short: bool) -> Observed:
    """Let one fault happen between hosts of its own; fails where the promise is not kept."""
    with opened() as lab:
        sending.silence(lab)
        address = sending.link(lab.scanner, lab.target).destination.hex(":")
        return fault.happens(Stage(lab, folder, short, address))


def row(fault: Fault, outcome: Observed | AssertionError) -> list[str]:
    """Give a line of the table."""
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


def main(words: Sequence[str]) -> int:
    """Let them happen; exit with 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--short", action="store_true", help="as the tests do it: smaller numbers, no clock")
    parser.add_argument("-o", "--output", type=Path, help=f"the folder of {PAGE}; without it, only print")
    arguments = parser.parse_args(words)
    unknown = [name for name in arguments.names if not any(fault.name.startswith(name) for fault in FAULTS)]
    if unknown:
        parser.error(
            f"no such fault: {', '.join(unknown)}; there are {', '.join(one.name for one in FAULTS)}"
        )
    if os.geteuid() != 0:
        parser.error("needs root: it makes network namespaces")
    # What was started has to be stopped, whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = tuple(arguments.names)
    rows, broken = [], 0
    for fault in FAULTS:
        if (names and not fault.name.startswith(names)) or (arguments.short and fault.alters_clock):
            continue
        with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
            outcome: Observed | AssertionError
            try:
                outcome = play(fault, Path(folder), short=arguments.short)
            except AssertionError as error:
                traceback.print_exception(error)
                outcome, broken = error, broken + 1
        rows.append(row(fault, outcome))
        print(fault.name, *rows[-1][2:], sep=" | ", flush=True)
    if arguments.output:
        page = arguments.output / PAGE
        text = f"{machine.described()}\n{table(HEAD, rows)}"
        page.write_text(put_in(page.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
