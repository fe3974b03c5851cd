"""Fuzzes what reads hostile input.

    python -m tests.lab.fuzz [--inputs N] [--seconds S] [-o DIR] [TARGET...]

Without a target, all of them, one after the other; each as long as targets.py says. What raises is kept, as
few bytes as show it, in the folder of `--finds`; once mended, it belongs into tests/fuzz/regressions/,
which the ordinary tests run. `--corpus` makes tests/fuzz/corpus/ again from the repository's own captures,
and fuzzes nothing.

Needs Python 3.11 to 3.13 for what coverage guides: `pip install -e '.[test,fuzz]'`.
"""

import importlib
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.lab.fuzz.store import CORPUS, REGRESSIONS, Case, read, write
from tests.lab.fuzz.targets import TARGETS
from tests.lab.support import page, program
from tests.lab.support.tables import table

PAGE = "fuzzing.md"
_LAST = re.compile(r"^#(\d+)\s.*corp: (\d+)/", re.MULTILINE)
_GRACE_SECONDS = 60


class Row(NamedTuple):
    target: str
    inputs: int
    seconds: float
    corpus: int
    finds: list[str]

    def cells(self) -> list[str]:
        a_second = f"{self.inputs / max(self.seconds, 0.001):,.0f}"
        return [
            f"`{self.target}`: {TARGETS[self.target].about}",
            f"{self.inputs:,}",
            a_second,
            f"{self.corpus:,}",
            str(len(self.finds)),
        ]


def fuzz(name: str, inputs: int, seconds: int, finds: Path) -> Row:
    """Fuzz one target in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-fuzz-") as place:
        corpus = Path(place, "corpus")
        corpus.mkdir()
        for nth, case in enumerate(read(CORPUS, name) + read(REGRESSIONS, name)):
            (corpus / f"{nth:04}").write_bytes(case.data)
        before = len(read(finds, name))
        words = [sys.executable, "-m", "tests.lab.fuzz.worker", name, *map(str, (inputs, seconds, corpus, finds))]
        said = Path(place, "said")
        began = time.monotonic()
        with said.open("wb") as file:
            process = subprocess.Popen(words, stdout=file, stderr=file)
            while process.poll() is None and time.monotonic() < began + seconds + _GRACE_SECONDS:
                time.sleep(0.2)
                _show(name, said)
            process.kill()
            code = process.wait()
        took = time.monotonic() - began
        text = said.read_text(encoding="utf-8", errors="replace")
        found = [case.why for case in read(finds, name)[before:]]
        for artefact in sorted(one for one in Path(place).iterdir() if one.is_file() and one != said):
            # libFuzzer itself gave up: too long, or too much memory.
            kind = artefact.name.partition("-")[0]
            write(finds, name, [*read(finds, name), Case(kind, artefact.read_bytes())])
            found.append(kind)
        if code and not found:
            raise SystemExit(f"{name}: the fuzzer ended with {code}\n{text[-3000:]}")
    done, corp = _progress(text)
    return Row(name, done, took, corp, found)


def _progress(text: str) -> tuple[int, int]:
    """Inputs and corpus, as the fuzzer said last."""
    *_, (done, corpus) = [("0", "0"), *_LAST.findall(text)]
    return int(done), int(corpus)


def _show(name: str, said: Path) -> None:
    if sys.stderr.isatty():
        done, corpus = _progress(said.read_text(encoding="utf-8", errors="replace"))
        print(f"\r{name}: {done:,} inputs, corpus {corpus} ", end="", file=sys.stderr, flush=True)


def shown(rows: Sequence[Row]) -> str:
    head = ("target", "inputs", "inputs a second", "corpus", "finds")
    return table(head, (row.cells() for row in rows))


def growth() -> str:
    """How the time that fail2ban takes for a line grows with its length."""
    from tests.lab.fuzz.jail import growth as measured  # noqa: PLC0415 - needs fail2ban

    ratios = ", ".join(f"{mode} {ratio:.1f}" for mode, ratio in measured())
    return f"Hostile lines eight times as long took fail2ban so many times longer: {ratios}.\n"


def regenerate(names: Sequence[str]) -> None:
    for name in names:
        seeds: list[bytes] = importlib.import_module(f"tests.lab.fuzz.{name}").seeds()
        write(CORPUS, name, [Case("seed", seed) for seed in seeds])
        print(f"{name}: {len(seeds)} seeds")


def main(words: Sequence[str]) -> int:
    """Fuzz target by target; exit with 1 if something was found."""
    parser = program.parser("fuzz", __doc__)
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=f"some of {', '.join(TARGETS)}")
    parser.add_argument("--inputs", type=int, help="inputs of each target; 0: until the time is over")
    parser.add_argument("--seconds", type=int, help="the longest time for each target")
    parser.add_argument("--finds", type=Path, default=Path("fuzz-finds"), help="folder for what is found")
    parser.add_argument("--corpus", action="store_true", help="make the seeds again, and nothing else")
    arguments = program.begin(parser, words)
    names = arguments.targets or list(TARGETS)
    unknown = sorted(set(names) - set(TARGETS))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    if arguments.corpus:
        regenerate(names)
        return 0
    if any(TARGETS[name].modules for name in names) and importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; with Python 3.11 to 3.13 do: pip install -e '.[test,fuzz]'")
    arguments.finds.mkdir(exist_ok=True)
    rows = list(_rows(names, arguments.inputs, arguments.seconds, arguments.finds))
    text = shown(rows) + ("\n" + growth() if "jail" in names else "")
    print(f"\n{text}")
    if arguments.output:
        page.put(arguments.output / PAGE, "fuzz", text)
    return 1 if any(row.finds for row in rows) else 0


def _rows(names: Sequence[str], inputs: int | None, seconds: int | None, finds: Path) -> Iterator[Row]:
    for name in names:
        target = TARGETS[name]
        # A limit that is asked for replaces both of the target's own.
        asked = inputs is not None or seconds is not None
        row = fuzz(
            name, (inputs or 0) if asked else target.inputs, (seconds or 24 * 3600) if asked else target.seconds, finds
        )
        print(*row.cells(), *row.finds, sep="  ", flush=True)
        yield row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
