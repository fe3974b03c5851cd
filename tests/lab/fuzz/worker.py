"""Fuzzes one target in this process: `python -m tests.lab.fuzz.worker TARGET INPUTS SECONDS CORPUS FINDS`.

CORPUS is a folder of inputs, read, and grown where coverage guides the search; FINDS gets a case for each
place that raised. How far it is stands on standard error, in libFuzzer's form; `__main__` reads the last of
it.
"""

import importlib
import pkgutil
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, NamedTuple

from tests.lab.fuzz.store import Case, read, write
from tests.lab.fuzz.targets import TARGETS, Target
from tests.lab.fuzz.trial import Trial, changed
from tests.support.paths import PACKAGE

Check = Callable[[bytes], None]

# libFuzzer's; an input that takes longer or more is a find.
_MOST_SECONDS = 25
_MOST_MIB = 2048
_POOL = 2_000
_REPORTED = 50


class Limits(NamedTuple):
    """When it ends: 0 inputs mean that time alone counts."""

    inputs: int
    seconds: int


class Finds:
    """The places that raised, each with an input that shows it."""

    def __init__(self, folder: Path, name: str, trial: Trial) -> None:
        self._folder = folder
        self._name = name
        self._trial = trial
        self._places: set[tuple[str, str, int | None]] = set()

    def check(self, data: bytes) -> None:
        """Try an input; keep it if it is the first to fail there."""
        try:
            self._trial(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a find
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = (type(error).__name__, last.filename, last.lineno)
            known = place in self._places
            self._places.add(place)
            found = b"" if known else self._trial.reproduction()
            if not known:
                traceback.print_exc()
                self._keep(f"{place[0]} at {Path(last.filename).name}:{last.lineno}", found)

    def _keep(self, why: str, data: bytes) -> None:
        write(self._folder, self._name, [*read(self._folder, self._name), Case(why, data)])


def main(words: list[str]) -> None:
    """Fuzz until a number of inputs or of seconds is reached."""
    name, inputs, seconds, corpus, finds = words
    target = TARGETS[name]
    with _instrumented(target):
        module = importlib.import_module(f"tests.lab.fuzz.{name}")
    check = Finds(Path(finds), name, getattr(module, "Columns", lambda: Trial(module.check))()).check
    limits = Limits(int(inputs), int(seconds))
    search = _guided if target.modules else _blind
    search(module, target, check, limits, Path(corpus))


def _instrumented(target: Target) -> AbstractContextManager[Any]:
    """Modules of the sensor that are imported within are watched, those of the target."""
    if not target.modules:
        return nullcontext()
    import atheris  # noqa: PLC0415 - not needed by the others

    everything = {found.name for found in pkgutil.walk_packages([str(PACKAGE)], "portsentry_py.")}
    others = everything - {f"portsentry_py.{name}" for name in target.modules}
    instrumented: AbstractContextManager[Any] = atheris.instrument_imports(
        include=["portsentry_py"], exclude=["portsentry_py", *others]
    )
    return instrumented


def _guided(module: ModuleType, target: Target, check: Check, limits: Limits, corpus: Path) -> None:
    """Keep what reaches something new, and change that."""
    import atheris  # noqa: PLC0415 - not needed by the others

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        return _mutated(module, data, random, lambda some: atheris.Mutate(some, most))[:most]

    options = {
        "runs": limits.inputs or -1,
        "max_total_time": limits.seconds,
        "max_len": target.longest,
        "timeout": _MOST_SECONDS,
        "rss_limit_mb": _MOST_MIB,
        "artifact_prefix": f"{corpus.parent}/",
        "print_final_stats": 1,
    }
    words = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *words, str(corpus)], check, custom_mutator=mutate, internal_libfuzzer=True)
    atheris.Fuzz()


def _blind(module: ModuleType, target: Target, check: Check, limits: Limits, corpus: Path) -> None:
    """Change what is there, and some of what came of it."""
    random = Random(int(time.time()))
    pool = [path.read_bytes() for path in sorted(corpus.iterdir())]
    seeds = len(pool)
    until, done = time.monotonic() + limits.seconds, 0
    while time.monotonic() < until and (not limits.inputs or done < limits.inputs):
        data = _mutated(module, random.choice(pool), random, lambda some: changed(some, random))[: target.longest]
        check(data)
        done += 1
        if done % _REPORTED == 0:
            print(f"#{done}\tpulse  corp: {len(pool)}/", file=sys.stderr)
        if len(pool) < _POOL:
            pool.append(data)
        elif random.random() < 1 / 8:
            pool[random.randrange(seeds, len(pool))] = data
    print(f"#{done}\tDONE   corp: {len(pool)}/", file=sys.stderr)


def _mutated(module: ModuleType, data: bytes, random: Random, raw: Callable[[bytes], bytes]) -> bytes:
    found: bytes = module.mutated(data, random, raw)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
