"""The state file shows what the sensor remembers, and a broken one is one sentence."""

from datetime import date
from pathlib import Path

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import InputError
from portsentry_py.state.checkpoint import Checkpoint
from portsentry_py.state.sources import read_memory
from tests.support.build import SCANNER, SCANNER6, US, refused, strict, syn, visit, watch

VISITOR = "198.51.100.7"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, visit(VISITOR, 80), refused(syn(SCANNER, 20, 21, at=9), syn(SCANNER6, 20, 21, 22, 24, at=10)))
    Checkpoint(pipeline, str(tmp_path / "state")).close()
    return tmp_path / "state"


def test_every_source_is_there_with_its_numbers(state: Path) -> None:
    memory = read_memory(state)
    assert memory is not None
    found = {one.address: one for one in memory.sources}
    assert {SCANNER, SCANNER6} <= set(found)
    assert (found[SCANNER].attempts, found[SCANNER].closed, found[SCANNER].score) == (2, 2, 6)
    assert (found[SCANNER].ports, found[SCANNER].sample) == (2, (21, 20))
    assert found[SCANNER].last_seen.startswith("2023-11-14T22:13:29")
    assert found[SCANNER6].source.endswith("/64")
    assert memory.visits == {VISITOR: (date(2023, 11, 14),)}


def test_no_file_is_no_error_and_a_broken_one_is_a_sentence(state: Path, tmp_path: Path) -> None:
    assert read_memory(tmp_path / "none") is None
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged"):
        read_memory(state)
    state.write_bytes(b"hello\n")
    with pytest.raises(InputError, match="not a state file"):
        read_memory(state)
