"""The state file: whole or missing, not trusted, used by one sensor."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portsentry_py.state import file as state_file
from portsentry_py.state.codec import MAX_BYTES
from portsentry_py.state.file import StateFile
from portsentry_py.state.snapshot import VERSION
from tests.support.build import no_deadline
from tests.support.needs import require_root
from tests.support.other_users import NOBODY, unprivileged

CONTENT = b"what is known"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file, in a folder that does not exist yet."""
    return tmp_path / "lib" / "state"


def keep(path: Path, content: bytes = CONTENT) -> None:
    """A sensor has run and ended."""
    file = StateFile(path)
    file.load()
    file.close([content])


def loaded(path: Path) -> bytes | None:
    """What the next sensor finds, which is killed then."""
    file = StateFile(path)
    found = file.load()
    if file._lock is not None:
        os.close(file._lock)
    return found


def beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def test_a_saved_state_is_loaded(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = StateFile(path)
    assert file.load() is None
    file.save([b"what is ", b"known"])
    file.close([b"what is known", b" now"])
    assert loaded(path) == b"what is known now"
    assert beside(path) == ["state", "state.lock"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    digest = sha256(b"what is known now").hexdigest()
    assert path.read_bytes().splitlines()[0].decode() == f"portsentry-py state {VERSION} 17 {digest}"
    assert caplog.text == ""


def test_an_unchanged_state_is_not_written_again(path: Path) -> None:
    keep(path)
    before = path.stat().st_ino
    keep(path)
    assert path.stat().st_ino == before
    keep(path, b"other")
    assert path.stat().st_ino != before


def with_header(content: bytes) -> bytes:
    digest = sha256(CONTENT).hexdigest().encode()
    return b"portsentry-py state %d %d %s\n" % (VERSION, len(CONTENT), digest) + content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a state file"),
        (b"root:x:0:0\n", "not a state file"),
        (with_header(CONTENT)[:-1], "damaged"),
        (with_header(CONTENT) + b"\n", "damaged"),
        (with_header(CONTENT.upper()), "damaged"),
        (with_header(CONTENT)[:40], "not a state file"),
        (with_header(CONTENT).replace(b"state 3 ", b"state 2 "), "version 2 of portsentry-py's state, not 3"),
        (with_header(CONTENT).replace(b" 13 ", b" 12 "), "damaged"),
        (with_header(CONTENT) + b"\0" * (MAX_BYTES + 100), "too large"),
    ],
)
def test_a_broken_file_is_set_aside_with_one_sentence(
    path: Path, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(path)
    path.with_name("state.broken").write_text("an earlier one", encoding="ascii")
    path.write_bytes(content)
    assert loaded(path) is None
    (said,) = caplog.messages
    assert reason in said
    assert str(path) in said
    assert beside(path) == ["state.broken", "state.broken.2", "state.lock"]
    assert path.with_name("state.broken").read_text(encoding="ascii") == "an earlier one"
    assert path.with_name("state.broken.2").read_bytes() == content
    keep(path)
    assert loaded(path) == CONTENT


def test_a_link_is_not_followed(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(path)
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)
    assert loaded(path) is None
    assert "symbolic" in caplog.text
    assert path.with_name("state.broken").is_symlink()
    keep(path, b"mine")
    assert not path.is_symlink()
    assert elsewhere.read_bytes().endswith(CONTENT)


def test_a_file_that_others_own_or_may_write_is_not_used(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(path)
    path.chmod(0o620)
    assert loaded(path) is None
    keep(path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert loaded(path) is None
    assert caplog.text.count("others may write it") == 2


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_a_folder_or_a_pipe_is_left_alone(
    tmp_path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state"
    make(path)
    before = path.stat().st_ino
    keep(path)
    assert loaded(path) is None
    assert path.stat().st_ino == before
    assert beside(path) == ["state"]
    assert caplog.text.count("it is not a regular file") == 2, "each of two sensors reports it once"


@pytest.mark.parametrize("is_missing", [False, True])
def test_root_leaves_the_file_and_the_folder_of_another_user_alone(
    path: Path, caplog: pytest.LogCaptureFixture, *, is_missing: bool
) -> None:
    """The service could not read root's file, nor take root's lock, afterwards."""
    require_root()
    keep(path)
    path.with_name("state.lock").unlink()
    for one in (path, path.parent):
        os.chown(one, NOBODY, NOBODY)
    if is_missing:
        path.unlink()
    before = {one.name: one.stat().st_mtime_ns for one in path.parent.iterdir()}
    assert loaded(path) is None
    keep(path, b"of root")
    assert {one.name: one.stat().st_mtime_ns for one in path.parent.iterdir()} == before
    assert "(it belongs to user 65534, and root leaves it alone; run as that user" in caplog.text


def test_a_broken_file_that_cannot_be_renamed_is_reported(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(path)
    path.write_bytes(b"broken")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "replace", refuse)
    assert loaded(path) is None
    (said,) = caplog.messages
    assert "cannot be renamed" in said


def test_a_half_written_file_of_a_crash_is_removed(path: Path) -> None:
    keep(path)
    path.with_name("state.new").write_bytes(b"half a st")
    assert loaded(path) == CONTENT
    assert beside(path) == ["state", "state.lock"]


def test_a_link_in_the_place_of_the_next_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    keep(path)
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="ascii")
    file = StateFile(path)
    file.load()
    path.with_name("state.new").symlink_to(victim)
    file.close([b"new"])
    assert victim.read_text(encoding="ascii") == "precious"
    assert loaded(path) == b"new"


def test_two_sensors_do_not_share_a_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(path)
    first, second = StateFile(path), StateFile(path)
    assert first.load() == CONTENT
    assert second.load() is None
    second.save([b"second"])
    second._join()
    first.close([b"first"])
    (said,) = caplog.messages
    assert "another sensor" in said
    second.save([b"second, alone"])
    second.close([b"second, at its end"])
    assert caplog.messages[1:] == [f"{path}: the state is saved again."]
    assert loaded(path) == b"second, at its end"


def test_a_folder_that_cannot_be_written_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = StateFile(tmp_path / "a" / "b" / "state")
    assert file.load() is None
    for nth in range(3):
        file.save([b"%d" % nth])
        file._join()
    (said,) = caplog.messages
    assert "No such file or directory" in said
    (tmp_path / "a").mkdir()
    file.close([CONTENT])
    assert caplog.messages[1:] == [f"{tmp_path}/a/b/state: the state is saved again."]
    assert loaded(tmp_path / "a" / "b" / "state") == CONTENT


def test_a_missing_permission_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    with unprivileged():
        keep(tmp_path / "state")
    assert "Permission denied" in caplog.text
    assert beside(tmp_path / "state") == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_old_file_stays_when_the_disk_is_full(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    keep(path)
    with monkeypatch.context() as patched:
        patched.setattr(os if call == "fsync" else Path, call, fail)
        keep(path, b"new")
    assert "No space left on device" in caplog.text
    assert beside(path) == ["state", "state.lock"]
    assert loaded(path) == CONTENT


def test_the_sensor_does_not_wait_for_a_slow_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, real = threading.Event(), os.fsync

    def wait(descriptor: int) -> None:
        assert slow.wait(60)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", wait)
    file = StateFile(path)
    file.load()
    file.save([b"first"])
    file.save([b"while the first is still being written"])
    slow.set()
    file._join()
    assert path.read_bytes().endswith(b"\nfirst")
    file.close([b"last"])
    assert loaded(path) == b"last"


def test_a_sensor_that_is_killed_while_it_writes_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing is cleaned up, as after SIGKILL."""

    def die(_descriptor: int) -> None:
        raise Killed

    keep(path)
    file = StateFile(path)
    file.load()
    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(Killed):
        file._write([b"new"])
    assert file._lock is not None
    os.close(file._lock)
    assert beside(path) == ["state", "state.lock", "state.new"]
    monkeypatch.undo()
    assert loaded(path) == CONTENT
    assert beside(path) == ["state", "state.lock"]


@pytest.fixture
def shared_path(tmp_path: Path) -> Path:
    """One path for many examples."""
    return tmp_path / "state"


@hypothesis_settings(no_deadline, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.binary(max_size=20).map(lambda some: with_header(CONTENT)[:90] + some))
def test_no_content_breaks_the_sensor(shared_path: Path, content: bytes) -> None:
    shared_path.write_bytes(content)
    shared_path.chmod(0o600)
    assert loaded(shared_path) in {None, CONTENT}


def test_two_files_in_one_folder_do_not_meet(path: Path) -> None:
    """The lock of `/run/a.b` is `/run/a.b.lock`."""
    other = path.with_name("state.eth0")
    keep(path)
    keep(other, b"other")
    assert (loaded(path), loaded(other)) == (CONTENT, b"other")
    assert state_file.StateFile(other)._lock_path.name == "state.eth0.lock"
