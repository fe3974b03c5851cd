"""Measures what a fleet does, part by part; writes docs/measurements/fleet.md.

    python -m tests.lab.fleet [--only PART] [--broker FILE] [--old FILE] [-o DIR]

Exits with 1 if something is not as promised. Some parts need root. The part "old brokers" tries the stolen key with
each nats-server that --old names.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.fleet import brokers, partition, protected, stolen_key, subscribers, wire
from tests.lab.fleet.measured import Measured
from tests.lab.support import program
from tests.lab.support.page import put
from tests.lab.support.tables import table
from tests.support.fleet_lab import BROKER

PAGE = "fleet.md"
OLD = "old brokers"
PARTS: dict[str, Callable[[Path, Path], Measured]] = {
    "stolen key": stolen_key.measure,
    "protected": protected.measure,
    "brokers": brokers.measure,
    "partition": partition.measure,
    "wire": wire.measure,
    "subscribers": subscribers.measure,
}


def old_brokers(folder: Path, programs: Sequence[Path]) -> Measured:
    """The stolen key with brokers that are no longer safe."""
    rows = [stolen_key.on_old_broker(folder / str(number), one) for number, one in enumerate(programs)]
    head = ("nats-server", "what each host says of it", "attacks without an effect beyond the quota")
    return Measured(table(head, rows), all("nats-server" in said for _, said, _ in rows))


def main(words: Sequence[str]) -> int:
    """Measure the parts, and write each where it belongs."""
    parser = program.parser("fleet", __doc__)
    parser.add_argument("--only", metavar="PART", choices=(*PARTS, OLD), action="append", help=", ".join((*PARTS, OLD)))
    parser.add_argument("--broker", type=Path, default=BROKER, help="nats-server")
    parser.add_argument("--old", metavar="FILE", type=Path, action="append", default=[], help="an older one")
    arguments = program.begin(parser, words)
    holds = True
    for name in arguments.only or (*PARTS, *((OLD,) if arguments.old else ())):
        with tempfile.TemporaryDirectory(prefix="portsentry-lab-") as folder:
            place = Path(folder)
            measured = old_brokers(place, arguments.old) if name == OLD else PARTS[name](place, arguments.broker)
        print(measured.text, flush=True)
        holds &= measured.holds
        if arguments.output:
            put(arguments.output / PAGE, name, measured.text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
