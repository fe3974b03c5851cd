"""Replays labelled captures and scores them.

    python -m tests.lab.accuracy CAPTURES [-o DIR]

CAPTURES is a directory with index.csv and the captures. Each is replayed as it is, and damaged in four ways: packets
lost, out of order, twice, and all three. Writes accuracy.md, with what is in compare.md, and accuracy.json. Exits with
1 if anything that is scored of the whole captures is wrong.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.lab.accuracy import report
from tests.lab.accuracy.damage import DAMAGES, scores
from tests.lab.support import labelled, program
from tests.support.paths import MEASUREMENTS


def main(words: Sequence[str]) -> int:
    parser = program.parser("accuracy", __doc__)
    parser.add_argument("captures", type=Path)
    arguments = program.begin(parser, words)
    captures = labelled.read(arguments.captures)
    with program.workers(os.cpu_count()) as pool:
        whole, *damages = map(list, zip(*pool.map(scores, captures), strict=True))
    damaged = {damage.name: found for damage, found in zip(DAMAGES, damages, strict=True)}
    peers = (arguments.output or MEASUREMENTS) / "compare.md"
    page = report.markdown(whole, damaged, peers.read_text(encoding="utf-8") if peers.exists() else "")
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "accuracy.md").write_text(page, encoding="utf-8")
        rows = json.dumps([asdict(one) for one in whole], indent=1)
        (arguments.output / "accuracy.json").write_text(rows + "\n", encoding="utf-8")
    wrong = report.failures(whole)
    for one in wrong:
        print(one)
    print(report.summary(whole), report.damage(whole, damaged), sep="\n")
    print(f"{len(whole)} captures, {len(wrong)} of the scored ones wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
