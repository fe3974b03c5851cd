"""The sensors that run are known by their command lines."""

from pathlib import Path

import pytest

from portsentry_py.host.sensors import running_sensors


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
