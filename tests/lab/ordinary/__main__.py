"""Lets an ordinary host live through a day, and says who lived there and who was banned.

    python -m tests.lab.ordinary [--minutes N] [--captures DIR] [--keep DIR] [-o DIR]

Writes ordinary.md. Exits with 1 if an innocent was banned or a scanner was not, or if the day itself went
wrong. Needs root.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab.ordinary import judge, report
from tests.lab.ordinary.life import live
from tests.lab.ordinary.populations import EVERYONE
from tests.lab.support import program


def main(words: Sequence[str]) -> int:
    parser = program.parser("ordinary", __doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long the 24 hours take")
    parser.add_argument("--captures", type=Path, help="directory with index.csv, whose innocent captures are played")
    parser.add_argument("--keep", type=Path, help="new folder for all logs and what the sensor captured")
    arguments = program.begin(parser, words)
    program.need_root(parser)
    lived = live(arguments.minutes, arguments.captures, arguments.keep)
    judgements = judge.judged(lived, judge.Register(EVERYONE, lived.playlist))
    wrong = [*judge.wrong(judgements), *judge.missed(lived, EVERYONE), *lived.faults]
    page = report.page(lived, EVERYONE, judgements, wrong)
    print(page)
    if arguments.output:
        (arguments.output / "ordinary.md").write_text(page, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
