"""Measures what a fleet does, part by part; writes docs/measurements/fleet.md.

    python -m tests.lab.fleet [--only PART] [--broker nats-server] [-o DIR]

Exits with 1 if something is not as promised.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.fleet import brokers, stolen_key, subscribers, wire
from tests.lab.fleet.measured import Measured
from tests.lab.support import program
from tests.lab.support.page import put
from tests.support.fleet_lab import BROKER

PAGE = "fleet.md"
PARTS: dict[str, Callable[[Path, Path], Measured]] = {
    "stolen key": stolen_key.measure,
    "brokers": brokers.measure,
    "wire": wire.measure,
    "subscribers": subscribers.measure,
}


def main(words: Sequence[str]) -> int:
    """Measure the parts, and write each where it belongs."""
    parser = program.parser("fleet", __doc__)
    parser.add_argument("--only", metavar="PART", choices=PARTS, action="append", help=", ".join(PARTS))
    parser.add_argument("--broker", type=Path, default=BROKER, help="nats-server")
    arguments = program.begin(parser, words)
    holds = True
    for name in arguments.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="portsentry-lab-") as folder:
            measured = PARTS[name](Path(folder), arguments.broker)
        print(measured.text, flush=True)
        holds &= measured.holds
        if arguments.output:
            put(arguments.output / PAGE, name, measured.text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
