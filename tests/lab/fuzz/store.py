"""Seeds and finds as text: one JSON object a line, bytes as Latin-1."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import CASES

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


def expected_lines(*keys: str) -> list[bytes]:
    """The lines that the scenarios expect: the first of each kind, by these keys."""
    found: dict[tuple[object, ...], bytes] = {}
    for path in sorted(CASES.glob("*/expected.jsonl")):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            found.setdefault(tuple(map(record.get, keys)), line)
    return list(found.values())


def write(folder: Path, target: str, cases: Iterable[Case]) -> None:
    """Replace the cases of a target."""
    lines = (json.dumps({"why": case.why, "input": case.data.decode("latin-1")}) + "\n" for case in cases)
    (folder / f"{target}.jsonl").write_text("".join(lines), encoding="utf-8")
