"""Faults of the log: no room, no directory, rotated under the sensor, or slow."""

import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from tests.lab.faults.accounting import time_of
from tests.lab.faults.disks import disk, inserted, memory
from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import Sender, playing, read_lines
from tests.support.disk import fill, frozen
from tests.support.running import run
from tests.support.waiting import wait_for

_NAME = "portsentry.log"
_FAILS, _WORKS = "Lines wait until then.", "can be written again"
_FULL_SECONDS, _SLOW_SECONDS, _VERY_SLOW_SECONDS = 1.0, 3.0, 20.0
_BURST, _BURST_PER_SECOND = 20_000, 8_000
_ROTATIONS, _ROTATE_SECONDS = 3, 0.3
# How much older than the line before it a line may be; a sensor on a busy machine is behind with all of them.
_DELAY_SECONDS = 2.0
_LIMIT_BYTES = 10_000


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """No room is left."""
    filler = fill(folder)
    yield
    filler.unlink()


def _full(stage: Stage) -> Observed:
    with memory(stage.folder) as folder, playing(stage, log=folder / _NAME) as scene:
        with _filled(folder):
            scene.says(_FAILS)
            time.sleep(_FULL_SECONDS)
        scene.mended()
        scene.says(_WORKS)
        scene.sees()
        return scene.observed("written when there was room again")


def _full_for_long(stage: Stage) -> Observed:
    with memory(stage.folder) as folder, playing(stage, log=folder / _NAME) as scene:
        with _filled(folder):
            scene.says(_FAILS)
            Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND, count=_BURST).finish(stop=False)
        scene.mended()
        scene.says(_WORKS)
        scene.sees()
        observed = scene.observed("what had to wait too long was counted")
        lost = scene.sensor.lines()[-1]["lines_lost"]
        assert lost == observed.lost > 0, f"`lines_lost` {lost}, and {observed.lost} are lost"
        return observed


def _limited(stage: Stage) -> Observed:
    with playing(stage) as scene:
        pid, size = scene.sensor.process.pid, scene.sensor.log.stat().st_size
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + _LIMIT_BYTES, hard))
        scene.says(_FAILS)
        time.sleep(_FULL_SECONDS)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        scene.mended()
        scene.says(_WORKS)
        scene.sees()
        return scene.observed("written when there was room again")


def _read_only(stage: Stage) -> Observed:
    with disk(stage.folder) as folder, playing(stage, log=folder / _NAME) as scene:
        # What ext4 does by itself at an error of the disk.
        run("mount", "-o", "remount,abort", folder)
        scene.says(_FAILS)
        kept = Path(shutil.copyfile(scene.sensor.log, stage.folder / "kept"))
        # On top of the other: between the two, the log would be written to the directory under both.
        with inserted(stage.folder / "other.img", folder):
            scene.mended()
            scene.says(_WORKS)
            scene.sees()
            return scene.observed("written to the new disk", logs=[kept, scene.sensor.log])


def _directory(stage: Stage) -> Observed:
    folder = stage.folder / "log"
    folder.mkdir()
    with playing(stage, log=folder / _NAME) as scene:
        with scene.sensor.log.open("rb") as deleted:
            shutil.rmtree(folder)
            scene.says(_FAILS)
            folder.mkdir()
            scene.mended()
            scene.says(_WORKS)
            scene.sees()
            kept = _copy(deleted, stage.folder / "kept")
        return scene.observed("written when it was there again", logs=[kept, scene.sensor.log])


def _copy(file: BinaryIO, path: Path) -> Path:
    """Keep what is in a file that has no name any more."""
    with path.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    return path


def _rotated(stage: Stage) -> Observed:
    with playing(stage) as scene:
        burst = Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND)
        old = [stage.folder / f"{_NAME}.{number}" for number in range(_ROTATIONS)]
        for path in old:
            scene.sensor.log.rename(path)
            scene.sensor.log.touch(0o640)
            time.sleep(_ROTATE_SECONDS)
        scene.mended()
        burst.finish()
        scene.sees()
        return scene.observed(f"{_ROTATIONS} times in a burst", logs=[*old, scene.sensor.log])


