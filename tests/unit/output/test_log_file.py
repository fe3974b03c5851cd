"""The log is created with the right mode, and is never a file that another user chose or may write."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portsentry_py.errors import OutputError, PermissionDenied, PortsentryError
from portsentry_py.output import log_file
from portsentry_py.output.log_file import examine, open_log, replacing
from tests.support.bad_logs import dangling_link, hard_link, link, writable
from tests.support.disk import fill, small_disk
from tests.support.needs import require_root
from tests.support.other_users import NOBODY, as_nobody, shared_folder
from tests.support.running import run


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach."""
    with shared_folder() as folder:
        yield folder


OPEN = """
    for look in (log_file.open_log, log_file.examine):
        try:
            look(Path(sys.argv[1]))
            print("good")
        except PortsentryError as error:
            print(type(error).__name__, error)
"""


def refusal_of(path: Path) -> str:
    """The error of opening the log, which `check` reports in the same words."""
    refusals = []
    for look in (examine, open_log):
        with pytest.raises(PortsentryError) as caught:
            look(path)
        refusals.append(f"{type(caught.value).__name__} {caught.value}")
    assert refusals[0] == refusals[1]
    return refusals[0]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077, 0o777])
def test_a_new_log_has_its_mode_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    log = tmp_path / "log"
    before = os.umask(umask)
    try:
        os.close(open_log(log))
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


def test_a_new_log_has_no_other_mode_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    seen = []
    real = os.fchmod

    def look(descriptor: int, mode: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, mode)

    before = os.umask(0)
    monkeypatch.setattr(os, "fchmod", look)
    try:
        os.close(open_log(log))
    finally:
        os.umask(before)
    assert seen == [0o640]


def test_the_mode_of_an_existing_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch(0o600)
    os.close(open_log(log))
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_child_processes_do_not_inherit_the_log(tmp_path: Path) -> None:
    descriptor = open_log(tmp_path / "log")
    assert not os.get_inheritable(descriptor)
    assert os.get_blocking(descriptor)
    os.close(descriptor)


def socket(log: Path) -> None:
    os.mknod(log, stat.S_IFSOCK | 0o600)


def group_writable(log: Path) -> None:
    log.touch()
    os.chown(log, -1, 12_345)
    log.chmod(0o660)


def others(log: Path) -> None:
    log.touch(0o600)
    os.chown(log, NOBODY, -1)


@pytest.mark.parametrize(
    ("put", "cause", "fix"),
    [
        (link, "it is a symbolic link", "regular file in its place"),
        (dangling_link, "it is a symbolic link", "regular file in its place"),
        (hard_link, "the file has 2 names", "find -samefile"),
        (os.mkfifo, "it is a FIFO", "regular file in its place"),
        (Path.mkdir, "it is a directory", "regular file in its place"),
        (socket, "it is a socket", "regular file in its place"),
        (writable, "everybody may write it", "chmod o-w"),
        (group_writable, "the group 12345 may write it", "chmod g-w"),
        (others, "it belongs to nobody", "run as nobody, or remove or chown it"),
    ],
)
def test_a_file_that_is_not_ours_alone_is_refused_and_not_touched(
    tmp_path: Path, put: Callable[[Path], object], cause: str, fix: str
) -> None:
    if put in {group_writable, others}:
        require_root()
    log, victim = tmp_path / "log", tmp_path / "victim"
    victim.write_bytes(b"precious\n")
    victim.chmod(0o600)
    put(log)
    before = sorted(tmp_path.iterdir()), log.lstat().st_mode
    refusal = refusal_of(log)
    assert refusal.startswith(f"OutputError {log}: cannot write the log ({cause}")
    assert fix in refusal
    assert victim.read_bytes() == b"precious\n"
    assert (sorted(tmp_path.iterdir()), log.lstat().st_mode) == before


