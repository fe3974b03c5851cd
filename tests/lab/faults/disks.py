"""Places for a log: a memory, a disk, and a disk on top of another."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.disk import run
from tests.support.needs import require_tool, unsupported

_MEMORY = "64m"
_DISK_BYTES = 32 << 20


@contextmanager
def memory(folder: Path) -> Iterator[Path]:
    """A small file system in memory."""
    place = folder / "memory"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={_MEMORY}", "tmpfs", place)
    try:
        yield place
    finally:
        run("umount", "--lazy", place)


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A small file system that is really on a disk."""
    place = folder / "disk"
    place.mkdir()
    with inserted(folder / "disk.img", place):
        yield place


@contextmanager
def inserted(image: Path, place: Path) -> Iterator[None]:
    """Make a disk and mount it, on top of what is mounted there."""
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    run(require_tool("mkfs.ext4"), "-q", image)
    mounted = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, check=False)
    if mounted.returncode:
        unsupported(f"a file cannot be mounted here: {mounted.stderr.decode()}")
    try:
        yield
    finally:
        run("umount", "--lazy", place)
