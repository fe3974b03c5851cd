"""`check --live` proves that the sensor hears, and tells when it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.sensor.conftest import StartSensor
from tests.support.namespaces import IFACE, Lab
from tests.support.sensor import Sensor

pytestmark = pytest.mark.wire


def live_check(lab: Lab, sensor: Sensor, folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask, on the sensor's host."""
    config = folder / "check.yaml"
    config.write_text(yaml.safe_dump({"interfaces": [IFACE], "log": str(sensor.log)}))
    return lab.target.run(sys.executable, "-m", "portsentry_py", "check", "--live", "-c", config)


def test_a_sensor_that_hears_says_so_and_one_that_is_gone_does_not(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path
) -> None:
    sensor = start_sensor()
    done = live_check(lab, sensor, tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"ok    capture: works on {IFACE}" in done.stdout
    assert "ok    sensor: received the test packet" in done.stdout
    assert sensor.stop() == 0
    assert {line["event_type"] for line in sensor.lines()} == {"status"}

    done = live_check(lab, sensor, tmp_path)
    assert done.returncode == 69
    assert "wrong sensor: no sensor reports in" in done.stdout
