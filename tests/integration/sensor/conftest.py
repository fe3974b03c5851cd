"""A fresh lab for every test: what one test bans, no other test meets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.namespaces import IFACE, Lab, opened
from tests.support.needs import require_wire
from tests.support.sensor import Sensor
from tests.support.sensor_jail import Jail


class StartSensor(Protocol):
    """What the fixture of the same name gives."""

    def __call__(
        self,
        *,
        copy: bool = False,
        iface: str = IFACE,
        program: tuple[str, ...] = ("-m", "portsentry_py"),
        **settings: Any,
    ) -> Sensor:
        """Start the sensor on the target with these settings and wait until it captures."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Three hosts on a wire."""
    require_wire("nft", "nmap", "tshark", "dumpcap", "fail2ban-server")
    with opened() as made:
        yield made


@pytest.fixture
def start_sensor(lab: Lab, tmp_path: Path) -> Iterator[StartSensor]:
    """Start the sensor with settings that the test chooses."""
    with ExitStack() as stack:

        def start(
            *,
            copy: bool = False,
            iface: str = IFACE,
            program: tuple[str, ...] = ("-m", "portsentry_py"),
            **settings: Any,
        ) -> Sensor:
            sensor = Sensor(lab.target, tmp_path, settings, copy=copy, iface=iface, program=program)
            stack.callback(sensor.stop)
            sensor.wait_until_ready()
            return sensor

        yield start


@pytest.fixture
def jail(lab: Lab, tmp_path: Path) -> Iterator[Jail]:
    """Give fail2ban, reading the log of the sensor that the test starts."""
    folder = tmp_path / "f2b"
    folder.mkdir()
    made = Jail(lab.target, folder, tmp_path / "portsentry.log")
    yield made
    made.stop()
