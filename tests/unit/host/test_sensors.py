"""The sensors that run are known by their command lines."""

import resource
from pathlib import Path

import pytest

from portsentry_py.host.sensors import memory_bytes, running_sensors


def runs(root: Path, number: int, *words: str) -> None:
    folder = root / "proc" / str(number)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"".join(f"{word}\0".encode() for word in words))


@pytest.mark.parametrize(
    "words",
    [
        ("/opt/portsentry-py/bin/python", "/usr/bin/portsentry-py", "run"),
        ("python3", "-m", "portsentry_py", "run", "-i", "eth0"),
        ("/usr/bin/python3", "-I", "/srv/portsentry_py/__main__.py", "run"),
    ],
)
def test_a_sensor_is_found(tmp_path: Path, words: tuple[str, ...]) -> None:
    runs(tmp_path, 42, *words)
    assert running_sensors(tmp_path) == [42]


@pytest.mark.parametrize(
    "words",
    [
        ("sudo", "portsentry-py", "run"),
        ("/usr/bin/python3", "/usr/bin/portsentry-py", "status"),
        ("/usr/bin/python3", "-I", "/usr/lib/portsentry_py/privsep/launcher.py", "3"),
        ("/usr/bin/python3", "-m", "pytest", "run"),
        ("vi", "/usr/bin/portsentry-py", "run"),
        ("python3",),
        (),
    ],
)
def test_another_process_is_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    runs(tmp_path, 42, *words)
    assert running_sensors(tmp_path) == []


def test_a_process_that_ended_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    assert running_sensors(tmp_path) == []


def weighs(root: Path, number: int, parent: int, pss_kib: int) -> None:
    folder = root / "proc" / str(number)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{number} (a (b) c) S {parent} 1 1 0\n")
    (folder / "smaps_rollup").write_text(f"0-f ---p 0 0 0 [rollup]\nRss: 999 kB\nPss: {pss_kib} kB\nPss_Anon: 1 kB\n")


def test_the_memory_is_that_of_the_sensor_and_its_descendants(tmp_path: Path) -> None:
    for number, parent, pss_kib in ((5, 1, 100), (6, 5, 20), (7, 6, 3), (8, 1, 5000)):
        weighs(tmp_path, number, parent, pss_kib)
    (tmp_path / "proc/9").mkdir()
    assert memory_bytes([5], tmp_path) == 123 << 10
    assert memory_bytes([], tmp_path) == memory_bytes([77], tmp_path) == 0


def test_the_memory_of_other_users_is_what_the_kernel_shows_of_it(tmp_path: Path) -> None:
    weighs(tmp_path, 5, 1, 100)
    (tmp_path / "proc/5/smaps_rollup").unlink()
    (tmp_path / "proc/5/statm").write_text("9000 7 3 1 0 5 0\n")
    assert memory_bytes([5], tmp_path) == 7 * resource.getpagesize()
