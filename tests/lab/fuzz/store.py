"""Seeds and finds as text: one JSON object a line, bytes as Latin-1."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"


class Case(NamedTuple):
    """An input, and what it is, or what it once did."""

    why: str
    data: bytes


def read(folder: Path, target: str) -> list[Case]:
    """The cases of a target; none where there is no file."""
    path = folder / f"{target}.jsonl"
    if not path.exists():
        return []
    found = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Case(one["why"], one["input"].encode("latin-1")) for one in found]


def write(folder: Path, target: str, cases: Iterable[Case]) -> None:
    """Replace the cases of a target."""
    lines = (json.dumps({"why": case.why, "input": case.data.decode("latin-1")}) + "\n" for case in cases)
    (folder / f"{target}.jsonl").write_text("".join(lines), encoding="utf-8")
