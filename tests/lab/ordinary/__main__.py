"""Lets an ordinary host live through a day, and says who lived there and who was banned."""

import argparse
import os
import sys
from pathlib import Path

from tests.lab.ordinary import judge, report
from tests.lab.ordinary.life import live
from tests.lab.ordinary.populations import EVERYONE


def main() -> int:
    """Live the day; 1 if an innocent was banned or a scanner was not, or if the day itself went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.ordinary", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long the 24 hours take")
    parser.add_argument(
        "--captures", type=Path, help="directory with index.csv, whose innocent captures are played"
    )
    parser.add_argument("--keep", type=Path, help="new folder for all logs and what the sensor captured")
    parser.add_argument(
        "-o", "--output", type=Path, help="directory for ordinary.md, as well as the terminal"
    )
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("network namespaces need root")
    lived = live(arguments.minutes, arguments.captures, arguments.keep)
    judgements = judge.judged(lived, judge.Register(EVERYONE, lived.album))
    wrong = [*judge.wrong(judgements), *judge.missed(lived, EVERYONE), *lived.faults]
    page = report.page(lived, EVERYONE, judgements, wrong)
    print(page)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "ordinary.md").write_text(page, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
