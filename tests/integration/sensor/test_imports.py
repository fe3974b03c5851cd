"""What a sensor that runs has imported."""

import re

import pytest

from tests.integration.fixtures import StartSensor
from tests.support.namespaces import Lab
from tests.support.scanning import PORTS, nmap
from tests.support.sensor import RUN

pytestmark = pytest.mark.wire


def test_without_a_fleet_the_sensor_imports_nothing_of_it(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor(program=("-X", "importtime", *RUN))
    nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])
    sensor.wait_for_line("the scan", event_type="scan", src_ip=lab.scanner.ipv4[0], verdict="ban")
    assert sensor.stop() == 0
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", sensor.diagnostics.read_text(), re.MULTILINE))
    assert "portsentry_py.sensor.daemon" in imported
    packages = ("portsentry_py.fleet", "nats", "nkeys", "nacl", "cryptography", "asyncio")
    assert [name for name in imported if name.startswith(packages)] == []
