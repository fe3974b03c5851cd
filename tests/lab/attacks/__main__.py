"""Plays attacks against the sensor, and writes docs/measurements/attacks.md.

    python -m tests.lab.attacks [--quick] [-o DIR] [--results FILE] [NAME...]

A NAME is an attack or the beginning of one. Needs root. The whole run takes more than an hour; FILE keeps
what was found, so that a run of other attacks adds to it. The page is written when nothing is missing.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.lab.attacks import report
from tests.lab.attacks.attack import Attack
from tests.lab.attacks.everything import ATTACKS, CLASSES, play
from tests.lab.attacks.quick import is_quick
from tests.lab.attacks.report import Row
from tests.lab.support import program


def _played(attack: Attack) -> Row | str:
    """The outcome, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        try:
            return report.row(attack, play(attack, Path(folder)))
        except (AssertionError, OSError) as error:
            return f"{attack.name}: not played: {error}"
        except pytest.skip.Exception as reason:
            return f"{attack.name}: not possible here: {reason}"


def _all_played(attacks: Sequence[Attack], jobs: int) -> Iterator[Row | str]:
    """Replays beside each other; live ones alone, because they measure time."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(_played, [one for one in attacks if one.way == "replay"])
    yield from map(_played, [one for one in attacks if one.way == "live"])


def _earlier(path: Path | None) -> dict[str, Row]:
    if path is None or not path.exists():
        return {}
    known = {attack.name for attack in ATTACKS}
    found = (Row(**one) for one in json.loads(path.read_text(encoding="utf-8")))
    return {one.name: one for one in found if one.name in known}


def main(words: Sequence[str]) -> int:
    """Play them; exit with 1 if something did not come out as expected."""
    parser = program.parser("attacks", __doc__)
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--quick", action="store_true", help="what the tests play")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="replays beside each other")
    parser.add_argument("--results", type=Path, help="file with the results of earlier runs, and of this one")
    arguments = program.begin(parser, words)
    unknown = [name for name in arguments.names if not any(one.name.startswith(name) for one in ATTACKS)]
    if unknown:
        parser.error(f"no such attack: {', '.join(unknown)}")
    program.need_root(parser)
    chosen = [
        attack
        for attack in ATTACKS
        if (not arguments.names or attack.name.startswith(tuple(arguments.names)))
        and (not arguments.quick or is_quick(attack))
    ]
    known, failed, begun = _earlier(arguments.results), 0, time.monotonic()
    for outcome in _all_played(chosen, arguments.jobs):
        if isinstance(outcome, str):
            failed += 1
            print(outcome, flush=True)
            continue
        known[outcome.name] = outcome
        failed += not outcome.is_expected
        result = "ok" if outcome.is_expected else f"NOT EXPECTED: {outcome.missed}"
        print(outcome.name, outcome.seen_as, outcome.verdict, outcome.could_ban, result, sep=" | ", flush=True)
        if arguments.results:
            arguments.results.write_text(json.dumps([asdict(one) for one in known.values()]), encoding="utf-8")
    print(f"{len(chosen) - failed} of {len(chosen)} as expected, in {time.monotonic() - begun:.0f} s")
    missing = [attack.name for attack in ATTACKS if attack.name not in known]
    if missing:
        print(f"no page is written: {len(missing)} attacks have no result, {missing[0]} for one")
    elif arguments.output:
        rows = {name: [known[one.name] for one in attacks] for name, attacks in CLASSES.items()}
        (arguments.output / report.PAGE).write_text(report.markdown(rows), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
