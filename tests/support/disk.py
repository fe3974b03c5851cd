"""File systems of a test's own, which can be filled, frozen and broken."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import require_root, require_tool, unsupported
from tests.support.running import ran, run


@contextmanager
def mounted(image: Path, place: Path, size_bytes: int, *options: object) -> Iterator[None]:
    """Make an ext4 with these options of mkfs in a file, and mount it, on top of what is mounted there."""
    require_root()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    run(require_tool("mkfs.ext4"), "-q", "-F", *options, image)
    done = ran("mount", "-o", "loop", image, place)
    if done.returncode:
        unsupported(f"this machine cannot mount a file: {done.stderr}")  # many containers
    try:
        yield
    finally:
        run("umount", "--lazy", place)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Give an ext4 of two MiB with blocks of one KiB, so that a line rarely fits into what is left."""
    place = folder / "disk"
    place.mkdir()
    with mounted(folder / "disk.img", place, 2 << 20, "-b", 1024, "-m", 0, "-O", "^has_journal"):
        yield place


def fill(place: Path) -> Path:
    """Leave no block free."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            return filler


@contextmanager
def frozen(place: Path) -> Iterator[None]:
    """Let every write to the file system stand still."""
    run(require_tool("fsfreeze"), "--freeze", place)
    try:
        yield
    finally:
        run("fsfreeze", "--unfreeze", place)
