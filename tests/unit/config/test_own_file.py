"""A file that decides who is banned is read only if nobody but the operator may write or replace it."""

import os
from pathlib import Path

import pytest

from portsentry_py.config.own_file import read_own
from portsentry_py.errors import ConfigError
from tests.support.needs import require_root


def read(path: Path) -> str:
    return read_own(path, 1000, "name another")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_text("text\n", encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"{path}: others may write it; run: chmod go-w {path}"):
        read(path)
    path.chmod(0o644)
    assert read(path)


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_others_may_replace_is_refused(tmp_path: Path, *, is_link: bool) -> None:
    folder, shared = tmp_path / "own", tmp_path / "shared"
    folder.mkdir(mode=0o755)
    shared.mkdir()
    shared.chmod(0o777)
    path = (folder if is_link else shared) / "file"
    path.write_text("text\n", encoding="utf-8")
    named = shared / "file"
    if is_link:
        named.symlink_to(path)
    with pytest.raises(ConfigError, match=f"{named}: others may replace it; run: chmod go-w {shared}"):
        read(named)
    shared.chmod(0o1777)
    assert read(named), "in a sticky folder nobody removes files of others"


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_root()
    path = tmp_path / "file"
    path.write_text("text\n", encoding="utf-8")
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="it belongs to user 65534; run: chown root"):
        read(path)
    monkeypatch.setenv("SUDO_UID", "65534")
    assert read(path), "the caller of sudo"


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    os.mkfifo(tmp_path / "file", 0o600)
    with pytest.raises(ConfigError, match="it is a FIFO, which can wait for ever; put a regular file in its place"):
        read(tmp_path / "file")


def test_no_file_is_an_empty_one() -> None:
    assert not read(Path("/dev/null"))
