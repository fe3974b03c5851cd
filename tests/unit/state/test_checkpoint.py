"""When what is known goes to disk, and what comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.state.checkpoint import Checkpoint
from portsentry_py.state.file import StateFile
from tests.support.build import SCANNER, US, evidence, micros, refused, strict, syn, watch

FIRST, REST = (refused(syn(SCANNER, *ports, at=ports[0] - 2000)) for ports in ((2000, 2001), (2002, 2003)))


class Clock:
    """Stands still unless it is told to go on."""

    now = 1000.0

    def __call__(self) -> float:
        """What time.monotonic says."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of this test."""
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def sensor(path: Path | str, at: float = 0) -> tuple[Pipeline, Checkpoint]:
    engine = Pipeline(strict(), US)
    memory = Checkpoint(engine, str(path))
    memory.recall(micros(at))
    return engine, memory


def saved(path: Path, memory: Checkpoint) -> bool:
    """Go round as often as a save takes; whether there is one then."""
    for _ in range(10):
        memory.tick()
    if memory._file is not None:
        memory._file._join()
    return path.exists()


def test_what_one_sensor_knew_the_next_one_knows(tmp_path: Path) -> None:
    engine, memory = sensor(tmp_path / "state")
    watch(engine, FIRST)
    memory.close()
    engine, memory = sensor(tmp_path / "state", at=9)
    assert evidence(watch(engine, REST))


def test_it_saves_every_five_minutes(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "state"
    engine, memory = sensor(path)
    watch(engine, FIRST)
    clock.now += 299
    assert not saved(path, memory)
    clock.now += 1
    assert saved(path, memory)
    path.unlink()
    assert not saved(path, memory)
    clock.now += 300
    assert not saved(path, memory), "nothing has changed"
    watch(engine, REST)
    clock.now += 300
    assert saved(path, memory)


def test_it_makes_a_piece_at_a_time(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portsentry_py.state.codec._SOURCES_IN_BLOCK", 1)
    engine, memory = sensor(tmp_path / "state")
    watch(engine, *(syn(f"203.0.113.{nth}", 2000, 2001) for nth in range(5)))
    clock.now += 300
    made: list[int] = []
    while memory._coming is not None or not made:
        memory.tick()
        made.append(len(memory._pieces))
    assert made == [1, 2, 3, 4, 5, 6, 6]
    memory.close()


def test_off_keeps_nothing(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine, memory = sensor("off")
    watch(engine, FIRST)
    clock.now += 300
    memory.tick()
    memory.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_whole_and_yet_none_of_ours_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = StateFile(tmp_path / "state")
    file.load()
    file.close([b"\0" * 99])
    engine, memory = sensor(tmp_path / "state")
    (said,) = caplog.messages
    assert "no state to start from" in said
    watch(engine, FIRST)
    memory.close()
    assert {one.name for one in tmp_path.iterdir()} == {"state", "state.broken", "state.lock"}
