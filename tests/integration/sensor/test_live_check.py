"""`check --live` proves that the sensor hears, and tells when it does not."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.fixtures import StartSensor
from tests.support.namespaces import IFACE, Lab
from tests.support.sensor import Sensor

pytestmark = pytest.mark.wire


COMMAND = "from portsentry_py.checks import live; {}; from portsentry_py.cli.main import main; main()"
# On a busy machine a capture takes seconds to start. Where nobody answers, the command need not wait for long.
PATIENT = COMMAND.format("live._CAPTURE_SECONDS = live._SENSOR_SECONDS = 60.0")
IMPATIENT = COMMAND.format("live._SENSOR_SECONDS = 1.0")


def live_check(lab: Lab, sensor: Sensor, folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    config = folder / "check.yaml"
    config.write_text(yaml.safe_dump({"interfaces": [IFACE], "log": str(sensor.log)}))
    return lab.target.run(sys.executable, "-c", program, "check", "--live", "-c", config)


def test_a_running_sensor_hears_the_test_packet_and_a_stopped_one_does_not(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path
) -> None:
    sensor = start_sensor()
    done = live_check(lab, sensor, tmp_path, PATIENT)
    assert done.returncode in {0, 1}, done.stdout
    assert f"ok      capture: works on {IFACE}" in done.stdout
    assert "ok      sensor: received the test packet" in done.stdout
    assert sensor.stop() == 0
    assert {line["event_type"] for line in sensor.lines()} == {"status"}

    done = live_check(lab, sensor, tmp_path, IMPATIENT)
    assert done.returncode == 2
    assert "broken  sensor: no sensor reports in" in done.stdout