@pytest.mark.parametrize("put", [link, hard_link, os.mkfifo])
def test_a_file_that_is_exchanged_after_the_check_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], object]
) -> None:
    log, victim = tmp_path / "log", tmp_path / "victim"
    victim.write_bytes(b"precious\n")
    log.touch(0o640)
    real = os.open

    def exchange(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "log":
            log.unlink()
            put(log)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(OutputError, match=r"symbolic links|2 names|FIFO"):
        open_log(log)
    assert victim.read_bytes() == b"precious\n"


def test_a_file_that_is_created_or_deleted_meanwhile_is_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation does so, between its rename and its create."""
    log = tmp_path / "log"
    real = os.open
    steps = [lambda: log.touch(0o640), log.unlink]
    opened: list[int] = []

    def meddle(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path != "log":
            return real(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT and len(steps) == 2:
            steps.pop(0)()
        descriptor = real(path, flags, mode, dir_fd=dir_fd)
        opened.append(descriptor)
        if len(steps) == 1:
            steps.pop(0)()
        return descriptor

    monkeypatch.setattr(os, "open", meddle)
    descriptor = open_log(log)
    assert os.fstat(descriptor).st_nlink == 1
    assert len(opened) == 2
    os.close(descriptor)


def test_the_groups_root_and_adm_may_write(tmp_path: Path) -> None:
    require_root()
    log = tmp_path / "log"
    log.touch()
    for group in (0, 4):
        os.chown(log, 0, group)
        log.chmod(0o660)
        os.close(open_log(log))
        assert examine(log) is None


def test_a_world_writable_directory_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    refusal = refusal_of(tmp_path / "log")
    assert "anybody may exchange it" in refusal
    assert f"chmod o-w {tmp_path}" in refusal
    tmp_path.chmod(0o1777)
    os.close(open_log(tmp_path / "log"))


def test_a_directory_that_a_group_may_write_is_accepted(tmp_path: Path) -> None:
    """Ubuntu's /var/log is root:syslog 0775."""
    tmp_path.chmod(0o775)
    os.close(open_log(tmp_path / "log"))


def test_a_log_of_another_user_in_a_shared_directory_is_refused(place: Path) -> None:
    place.chmod(0o1777)
    log = place / "log"
    as_nobody("os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o640))", log)
    refusal = refusal_of(log)
    assert "belongs to nobody, who could forge lines" in refusal


@pytest.mark.parametrize("path", ["none/log", "file/log", "a\0b"])
def test_a_path_that_cannot_exist_is_reported(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    refusal = refusal_of(tmp_path / path)
    shown = str(tmp_path / path).replace("\0", "?")
    assert refusal.startswith(f"OutputError {shown}: cannot write the log (")
    assert "name another log" in refusal


def test_an_unprivileged_sensor_writes_where_it_may(place: Path) -> None:
    require_root()
    theirs, let_in, roots = place / "theirs", place / "let_in", place / "roots"
    for path, owner, group, mode in ((theirs, NOBODY, NOBODY, 0o640), (let_in, 0, NOBODY, 0o660), (roots, 0, 0, 0o644)):
        path.touch()
        os.chown(path, owner, group)
        path.chmod(mode)
    assert as_nobody(OPEN, theirs) == "good\ngood\n"
    assert as_nobody(OPEN, let_in) == "good\ngood\n"
    for path in (roots, place / "none"):
        sentence = "you may not write the log; run as root or name another log."
        assert as_nobody(OPEN, path).splitlines() == [f"PermissionDenied {path}: {sentence}"] * 2
    os.chown(theirs, NOBODY, 12_345)
    theirs.chmod(0o660)
    assert "the group 12345 may write it" in as_nobody(OPEN, theirs)


def test_a_user_cannot_make_root_write_into_another_file(place: Path) -> None:
    """All that a shared directory allows to its users, done by another user."""
    require_root()
    place.chmod(0o1777)
    secret = place / "secret"
    secret.write_bytes(b"precious\n")
    secret.chmod(0o600)
    attacks = """
        place = sys.argv[1] + "/"
        os.symlink(place + "secret", place + "link")
        os.mkfifo(place + "fifo", 0o666)
        os.mkdir(place + "directory")
        open(place + "file", "w").close()
        os.chmod(place + "file", 0o666)
        try:
            os.link(place + "secret", place + "hard")
        except PermissionError:
            pass  # fs.protected_hardlinks
    """
    as_nobody(attacks, place)
    if not (place / "hard").exists():
        (place / "hard").hardlink_to(secret)
    for name in ("link", "fifo", "directory", "file", "hard"):
        with pytest.raises(OutputError):
            open_log(place / name)
    assert secret.read_bytes() == b"precious\n"
    assert (place / "file").read_bytes() == b""


def test_check_reports_a_full_and_a_read_only_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        log = disk / "log"
        assert examine(log) is None
        filler = fill(disk)
        for there in (False, True):
            assert log.exists() is there
            note = examine(log)
            assert note is not None
            assert "its file system is full, or nearly so: lines will wait; make room" in note
            log.touch(0o640)
        filler.unlink()
        assert examine(log) is None
        run("mount", "-o", "remount,ro", disk)
        for path in (log, disk / "none"):
            refusal = refusal_of(path)
            assert "Read-only file system" in refusal
            assert "remount,rw" in refusal


def test_an_immutable_log_is_reported_to_root(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        log = disk / "log"
        log.touch(0o640)
        run("chattr", "+i", log)
        refusal = refusal_of(log)
        assert refusal.startswith("PermissionDenied")
        assert "chattr's +i" in refusal
        run("chattr", "-i", "+a", log)
        os.close(open_log(log))


def test_an_owner_without_a_name_is_shown_by_number(tmp_path: Path) -> None:
    require_root()
    log = tmp_path / "log"
    log.touch(0o640)
    os.chown(log, 54_321, -1)
    assert "belongs to 54321" in refusal_of(log)


def test_a_file_system_that_refuses_chmod_is_judged_by_its_modes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(os, "fchmod", refuse)
    os.close(log_file.open_log(tmp_path / "log"))
    monkeypatch.setattr(log_file, "_MODE", 0o666)
    before = os.umask(0)
    try:
        with pytest.raises(OutputError, match="everybody may write it"):
            open_log(tmp_path / "other")
    finally:
        os.umask(before)


def test_a_missing_right_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDenied, match="run as root"):
        open_log(tmp_path / "log")


def test_a_file_is_replaced_as_a_whole_and_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old")
    log.chmod(0o600)
    with replacing(log) as descriptor:
        os.write(descriptor, b"new")
        assert log.read_bytes() == b"old"
    assert (log.read_bytes(), stat.S_IMODE(log.stat().st_mode)) == (b"new", 0o600)
    with pytest.raises(ZeroDivisionError), replacing(log):
        raise ZeroDivisionError
    assert (log.read_bytes(), list(tmp_path.iterdir())) == (b"new", [log])


@pytest.mark.parametrize("put", [link, dangling_link, hard_link, os.mkfifo, Path.mkdir, writable])
def test_a_file_that_is_not_ours_alone_is_not_replaced(tmp_path: Path, put: Callable[[Path], object]) -> None:
    log, victim = tmp_path / "log", tmp_path / "victim"
    victim.write_bytes(b"precious\n")
    victim.chmod(0o600)
    put(log)
    before = log.lstat()
    with pytest.raises(OutputError), replacing(log):
        raise AssertionError
    assert (log.lstat(), victim.read_bytes()) == (before, b"precious\n")


def test_a_directory_that_takes_no_new_file_is_reported(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        (disk / "log").touch(0o640)
        run("chattr", "+i", disk)
        try:
            with pytest.raises(PermissionDenied, match="lsattr"), replacing(disk / "log"):
                raise AssertionError
        finally:
            run("chattr", "-i", disk)
