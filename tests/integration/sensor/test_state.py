"""What a restarted sensor still knows, with real packets before and after."""

import pytest

from portsentry_py.state.codec import decode
from tests.integration.fixtures import StartSensor
from tests.support.namespaces import Lab
from tests.support.peers import HTTP_PORT
from tests.support.scanning import forge
from tests.support.sensor import Sensor, scan_verdicts

pytestmark = pytest.mark.wire

# Of these, five say too little and eight are enough.
BEFORE, AFTER = range(8001, 8006), range(8006, 8009)
SLOWLY = {"port_scan": {"min_ports": 128}, "slow": {"min_seconds": 1}}
OFTEN = (
    "import portsentry_py.state.checkpoint as m; m._SAVE_SECONDS = 0.2; from portsentry_py.cli.main import main; main()"
)


def probe(lab: Lab, sensor: Sensor, ports: range) -> None:
    """Let the scanner ask for some ports, and the sensor see it."""
    for port in ports:
        assert not lab.scanner.reaches(lab.target.ipv4[0], port)
        sensor.wait_for_line("the probe", src_ip=lab.scanner.ipv4[0], dest_port=port, outcome="refused")


def attempts_saved(sensor: Sensor, source: str) -> int:
    if not sensor.state.exists():
        return 0
    state = decode(sensor.state.read_bytes().partition(b"\n")[2])
    return sum(len(record.unserved) for record in state.known if record.source == source)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_a_restart_forgets_neither_a_slow_scanner_nor_a_friend(lab: Lab, start_sensor: StartSensor, end: str) -> None:
    sensor = start_sensor(detectors=SLOWLY, program=("-c", OFTEN) if end == "SIGKILL" else ("-m", "portsentry_py"))
    scanner, friend = lab.scanner.ipv4[0], lab.visitor.ipv4[0]
    lab.visitor.visit(lab.target, 20).communicate(timeout=120)
    probe(lab, sensor, BEFORE)
    if end == "SIGTERM":
        assert sensor.stop() == 0
    else:
        sensor.wait_for(lambda: attempts_saved(sensor, scanner) == len(BEFORE), "the save")
        sensor.process.kill()
        sensor.process.wait()
    assert attempts_saved(sensor, scanner) == len(BEFORE)
    assert not sensor.matching(event_type="scan")

    sensor.start()
    sensor.wait_until_ready()
    probe(lab, sensor, AFTER)

    line = sensor.wait_for_line("the scan", src_ip=scanner, event_type="scan")
    assert (line["verdict"], line["technique"], line["ports"]) == ("ban", "slow", 8)
    assert line["attempts"] >= len(BEFORE) + len(AFTER)
    forge(lab, friend, "--scan-delay", "50ms", "--min-rate", "20")  # a slow scan lasts a second
    sensor.wait_for_line("the forged scan", src_ip=friend, event_type="scan")
    assert scan_verdicts(sensor, friend) == {("watch", "friend")}
    assert lab.visitor.reaches(lab.target.ipv4[0], HTTP_PORT)
    assert sensor.stop() == 0
    assert {line["src_ip"] for line in sensor.matching(verdict="ban")} == {scanner}
    assert "state" not in sensor.diagnostics.read_text()
    assert {path.name for path in sensor.state.parent.glob("state*")} == {"state", "state.lock"}


def test_a_broken_file_is_told_once_and_the_sensor_watches(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor(detectors=SLOWLY)
    probe(lab, sensor, BEFORE)
    assert sensor.stop() == 0
    sensor.state.write_bytes(sensor.state.read_bytes()[:-1])

    sensor.start()
    sensor.wait_until_ready()
    probe(lab, sensor, AFTER)

    assert sensor.stop() == 0
    assert sensor.diagnostics.read_text().count("the state cannot be used (it is damaged)") == 1
    assert not sensor.matching(event_type="scan")
    assert sensor.state.with_name("state.broken").exists()
    assert attempts_saved(sensor, lab.scanner.ipv4[0]) == len(AFTER)
