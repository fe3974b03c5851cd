"""Faults of the log: no room, no directory, rotated under the sensor, or slow."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.fault import Fault, Observed, Stage
from tests.faults.scene import Sender, playing
from tests.tools import require_tool

_NAME = "portsentry.log"
_FAILS, _WORKS = "lines wait until it can be written", "can be written again"
_FULL_SECONDS, _SLOW_SECONDS, _VERY_SLOW_SECONDS = 1.0, 3.0, 20.0
_BURST, _BURST_PER_SECOND = 30_000, 5_000
_ROTATIONS, _ROTATE_SECONDS = 3, 0.3
# How much older than the time of its writing a line may be.
_DELAY_SECONDS = 2.0
_SIZE = "64m"
_LIMIT_BYTES = 10_000


def _mount(*words: str | Path) -> None:
    done = subprocess.run(
        ["mount", *map(str, words)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, timeout=30, check=True)


@contextmanager
def _in_memory(stage: Stage) -> Iterator[Path]:
    """Give a small file system."""
    folder = stage.folder / "log"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", folder)
    try:
        yield folder
    finally:
        _unmount(folder)


def _image(stage: Stage, name: str) -> Path:
    """Make a disk."""
    image = stage.folder / name
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run([require_tool("mkfs.ext4"), "-q", str(image)], check=True, timeout=60)
    return image


@contextmanager
def _on_disk(stage: Stage) -> Iterator[Path]:
    """Give a file system that is really on a disk."""
    folder = stage.folder / "log"
    folder.mkdir()
    _mount("-o", "loop", _image(stage, "disk"), folder)
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """No room is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


def _full(stage: Stage) -> Observed:
    with _in_memory(stage) as folder, playing(stage, log=folder / _NAME) as scene:
        scene.steady()
        scene.strike()
        with _filled(folder):
            scene.told(_FAILS)
            time.sleep(_FULL_SECONDS)
        scene.mended()
        scene.told(_WORKS)
        scene.sees()
        return scene.observed("written when there was room again")


def _full_for_long(stage: Stage) -> Observed:
    with _in_memory(stage) as folder, playing(stage, log=folder / _NAME) as scene:
        scene.steady()
        scene.strike()
        with _filled(folder):
            scene.told(_FAILS)
            Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND, count=_BURST).finish(stop=False)
        scene.mended()
        scene.told(_WORKS)
        scene.sees()
        observed = scene.observed("what had to wait too long was counted")
        lost = scene.sensor.lines()[-1]["lines_lost"]
        assert lost == observed.lost > 0, f"`lines_lost` {lost}, and {observed.lost} are lost"
        return observed


def _limited(stage: Stage) -> Observed:
    with playing(stage) as scene:
        scene.steady()
        scene.strike()
        pid, size = scene.sensor.process.pid, scene.sensor.log.stat().st_size
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + _LIMIT_BYTES, hard))
        scene.told(_FAILS)
        time.sleep(_FULL_SECONDS)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        scene.mended()
        scene.told(_WORKS)
        scene.sees()
        return scene.observed("written when there was room again")


def _read_only(stage: Stage) -> Observed:
    with _on_disk(stage) as folder, playing(stage, log=folder / _NAME) as scene:
        scene.steady()
        scene.strike()
        # What ext4 does by itself at an error of the disk.
        _mount("-o", "remount,abort", folder)
        scene.told(_FAILS)
        kept = Path(shutil.copyfile(scene.sensor.log, stage.folder / "kept"))
        # On top of the other: between the two, the log would be written to the directory under both.
        _mount("-o", "loop", _image(stage, "other"), folder)
        try:
            scene.mended()
            scene.told(_WORKS)
            scene.sees()
            return scene.observed("written to the new disk", logs=[kept, scene.sensor.log])
        finally:
            _unmount(folder)


def _directory(stage: Stage) -> Observed:
    folder = stage.folder / "log"
    folder.mkdir()
    with playing(stage, log=folder / _NAME) as scene:
        scene.steady()
        scene.strike()
        kept = stage.folder / "kept"
        kept.hardlink_to(scene.sensor.log)
        shutil.rmtree(folder)
        scene.told(_FAILS)
        folder.mkdir()
        scene.mended()
        scene.told(_WORKS)
        scene.sees()
        return scene.observed("written when it was there again", logs=[kept, scene.sensor.log])


