"""Breaks what is around the sensor, one fault after the other, and writes the table of reliability.md.

    python -m tests.lab.faults [--short] [-o DIR] [NAME...]

A NAME is a fault or the beginning of one; the rows of others stay as they are. Needs root. Without --short,
the clock of the machine is set wrong for a few seconds, and set right again.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.faults import report
from tests.lab.faults.catalogue import FAULTS, play
from tests.lab.faults.fault import Fault, Observed
from tests.lab.support import program


def _outcome(fault: Fault, *, short: bool) -> Observed | AssertionError:
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        try:
            return play(fault, Path(folder), short=short)
        except AssertionError as error:
            return error
        except pytest.skip.Exception as reason:
            return Observed("not possible here", str(reason))


def main(words: Sequence[str]) -> int:
    """Let them happen; exit with 1 if a promise was not kept."""
    parser = program.parser("faults", __doc__)
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--short", action="store_true", help="as the tests do it: smaller numbers, no clock")
    arguments = program.begin(parser, words)
    names = tuple(arguments.names)
    unknown = [name for name in names if not any(fault.name.startswith(name) for fault in FAULTS)]
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(one.name for one in FAULTS)}")
    program.need_root(parser)
    rows, broken = [], 0
    for fault in FAULTS:
        if (names and not fault.name.startswith(names)) or (arguments.short and fault.alters_clock):
            continue
        begun = time.monotonic()
        outcome = _outcome(fault, short=arguments.short)
        if isinstance(outcome, AssertionError):
            broken += 1
            print(outcome, file=sys.stderr, flush=True)
        rows.append(report.row(fault, outcome))
        print(f"{time.monotonic() - begun:.1f} s", fault.name, *rows[-1][2:], sep=" | ", flush=True)
    if arguments.output:
        report.write(arguments.output / report.PAGE, rows, [fault.what for fault in FAULTS])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
