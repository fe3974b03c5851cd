"""A fresh lab for every test: what one test bans, no other test meets."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.integration.fixtures import StartSensor, StartServer
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.namespaces import IFACE, Lab, opened
from tests.support.needs import require_wire
from tests.support.sensor import RUN, Sensor


@pytest.fixture
def lab() -> Iterator[Lab]:
    require_wire("nft", "iptables", "ipset", "nmap", "tshark", "dumpcap", "fail2ban-server")
    with opened() as made:
        yield made


@pytest.fixture
def start_sensor(lab: Lab, tmp_path: Path) -> Iterator[StartSensor]:
    """Start the sensor with settings that the test chooses."""
    with ExitStack() as stack:

        def start(*, copy: bool = False, iface: str = IFACE, program: tuple[str, ...] = RUN, **settings: Any) -> Sensor:
            sensor = Sensor(lab.target, tmp_path, settings, copy=copy, iface=iface, program=program)
            stack.callback(sensor.stop)
            sensor.wait_until_ready()
            return sensor

        yield start


@pytest.fixture
def start_server(lab: Lab, tmp_path: Path) -> Iterator[StartServer]:
    """Start fail2ban with settings that the test chooses."""
    with ExitStack() as stack:

        def start(local: str, files: Mapping[str, str] = MappingProxyType({})) -> Fail2banServer:
            folder = tmp_path / "f2b"
            folder.mkdir()
            server = Fail2banServer(lab.target, folder, local, files=files)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def jail(lab: Lab, tmp_path: Path) -> Iterator[Fail2banServer]:
    """Fail2ban, reading the log of the sensor that the test starts."""
    folder = tmp_path / "f2b"
    folder.mkdir()
    made = Fail2banServer(lab.target, folder, NFTABLES, log=tmp_path / "portsentry.log")
    yield made
    made.stop()
