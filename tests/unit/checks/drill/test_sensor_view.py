"""The sensor is known by its processes: what its dumpcaps capture, and what it has open to append to."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from portsentry_py.checks.drill.sensor_view import SensorView, view_sensor

_SENSOR = ("/usr/bin/python3", "/usr/bin/portsentry-py", "run")
_APPENDS, _READS = os.O_WRONLY | os.O_APPEND, os.O_RDONLY


class Processes:
    """A tree with a proc."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._namespace(root / "proc/self", "net:[1]")

    @staticmethod
    def _namespace(folder: Path, name: str) -> None:
        (folder / "ns").mkdir(parents=True)
        (folder / "ns/net").symlink_to(name)

    def add(
        self,
        number: int,
        words: Iterable[str],
        *,
        parent: int = 1,
        namespace: str = "net:[1]",
        files: Iterable[tuple[Path, int]] = (),
    ) -> None:
        folder = self.root / "proc" / str(number)
        self._namespace(folder, namespace)
        (folder / "cmdline").write_bytes(b"".join(f"{word}\0".encode() for word in words))
        (folder / "stat").write_text(f"{number} (a (b) c) S {parent} {number} 0")
        for place in ("fd", "fdinfo"):
            (folder / place).mkdir()
        for descriptor, (path, flags) in enumerate(files):
            (folder / "fd" / str(descriptor)).symlink_to(path)
            (folder / "fdinfo" / str(descriptor)).write_text(f"pos:\t0\nflags:\t0{flags:o}\nmnt_id:\t1\n")


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


def test_without_a_sensor_nothing_is_seen(processes: Processes) -> None:
    processes.add(7, ("/usr/bin/dumpcap", "-i", "eth0"))
    assert view_sensor(processes.root) == SensorView()


def test_the_interfaces_are_those_of_its_dumpcaps(processes: Processes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    files = [(log, _APPENDS), (tmp_path / "read", _READS), (Path("/dev/null"), _APPENDS), (tmp_path / "no", _APPENDS)]
    (tmp_path / "read").touch()
    processes.add(5, _SENSOR, files=files)
    processes.add(6, ("python3", "launcher.py"), parent=5)
    processes.add(7, ("/usr/bin/dumpcap", "-q", "-i", "eth0", "-i", "eth1", "-w", "-"), parent=6)
    processes.add(8, ("/usr/bin/dumpcap", "-i", "eth9"))
    found = view_sensor(processes.root)
    assert found == SensorView((5,), frozenset({"eth0", "eth1"}), (log,))


def test_a_sensor_of_another_network_namespace_is_another_hosts(processes: Processes) -> None:
    processes.add(5, _SENSOR, namespace="net:[2]")
    assert view_sensor(processes.root) == SensorView()


def test_processes_that_end_meanwhile_are_passed_over(processes: Processes) -> None:
    processes.add(5, _SENSOR)
    (processes.root / "proc/6").mkdir()
    assert view_sensor(processes.root).pids == (5,)


@pytest.mark.parametrize(
    ("interfaces", "is_watched"), [((), True), (("any",), True), (("eth0",), True), (("eth1",), False)]
)
def test_an_interface_is_watched_or_not(interfaces: tuple[str, ...], *, is_watched: bool) -> None:
    view = SensorView((5,), frozenset(interfaces))
    assert view.watches("eth0") == is_watched
    assert view.watches_all == ("any" in interfaces)


def test_a_log_is_known_through_a_link(tmp_path: Path) -> None:
    log, link, other = tmp_path / "log", tmp_path / "link", tmp_path / "other"
    log.touch()
    other.touch()
    link.symlink_to(log)
    view = SensorView((5,), logs=(log,))
    assert view.writes(link)
    assert not view.writes(other)
    assert not view.writes(tmp_path / "none")
    assert SensorView((5,)).writes(tmp_path / "none"), "nobody knows"
