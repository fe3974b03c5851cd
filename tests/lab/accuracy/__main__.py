"""Replays labelled captures, scores them, and writes accuracy.md and accuracy.json."""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.lab.accuracy import report
from tests.lab.accuracy.score import score
from tests.lab.support import labelled


def main() -> int:
    """Score every capture of a directory; 1 if anything that is scored is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.accuracy", description=__doc__)
    parser.add_argument("captures", type=Path, help="directory with index.csv and the captures")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("docs/measurements"), help="directory for the two files"
    )
    arguments = parser.parse_args()
    captures = labelled.read(arguments.captures)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        scores = list(pool.map(score, captures))
    arguments.output.mkdir(parents=True, exist_ok=True)
    peers = arguments.output / "compare.md"  # what `make compare` wrote
    page = report.markdown(scores, peers.read_text(encoding="utf-8") if peers.exists() else "")
    (arguments.output / "accuracy.md").write_text(page, encoding="utf-8")
    rows = [asdict(one) for one in scores]
    (arguments.output / "accuracy.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    wrong = report.failures(scores)
    for one in wrong:
        print(one)
    print(f"{len(scores)} captures, {len(wrong)} of the scored ones wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
