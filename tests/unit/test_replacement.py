"""A file that is replaced is old or new, and nothing is left beside it."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from portsentry_py.replacement import replace, replacement


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_has_the_content_and_the_mode_whatever_the_umask(tmp_path: Path, old: bytes | None, mode: int) -> None:
    path = tmp_path / "x"
    if old is not None:
        path.write_bytes(old)
    before = os.umask(0o077)
    try:
        replace(path, b"new", mode)
    finally:
        os.umask(before)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "x").symlink_to("theirs")
    replace(tmp_path / "x", b"new", 0o644)
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert not (tmp_path / "x").is_symlink()


def test_after_an_error_the_old_file_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with suppress(KeyboardInterrupt), replacement(path, 0o644) as descriptor:
        os.write(descriptor, b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((os.pread(descriptor, 9, 0), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    replace(path, b"new", 0o644)
    replace(path, b"newer", 0o644, durable=False)
    assert synced == [(b"new", False)]
    assert path.read_bytes() == b"newer"