def _rotated(rotate: Callable[[Path, Path], None]) -> Callable[[Stage], Observed]:
    def happens(stage: Stage) -> Observed:
        with playing(stage) as scene:
            scene.steady()
            burst = Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND)
            scene.strike()
            old = [stage.folder / f"{_NAME}.{number}" for number in range(_ROTATIONS)]
            for path in old:
                rotate(scene.sensor.log, path)
                time.sleep(_ROTATE_SECONDS)
            scene.mended()
            burst.finish()
            scene.sees()
            return scene.observed(f"{_ROTATIONS} times in a burst", logs=[*old, scene.sensor.log])

    return happens


def _rename(log: Path, old: Path) -> None:
    log.rename(old)


def _delete(log: Path, old: Path) -> None:
    old.hardlink_to(log)
    log.unlink()


def _copied_and_truncated(stage: Stage) -> Observed:
    with playing(stage) as scene:
        scene.steady()
        burst = Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND)
        scene.sees(dest_port=8_500)
        scene.strike()
        old = stage.folder / f"{_NAME}.1"
        begun = time.time()
        shutil.copyfile(scene.sensor.log, old)
        os.truncate(scene.sensor.log, 0)
        between = (begun - _DELAY_SECONDS, time.time())
        scene.mended()
        scene.sees()
        burst.finish()
        # The copy may end within a line.
        old.write_bytes(old.read_bytes().rpartition(b"\n")[0] + b"\n")
        return scene.observed("once in a burst", gaps=[between], logs=[old, scene.sensor.log], recovers=False)


def _slow_reader(stage: Stage) -> Observed:
    with playing(stage, piped=True) as scene:
        scene.steady()
        scene.strike()
        scene.sensor.reads.clear()
        time.sleep(_SLOW_SECONDS if stage.short else _VERY_SLOW_SECONDS)
        scene.sensor.reads.set()
        scene.mended()
        scene.sees()
        return scene.observed("written when it was read again")


def _frozen(stage: Stage) -> Observed:
    with _on_disk(stage) as folder, playing(stage, log=folder / _NAME) as scene:
        scene.steady()
        scene.strike()
        _freeze("--freeze", folder)
        try:
            time.sleep(_SLOW_SECONDS if stage.short else _VERY_SLOW_SECONDS)
        finally:
            _freeze("--unfreeze", folder)
        scene.mended()
        scene.sees()
        return scene.observed("written when it could be again")


def _freeze(how: str, folder: Path) -> None:
    subprocess.run([require_tool("fsfreeze"), how, str(folder)], check=True, timeout=30)


_WAITS = "told; lines wait and none is lost"
_NONE_LOST = "nothing is lost"
FAULTS = (
    Fault("disk-full", "the disk of the log is full", _WAITS, _full),
    Fault(
        "disk-full-long",
        f"the disk is full while {_BURST:,} lines come",
        "told; what does not wait is counted in `lines_lost`",
        _full_for_long,
    ),
    Fault("file-limit", "no file may grow (RLIMIT_FSIZE)", _WAITS, _limited),
    Fault("disk-read-only", "the disk turns read-only, then there is another", _WAITS, _read_only),
    Fault("log-directory", "the directory of the log is deleted and made anew", _WAITS, _directory),
    Fault(
        "log-renamed",
        "the log is rotated by renaming",
        _NONE_LOST,
        _rotated(_rename),
    ),
    Fault("log-deleted", "the log is deleted", "a new one; nothing else is lost", _rotated(_delete)),
    Fault(
        "log-truncated",
        "the log is rotated by copying and truncating",
        "nothing is lost but what comes between the two",
        _copied_and_truncated,
    ),
    Fault("log-pipe", "nobody reads standard output for 20 s", _NONE_LOST, _slow_reader),
    Fault("log-frozen", "the disk of the log takes nothing for 20 s", _NONE_LOST, _frozen),
)
