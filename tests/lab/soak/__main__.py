"""Shows that memory and cost per packet do not drift, and writes the tables of reliability.md.

    python -m tests.lab.soak [--hours N] [--minutes N] [-o DIR]

A simulated day goes through the sensor at full speed; then it runs live. Needs root.
"""

import sys
from collections.abc import Sequence

from tests.lab.soak import live, simulated
from tests.lab.soak.quarters import shown
from tests.lab.support import page, program

PAGE = "reliability.md"


def _simulated(hours: int) -> str:
    quarters, last, lines = simulated.measure(hours)
    told = ", ".join(f"{number} {name}" for name, number in sorted(lines.items()))
    return (
        f"{hours} simulated hours: {last['packets']:,} packets, {last['renewals']} renewals, "
        f"{last['restarts']} restarts; lines: {told}.\n\n{shown(quarters)}"
    )


def _live(minutes: int) -> str:
    quarters, last = live.measure(minutes * 60)
    return (
        f"{minutes} minutes live: {last['packets_seen']:,} packets seen, {last['packets_dropped']} dropped, "
        f"{last['packets_missed']} missed, {last['restarts']} restarts, {last['renewals']} renewals.\n\n"
        f"{shown(quarters)}"
    )


def main(words: Sequence[str]) -> int:
    parser = program.parser("soak", __doc__)
    parser.add_argument("--hours", type=int, default=24, help="simulated; 0 leaves this part out")
    parser.add_argument("--minutes", type=int, default=20, help="live; 0 leaves this part out")
    arguments = program.begin(parser, words)
    program.need_root(parser)
    for name, part, size in (("simulated", _simulated, arguments.hours), ("live", _live, arguments.minutes)):
        if not size:
            continue
        text = part(size)
        print(f"\n== {name}\n\n{text}", flush=True)
        if arguments.output:
            page.put(arguments.output / PAGE, f"soak {name}", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
