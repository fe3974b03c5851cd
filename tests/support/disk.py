"""A small file system of a test's own, which can be filled, frozen and broken."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.needs import require_root, require_tool


def run(*words: object) -> None:
    """Run a program that must succeed."""
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stderr}"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount an ext4 of two MiB with blocks of one KiB, so that a line rarely fits into what is left."""
    require_root()
    make = require_tool("mkfs.ext4")
    image, place = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(2 << 20)
    run(make, "-q", "-F", "-b", 1024, "-m", 0, "-O", "^has_journal", image)
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-o", "loop", image, place], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"this machine cannot mount a file: {mounted.stderr}")  # many containers
    try:
        yield place
    finally:
        run("umount", "--lazy", place)


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