def _deleted(stage: Stage) -> Observed:
    with playing(stage) as scene:
        burst = Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND)
        logs = []
        for number in range(_ROTATIONS):
            with scene.sensor.log.open("rb") as deleted:
                scene.sensor.log.unlink()
                wait_for(scene.sensor.log.exists, "another log", evidence=scene.sensor.evidence)
                logs.append(_copy(deleted, stage.folder / f"kept{number}"))
        scene.mended()
        burst.finish()
        scene.sees()
        logs.append(scene.sensor.log)
        for old, new in pairwise(logs):
            _forget_doubled(old, new)
        return scene.observed(f"{_ROTATIONS} times in a burst", logs=logs)


def _forget_doubled(old: Path, new: Path) -> None:
    """A line that was written into a file just deleted is written again, where somebody can read it."""
    whole = old.read_bytes().splitlines(keepends=True)
    with new.open("rb") as file:
        first = file.readline()
    if whole[-1:] == [first]:
        old.write_bytes(b"".join(whole[:-1]))


def _copied_and_truncated(stage: Stage) -> Observed:
    with playing(stage) as scene:
        burst = Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND)
        scene.sees(dest_port=8_500)
        old = stage.folder / f"{_NAME}.1"
        shutil.copyfile(scene.sensor.log, old)
        os.truncate(scene.sensor.log, 0)
        truncated = time.time()
        scene.mended()
        scene.sees()
        burst.finish()
        # The copy may end within a line, whose rest came too late for it.
        old.write_bytes(old.read_bytes().rpartition(b"\n")[0] + b"\n")
        *_, last = (time_of(line) for line in read_lines([old]) if line["event_type"] == "connection")
        between = (last - _DELAY_SECONDS, truncated)
        return scene.observed("once in a burst", gaps=[between], logs=[old, scene.sensor.log], recovers=False)


def _slow_reader(stage: Stage) -> Observed:
    with playing(stage, piped=True) as scene:
        scene.sensor.reads.clear()
        time.sleep(_SLOW_SECONDS if stage.short else _VERY_SLOW_SECONDS)
        scene.sensor.reads.set()
        scene.mended()
        scene.sees()
        return scene.observed("written when it was read again")


def _frozen(stage: Stage) -> Observed:
    with disk(stage.folder) as folder, playing(stage, log=folder / _NAME) as scene:
        with frozen(folder):
            time.sleep(_SLOW_SECONDS if stage.short else _VERY_SLOW_SECONDS)
        scene.mended()
        scene.sees()
        return scene.observed("written when it could be again")


_WAITS = "reported; lines wait and none is lost"
_NONE_LOST = "nothing is lost"
FAULTS = (
    Fault("disk-full", "the disk of the log is full", _WAITS, _full),
    Fault(
        "disk-full-long",
        f"the disk is full while {_BURST:,} lines come",
        "reported; what does not wait is counted in `lines_lost`",
        _full_for_long,
    ),
    Fault("file-limit", "no file may grow (RLIMIT_FSIZE)", _WAITS, _limited),
    Fault("disk-read-only", "the disk turns read-only, then there is another", _WAITS, _read_only),
    Fault("log-directory", "the directory of the log is deleted and recreated", _WAITS, _directory),
    Fault("log-renamed", "the log is rotated by renaming", _NONE_LOST, _rotated),
    Fault("log-deleted", "the log is deleted", "a new one; nothing else is lost", _deleted),
    Fault(
        "log-truncated",
        "the log is rotated by copying and truncating",
        "nothing is lost but what comes between the two",
        _copied_and_truncated,
    ),
    Fault("log-pipe", "nobody reads standard output for 20 s", _NONE_LOST, _slow_reader),
    Fault("log-frozen", "the disk of the log takes nothing for 20 s", _NONE_LOST, _frozen),
)
