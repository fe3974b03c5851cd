"""Two pairs of dumpcap and tshark share the packets: each is seen once, and the death of one is reported."""

from pathlib import Path

import psutil
import pytest

from portsentry_py.capture.bpf import PLAIN, kernel_filter
from tests.integration.fixtures import StartSensor
from tests.support import tcpreplay
from tests.support.build import syn, write_pcap
from tests.support.capturing import capturing, packets_in
from tests.support.namespaces import Lab
from tests.support.needs import require_tool
from tests.support.processes import all_ended
from tests.support.scanning import nmap, scan_from
from tests.support.sensor import Sensor
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

WORKERS = 2
TAGGED_SCANNER, VLAN = "198.18.0.66", 7
PORTS = range(100, 161)
NAMED_PORTS = f"{PORTS[0]}-{PORTS[-1]}"


def all_tools(sensor: Sensor) -> list[psutil.Process]:
    """The capture tools of all workers, when they run."""
    return sensor.wait_for(lambda: found if len(found := sensor.capture_tools()) == 2 * WORKERS else None, "all tools")


def test_every_packet_is_seen_once_by_one_of_two(lab: Lab, start_sensor: StartSensor, tmp_path: Path) -> None:
    require_tool("tcpreplay")
    target = lab.target.ipv4[0]
    tagged = write_pcap(tmp_path / "tagged.pcap", syn(TAGGED_SCANNER, *PORTS, dst=target, vlan=VLAN))
    sensor = start_sensor(capture={"workers": WORKERS})
    all_tools(sensor)
    reference = tmp_path / "reference.pcapng"
    with capturing(lab.target, reference, "-f", kernel_filter(PLAIN, vlan=True)):
        first, second = lab.scanner.ipv4
        scan_from(lab.scanner, first, "-sS", "-p", NAMED_PORTS, target)
        scan_from(lab.scanner, second, "-sS", "-f", "-p", NAMED_PORTS, target)
        nmap(lab.scanner, "-6", "-sS", "-p", NAMED_PORTS, lab.target.ipv6[0])
        tcpreplay.finish(tcpreplay.start(lab.scanner, tagged, 1000))
        sources = {first, second, *lab.scanner.ipv6, TAGGED_SCANNER}
        for source in sources:
            sensor.wait_for_line("the scan", event_type="scan", src_ip=source)
        seen = sensor.settle()["packets"]
        wait_for(lambda: packets_in(reference) >= seen, f"{seen} packets in the other capture")
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert (last["packets_dropped"], last["packets_malformed"], last["restarts"]) == (0, 0, 0)
    assert last["packets"] == packets_in(reference) > 7 * len(PORTS)
    assert {line["src_ip"] for line in sensor.matching(event_type="scan")} == sources
    assert {line["vlan"] for line in sensor.matching(src_ip=TAGGED_SCANNER)} == {VLAN}


@pytest.mark.parametrize("victim", ["dumpcap", "tshark"])
def test_one_that_dies_ends_all_and_all_are_started_again(lab: Lab, start_sensor: StartSensor, victim: str) -> None:
    sensor = start_sensor(capture={"workers": WORKERS})
    before = all_tools(sensor)
    next(one for one in before if one.name() == victim).kill()
    sensor.wait_for_line("the end", event_type="status", state="interrupted", reason=f"{victim}_ended")
    sensor.wait_for_line("the restart", event_type="status", state="restarted")
    assert all_ended(before)
    all_tools(sensor)

    nmap(lab.scanner, "-sS", "-p", NAMED_PORTS, lab.target.ipv4[0])
    nmap(lab.scanner, "-6", "-sS", "-p", NAMED_PORTS, lab.target.ipv6[0])
    for source in (lab.scanner.ipv4[0], lab.scanner.ipv6[0]):
        sensor.wait_for_line("the scan", event_type="scan", src_ip=source, verdict="ban")
    assert sensor.stop() == 0
    assert sensor.lines()[-1]["restarts"] == 1
