"""The packet ring with stand-ins for dumpcap: what it keeps, what it removes, and what it survives."""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portsentry_py.capture import packet_ring
from portsentry_py.capture.bpf import PLAIN
from portsentry_py.capture.commands import RING_FILES
from portsentry_py.capture.packet_ring import PacketRing, ring_files, ring_folder
from portsentry_py.config.settings import Capture
from portsentry_py.privsep.client import LauncherClient
from tests.support.programs import write_program
from tests.support.waiting import wait_for

KEEPING = Capture(keep_minutes=5, keep_mib=16)
# The capture prints one word; what writes the files copies it into a first one.
DUMPCAP = """\
case "$*" in
*"-i -"*)
    while [ $# -gt 1 ]; do [ "$1" = -w ] && file=$2; shift; done
    exec cat >"${file%.pcapng}_00001_20261120084157.pcapng" ;;
*) echo packets; exec sleep 600 ;;
esac
"""
Open = Callable[..., PacketRing]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = ring_folder(str(tmp_path / "state/state"))
    assert found == tmp_path / "state/packets"
    return found


@pytest.fixture
def ring(tmp_path: Path, folder: Path) -> Iterator[Open]:
    rings: list[PacketRing] = []
    launchers: list[LauncherClient] = []

    def open_ring(script: str = DUMPCAP, settings: Capture = KEEPING) -> PacketRing:
        dumpcap = str(write_program(tmp_path / "dumpcap", f"#!/bin/sh\n{script}\n"))
        launchers.append(LauncherClient(dumpcap))
        rings.append(PacketRing(dumpcap, launchers[-1], settings, folder))
        rings[-1].watch(["lo"], PLAIN)
        return rings[-1]

    yield open_ring
    for one in rings:
        one.close()
    for launcher in launchers:
        launcher.close()


def made(folder: Path, *numbers: int, age: float = 0.0) -> list[Path]:
    """Files of an earlier run, the oldest first."""
    folder.mkdir(0o700, parents=True, exist_ok=True)
    paths = [folder / f"ring_{number:05d}_20261120084100.pcapng" for number in numbers]
    for path in paths:
        path.write_bytes(b"x")
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return paths


def test_a_sensor_without_state_keeps_nothing(tmp_path: Path) -> None:
    assert ring_folder("off") is None
    with (
        closing(LauncherClient("/bin/false")) as launcher,
        closing(PacketRing("/bin/false", launcher, KEEPING, None)) as one,
    ):
        one.watch(["lo"], PLAIN)
    assert list(tmp_path.iterdir()) == []


def test_packets_go_into_files_of_this_user_alone(ring: Open, folder: Path) -> None:
    ring()
    (file,) = wait_for(lambda: [path for path in ring_files(folder) if path.read_bytes() == b"packets\n"], "a file")
    assert file.parent == folder
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700


def test_another_filter_begins_other_files_and_the_end_waits_for_nobody(ring: Open, folder: Path) -> None:
    one = ring()
    (first,) = wait_for(lambda: ring_files(folder), "a file")
    first.unlink()
    one.watch(["lo"], PLAIN)
    wait_for(lambda: ring_files(folder), "a file of the other capture")
    one.close()


def test_zero_minutes_remove_what_was_kept(ring: Open, folder: Path) -> None:
    made(folder, 1, 2)
    (folder / "notes").write_text("mine", encoding="utf-8")
    ring(settings=Capture())
    assert [path.name for path in folder.iterdir()] == ["notes"]


def test_old_files_and_those_beyond_the_bound_are_removed(ring: Open, folder: Path) -> None:
    made(folder, 90, 91, age=3600.0)
    young = made(folder, *range(20), age=30.0)
    ring()
    wait_for(lambda: len(ring_files(folder)) == RING_FILES, "the bound")
    assert set(ring_files(folder)) < {*young, folder / "ring_00001_20261120084157.pcapng"}


def test_links_and_other_names_are_no_files_of_the_ring(folder: Path, tmp_path: Path) -> None:
    assert ring_files(folder) == []
    (kept,) = made(folder, 1)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (folder / "ring_00002_20261120084101.pcapng").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "ring_00003_20261120084101.pcapng")
    (folder / "ring_1.pcapng.gz").write_bytes(b"x")
    assert ring_files(folder) == [kept]


def test_a_capture_that_ends_is_reported_once_and_tried_again(
    ring: Open, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(packet_ring, "_FIRST_PAUSE_SECONDS", 0.05)
    starts = tmp_path / "starts"
    note = f"echo start >>{shlex.quote(str(starts))}"
    ring(f"{note}; echo 'dumpcap: No space left on device.' >&2; exit 1")
    wait_for(lambda: starts.exists() and len(starts.read_text(encoding="utf-8").split()) >= 4, "another try")
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: packets are not kept (No space left on device); the sensor goes on and tries again."
    ]


@pytest.mark.parametrize("kind", ["link", "writable", "file"])
def test_a_folder_that_others_prepared_is_not_used(
    ring: Open, folder: Path, kind: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    folder.parent.mkdir(0o700)
    (tmp_path / "elsewhere").mkdir()
    if kind == "link":
        folder.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        folder.write_bytes(b"")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    ring()
    wait_for(lambda: "no folder that this user alone may write" in caplog.text, "the refusal")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_disk_without_room_is_left_alone(ring: Open, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring(settings=Capture(keep_minutes=1, keep_mib=1 << 40))
    wait_for(lambda: "less room than capture.keep_mib" in caplog.text, "the refusal")
    assert ring_files(folder) == []


def test_files_that_stay_empty_are_noticed(ring: Open, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk, dumpcap can go on without a word."""
    (empty,) = made(folder, 1, age=30.0)
    empty.write_bytes(b"")
    os.utime(empty, (1, empty.stat().st_mtime - 30))
    ring()
    wait_for(lambda: "files stayed empty" in caplog.text, "the report")
    assert not empty.exists()


def test_a_launcher_that_has_ended_is_no_failure_of_the_sensor(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir(0o700)
    launcher = LauncherClient("/bin/false")
    launcher._replaceable = False
    launcher.close()
    with closing(PacketRing("/bin/false", launcher, KEEPING, folder)) as one:
        one.watch(["lo"], PLAIN)
        wait_for(lambda: one._failing, "the report")
    assert tmp_path.exists()
