"""What a killed drill left is known; nothing else is ever unbanned."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portsentry_py.checks.drill.record import left, recording
from portsentry_py.errors import DrillError, OutputError, PermissionDenied
from tests.support.waiting import wait_for

_ADDRESSES = ["198.51.100.7", "2001:db8:7:7::77"]
_KILLED = """
import sys, signal, os
from pathlib import Path
from portsentry_py.checks.drill.record import recording
with recording(Path(sys.argv[1])) as kept:
    kept.write(["198.51.100.7"])
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drill"


def test_a_drill_that_made_nothing_leaves_no_file(path: Path) -> None:
    with recording(path):
        assert path.exists()
    assert not path.exists()


def test_what_was_noted_and_not_removed_is_found_by_the_next_drill(path: Path) -> None:
    with recording(path) as first:
        first.write(_ADDRESSES)
    assert left(path) == tuple(_ADDRESSES)
    with recording(path) as second:
        assert second.left == tuple(_ADDRESSES)
        second.write(["198.51.100.9"])
        assert json.loads(path.read_text()) == ["198.51.100.7", "198.51.100.9", "2001:db8:7:7::77"]
        second.forget()
    assert left(path) is None


def test_a_killed_drill_frees_the_lock(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(DrillError, match="another drill runs"), recording(path):
            pass
        assert left(path) is None, "one that runs has left nothing"
        process.kill()
    wait_for(lambda: left(path) == ("198.51.100.7",), "the lock to be free")


@pytest.mark.parametrize(
    "content", [b"", b"[", b"{}", b"\xff", b'["8.8.8.8", 5, null, "x", "0.0.0.0/0", "192.0.0.0/8"]', b"[" * 60_000]
)
def test_only_addresses_for_documentation_are_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with recording(path) as kept:
        assert kept.left == ()


def test_good_addresses_beside_others_are_read(path: Path) -> None:
    path.write_bytes(json.dumps(["8.8.8.8", *_ADDRESSES]).encode())
    assert left(path) == tuple(_ADDRESSES)


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    path.symlink_to(other)
    with pytest.raises(OutputError, match="remove it"), recording(path):
        pass
    assert left(path) is None
    assert other.read_text() == "precious"


def test_a_missing_file_is_no_leftover(path: Path) -> None:
    assert left(path) is None


def test_a_full_disk_is_told_before_anything_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with recording(path) as kept:
        for writes, words in ((full, "No space left on device"), (lambda *_: 3, "cut off")):
            with monkeypatch.context() as patched:
                patched.setattr(os, "pwrite", writes)
                with pytest.raises(OutputError, match=words):
                    kept.write(_ADDRESSES)
        kept.forget()


def test_only_root_can_hold_the_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDenied, match="run it as root"), recording(path):
        pass


def test_a_record_that_was_replaced_meanwhile_is_opened_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill before removed the file after this one had opened it."""
    really = os.open
    calls: list[Path] = []

    def raced(name: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = really(name, flags, mode)
        if not calls:
            path.unlink()
        calls.append(name)
        return descriptor

    monkeypatch.setattr(os, "open", raced)
    with recording(path) as kept:
        kept.write(_ADDRESSES)
        assert json.loads(path.read_text()) == _ADDRESSES
    assert len(calls) == 2
