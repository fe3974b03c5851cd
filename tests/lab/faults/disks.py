"""Places for a log: a memory, a disk, and a disk on top of another."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.disk import mounted
from tests.support.running import run

_MEMORY = "64m"
_DISK_BYTES = 32 << 20


@contextmanager
def memory(folder: Path) -> Iterator[Path]:
    place = folder / "memory"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={_MEMORY}", "tmpfs", place)
    try:
        yield place
    finally:
        run("umount", "--lazy", place)


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Give a small file system that is really on a disk."""
    place = folder / "disk"
    place.mkdir()
    with inserted(folder / "disk.img", place):
        yield place


def inserted(image: Path, place: Path) -> AbstractContextManager[None]:
    """Make a disk and mount it, on top of what is mounted there."""
    return mounted(image, place, _DISK_BYTES)
