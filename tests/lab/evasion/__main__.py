"""Sends scans that try not to be seen, and writes docs/measurements/evasion.md.

    python -m tests.lab.evasion [--only WORDS] [-o DIR]

More than two hundred rows live between network namespaces or in simulated time, and a thousand scanners with random
headers. WORDS chooses the rows whose group or command contains them; no page is written then. Exits with 1 if a row
has less than its expected verdict, or a scanner with random headers is not named. Needs root.
"""

import os
import sys
from collections.abc import Sequence

from tests.lab.evasion import report
from tests.lab.evasion.mutation import SEEDS, scanned
from tests.lab.evasion.play import ROWS, played
from tests.lab.support import program


def main(words: Sequence[str]) -> int:
    parser = program.parser("evasion", __doc__)
    parser.add_argument("--only", metavar="WORDS", default="", help="rows whose group or command contains the words")
    arguments = program.begin(parser, words)
    program.need_root(parser)
    rows = []
    for seen in played([row for row in ROWS if arguments.only in f"{row.group} {row.command}"]):
        rows.append(seen)
        print(*report.cells(seen), "" if seen.is_expected else "NOT EXPECTED", sep=" | ", flush=True)
    seeds = range(0 if arguments.only else SEEDS)
    with program.workers(os.cpu_count()) as pool:
        mutants = list(pool.map(scanned, seeds, chunksize=20))
    print(report.summary(rows, mutants))
    if arguments.output and not arguments.only:
        (arguments.output / report.PAGE).write_text(report.markdown(rows, mutants), encoding="utf-8")
    missed = [one.seed for one in mutants if not one.verdict]
    if missed:
        print(f"not named: mutants {missed}")
    return 1 if missed or not all(one.is_expected for one in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
