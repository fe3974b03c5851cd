"""`run`: what the sensor is started with."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.capture.toolchain import Tools, TsharkTrial
from portsentry_py.config.settings import Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.host.trap_listener import TrapListener
from portsentry_py.output.sink import Dispatcher
from portsentry_py.sensor import assembly
from portsentry_py.sensor.host_view import HostView
from tests.support.command import Command, fails
from tests.support.needs import require_root, require_tool


class Sensor:
    """Stands in for the running sensor: it announces itself and ends."""

    made: list[Sensor]

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        captures: CaptureSupervisor,
        outputs: Dispatcher,
        *,
        host: HostView,
        traps: TrapListener,
        announce: Callable[[list[str]], None],
        reload: Callable[[], Settings],
        **others: object,
    ) -> None:
        assert pipeline
        assert captures
        assert outputs
        assert others.keys() == {"checkpoint", "notifier", "clock"}
        self.settings = settings
        self.host = host
        self.open_traps = traps.ports
        self.announce = announce
        self.reload = reload
        self.made.append(self)

    def run(self) -> None:
        self.announce(list(self.settings.interfaces))


@pytest.fixture
def sensor(monkeypatch: pytest.MonkeyPatch) -> type[Sensor]:
    """The sensor that `run` starts is a stand-in."""
    monkeypatch.setattr(Sensor, "made", [], raising=False)
    monkeypatch.setattr(assembly, "Daemon", Sensor)
    monkeypatch.setattr(TsharkTrial, "result", lambda _: Tools("tshark", "/bin/true", "4.0.17"))
    return Sensor


def test_options_win_over_the_configuration_and_outlive_a_reload(
    command: Command, tmp_path: Path, sensor: type[Sensor]
) -> None:
    given, log = tmp_path / "given.yaml", tmp_path / "log"
    given.write_text(f"interfaces: [eth5]\nlog: {tmp_path / 'other'}\nconnections: all\n", encoding="utf-8")
    done = command("run", "-c", given, "-i", "eth0", "-i", "eth1", "--log", log)
    assert (done.code, done.out) == (0, "")
    assert f"watches eth0, eth1 with tshark 4.0.17; log: {log}" in done.err
    (one,) = sensor.made
    assert (one.settings.interfaces, one.settings.log) == (("eth0", "eth1"), str(log))
    assert one.reload() == one.settings
    assert log.exists()
    assert not (tmp_path / "other").exists()


def test_without_an_option_the_configuration_or_a_variable_decides(
    command: Command, tmp_path: Path, sensor: type[Sensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given.yaml"
    given.write_text("interfaces: [eth5]\nlog: '-'\n", encoding="utf-8")
    assert "log: standard output" in command("run", "-c", given).err
    assert list(sensor.made[-1].settings.interfaces) == ["eth5"]
    monkeypatch.setenv("PORTSENTRY_CONFIG", str(given))
    monkeypatch.setenv("PORTSENTRY_IFACE", "eth6 eth7")
    monkeypatch.setenv("PORTSENTRY_LOG", str(tmp_path / "log"))
    assert command("run").code == 0
    assert list(sensor.made[-1].settings.interfaces) == ["eth6", "eth7"]
    assert (tmp_path / "log").exists()


@pytest.mark.parametrize("listen", [True, False])
def test_the_core_knows_the_traps_that_are_open(
    command: Command, tmp_path: Path, sensor: type[Sensor], listen: bool
) -> None:
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    given = tmp_path / "given.yaml"
    given.write_text(f"traps: {{tcp: [{port}], listen: {str(listen).lower()}}}\n", encoding="utf-8")
    assert command("run", "-c", given, "--log", tmp_path / "log").code == 0
    (one,) = sensor.made
    assert one.open_traps == one.host.state.open_traps == (frozenset({port}) if listen else frozenset())


def test_a_log_without_a_directory_is_73(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    fails(command("run", "-i", "lo", "--log", tmp_path / "none" / "log"), 73, "none/log")


def test_an_unknown_interface_is_69(command: Command, tmp_path: Path) -> None:
    require_root()
    require_tool("tshark")
    done = command("run", "-i", "no_such_if0", "--log", tmp_path / "log")
    fails(done, 69, "no_such_if0", "tshark -D")
