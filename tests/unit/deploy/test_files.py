"""Files get back what they held."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from portsentry_py.deploy.files import remove, restore_later, restore_owner_later


def test_a_file_that_was_missing_goes_with_the_folders_that_it_needed(tmp_path: Path) -> None:
    path = tmp_path / "etc/portsentry-py/a"
    with ExitStack() as undo:
        restore_later(undo, path)
        path.parent.mkdir(parents=True)
        path.write_text("new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_others_wrote_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "etc/a"
    with ExitStack() as undo:
        restore_later(undo, path)
        path.parent.mkdir()
        (path.parent / "other").touch()
    assert [one.name for one in path.parent.iterdir()] == ["other"]


@pytest.mark.parametrize("change", ["write", "unlink", "link"])
def test_a_file_gets_back_its_content_and_mode(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    with ExitStack() as undo:
        restore_later(undo, path)
        if change == "write":
            path.write_text("new")
            path.chmod(0o600)
        else:
            path.unlink()
        if change == "link":
            path.symlink_to("elsewhere")
    assert (path.read_text(), path.is_symlink(), path.stat().st_mode & 0o777) == ("old", False, 0o640)


def test_a_link_gets_back_its_target(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.symlink_to("elsewhere")
    with ExitStack() as undo:
        restore_later(undo, path)
        path.unlink()
        path.write_text("new")
    assert path.readlink() == Path("elsewhere")


def test_a_log_keeps_the_lines_that_came_meanwhile(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\n")
    log.chmod(0o600)
    with ExitStack() as undo:
        restore_owner_later(undo, log)
        log.chmod(0o640)
        log.write_text("a\nb\n")
    assert (log.read_text(), log.stat().st_mode & 0o777) == ("a\nb\n", 0o600)


def test_a_file_a_link_or_a_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "folder/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder")
    for name in ("link", "folder", "missing"):
        remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
