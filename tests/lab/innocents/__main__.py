"""Lives through ordinary host-days in simulated time, and says who was banned.

    python -m tests.lab.innocents [--days N] [--first N] [--jobs N] [-o DIR]

Writes innocents.md. Exits with 1 if an innocent was banned, or a scanner was not that every tenth day has.
"""

import os
import sys
from collections.abc import Sequence

from tests.lab.innocents import report
from tests.lab.innocents.host_day import Outcome, lived
from tests.lab.support import program

_SCANNED_EACH = 10
_AT_ONCE = 10


def _day(number: int) -> Outcome:
    return lived(number, scanned=number % _SCANNED_EACH == 0)


def main(words: Sequence[str]) -> int:
    parser = program.parser("innocents", __doc__)
    parser.add_argument("--days", type=int, default=4000, help="how many host-days (default: 4000)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one; it is its seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="host-days at once")
    arguments = program.begin(parser, words)
    outcomes = []
    with program.workers(arguments.jobs) as pool:
        numbers = range(arguments.first, arguments.first + arguments.days)
        for outcome in pool.map(_day, numbers, chunksize=_AT_ONCE):
            outcomes.append(outcome)
            for ban in outcome.bans:
                print(f"day {ban.day}, {', '.join(ban.habits)}: {report.evidence(ban.line)}", flush=True)
    print(report.summary(outcomes))
    if arguments.output:
        (arguments.output / report.PAGE).write_text(report.markdown(outcomes), encoding="utf-8")
    wrong = any(one.bans or one.scanner_banned is False for one in outcomes)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
