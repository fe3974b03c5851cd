"""Which files make a log."""

import gzip
import os
from pathlib import Path

import pytest

from portsentry_py.errors import InputError, PermissionDenied
from portsentry_py.report.log_files import find_logs, with_rotated
from tests.support.needs import require_root
from tests.support.other_users import unprivileged


def names(*paths: Path) -> list[str]:
    return [file.path.name for file in find_logs(paths)]


def test_the_rotated_logs_belong_to_a_log(tmp_path: Path) -> None:
    for name in ("p.log", "p.log.1", "p.log.2.gz", "p.log-20261120.gz", "p.log.old", "p.log.gz.tmp", "q.log", "p.logs"):
        (tmp_path / name).touch()
    found = [path.name for path in with_rotated(tmp_path / "p.log")]
    assert found == ["p.log", "p.log-20261120.gz", "p.log.1", "p.log.2.gz"]


def test_a_directory_stands_for_the_logs_in_it(tmp_path: Path) -> None:
    for name in ("a.log", "a.log.1", "b.jsonl.gz", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.log").mkdir()
    assert names(tmp_path) == ["a.log", "a.log.1", "b.jsonl.gz"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    (tmp_path / "b.log").symlink_to(log)
    assert names(log, tmp_path, tmp_path / "b.log") == ["a.log"]


def test_gzip_is_recognized_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(gzip.compress(b"x"))
    (tmp_path / "b.gz").write_bytes(b"{}")
    assert [file.compressed for file in find_logs([tmp_path / "a.log", tmp_path / "b.gz"])] == [True, False]


@pytest.mark.parametrize("head", [b"BZh91AY", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
def test_other_compression_is_refused(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.log").write_bytes(head)
    with pytest.raises(InputError, match="unpack it first"):
        find_logs([tmp_path / "a.log"])


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a file"):
        find_logs([tmp_path / "pipe"])
    with pytest.raises(InputError, match="No such file"):
        find_logs([tmp_path / "none"])
    with pytest.raises(InputError, match="no log in this directory"):
        find_logs([tmp_path])


def test_a_log_of_others_needs_a_right(tmp_path: Path) -> None:
    require_root()
    (tmp_path / "a.log").touch(0o600)
    with unprivileged(), pytest.raises(PermissionDenied, match="adm"):
        find_logs([tmp_path / "a.log"])
