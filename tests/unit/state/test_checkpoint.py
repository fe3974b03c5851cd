"""When the state goes to disk, and what comes back."""

import time
from pathlib import Path

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.state.checkpoint import Checkpoint
from portsentry_py.state.file import StateFile
from tests.support.build import SCANNER, US, evidence, micros, refused, strict, syn, watch

FIRST, REST = (refused(syn(SCANNER, *ports, at=ports[0] - 2000)) for ports in ((2000, 2001), (2002, 2003)))


class Clock:
    """Stands still until a test sets it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def sensor(path: Path | str, at: float = 0) -> tuple[Pipeline, Checkpoint]:
    engine = Pipeline(strict(), US)
    checkpoint = Checkpoint(engine, str(path))
    checkpoint.restore(micros(at))
    return engine, checkpoint


def saved(path: Path, checkpoint: Checkpoint) -> bool:
    """As many steps as a save takes; whether there is a file then."""
    for _ in range(10):
        checkpoint.step()
    if checkpoint._file is not None:
        checkpoint._file._join()
    return path.exists()


def test_the_next_sensor_knows_what_this_one_knew(tmp_path: Path) -> None:
    engine, checkpoint = sensor(tmp_path / "state")
    watch(engine, FIRST)
    checkpoint.close()
    engine, checkpoint = sensor(tmp_path / "state", at=9)
    assert evidence(watch(engine, REST))


def test_it_saves_every_five_minutes(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "state"
    engine, checkpoint = sensor(path)
    watch(engine, FIRST)
    clock.now += 299
    assert not saved(path, checkpoint)
    clock.now += 1
    assert saved(path, checkpoint)
    path.unlink()
    assert not saved(path, checkpoint)
    clock.now += 300
    assert not saved(path, checkpoint), "nothing has changed"
    watch(engine, REST)
    clock.now += 300
    assert saved(path, checkpoint)


def test_a_step_encodes_one_piece(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portsentry_py.state.codec._SOURCES_IN_BLOCK", 1)
    engine, checkpoint = sensor(tmp_path / "state")
    watch(engine, *(syn(f"203.0.113.{nth}", 2000, 2001) for nth in range(5)))
    clock.now += 300
    made: list[int] = []
    while checkpoint._encoder is not None or not made:
        checkpoint.step()
        made.append(len(checkpoint._pieces))
    assert made == [1, 2, 3, 4, 5, 0]
    checkpoint.close()


def test_off_saves_nothing(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine, checkpoint = sensor("off")
    watch(engine, FIRST)
    clock.now += 300
    checkpoint.step()
    checkpoint.close()
    assert list(tmp_path.iterdir()) == []


def test_a_whole_file_that_holds_no_snapshot_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = StateFile(tmp_path / "state")
    file.load()
    file.close([b"\0" * 99])
    engine, checkpoint = sensor(tmp_path / "state")
    (said,) = caplog.messages
    assert "the state cannot be used" in said
    watch(engine, FIRST)
    checkpoint.close()
    assert {one.name for one in tmp_path.iterdir()} == {"state", "state.broken", "state.lock"}
