"""Two pairs of dumpcap and tshark share the packets: each is seen once, and a pair that dies is no secret."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from portsentry_py.capture.bpf import kernel_filter
from tests.integration.sensor.conftest import StartSensor
from tests.support import tcpreplay
from tests.support.build import syn, write_pcap
from tests.support.namespaces import IFACE, Host, Lab
from tests.support.needs import require_tool
from tests.support.processes import all_ended
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

WORKERS = 2
TAGGED_SCANNER, VLAN = "198.18.0.66", 7
# A host reports the multicast groups of its new interface for so long: one of the captures might miss it.
REPORTS_SECONDS = 4.0
PORTS = range(100, 161)


def nmap(scanner: Host, *words: str) -> None:
    """Scan a few ports."""
    done = scanner.run("nmap", "-n", "-Pn", "-p", f"{PORTS[0]}-{PORTS[-1]}", *words)
    assert done.returncode == 0, done.stderr


def packets_in(path: Path) -> int:
    """How many packets a capture holds."""
    command = [require_tool("capinfos"), "-M", "-T", "-r", "-c", str(path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(told.split("\t")[-1])


def test_every_packet_is_seen_once_by_one_of_two(lab: Lab, start_sensor: StartSensor, tmp_path: Path) -> None:
    require_tool("tcpreplay")
    target = lab.target.ipv4[0]
    tagged = write_pcap(tmp_path / "tagged.pcap", syn(TAGGED_SCANNER, *PORTS, dst=target, vlan=VLAN))
    time.sleep(REPORTS_SECONDS)
    sensor = start_sensor(capture={"workers": WORKERS})
    assert len(sensor.capture_tools()) == 2 * WORKERS
    witness, said = tmp_path / "witness.pcapng", tmp_path / "witness.said"
    with said.open("w") as output:
        dumpcap = lab.target.start(
            *("dumpcap", "-q", "-i", IFACE, "-f", kernel_filter((), vlan=True), "-w", witness), stderr=output
        )
    wait_for(lambda: "File: " in said.read_text(), "the witness to capture")

    first, second = lab.scanner.ipv4
    nmap(lab.scanner, "-sS", "-S", first, "-e", IFACE, target)
    nmap(lab.scanner, "-sS", "-f", "-S", second, "-e", IFACE, target)
    nmap(lab.scanner, "-6", "-sS", lab.target.ipv6[0])
    tcpreplay.finish(tcpreplay.start(lab.scanner, tagged, 1000))
    sources = {first, second, *lab.scanner.ipv6, TAGGED_SCANNER}
    for source in sources:
        sensor.wait_for_line("the scan", event_type="scan", src_ip=source)
    time.sleep(1)  # what it has not fetched from the kernel, it would leave there
    dumpcap.terminate()
    dumpcap.wait(30)
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert (last["packets_dropped"], last["packets_malformed"], last["restarts"]) == (0, 0, 0)
    assert last["packets"] == packets_in(witness) > 7 * len(PORTS)
    assert {line["src_ip"] for line in sensor.matching(event_type="scan")} == sources
    assert {line["vlan"] for line in sensor.matching(src_ip=TAGGED_SCANNER)} == {VLAN}


@pytest.mark.parametrize("victim", ["dumpcap", "tshark"])
def test_one_that_dies_ends_all_and_all_are_started_anew(
    lab: Lab, start_sensor: StartSensor, victim: str
) -> None:
    sensor = start_sensor(capture={"workers": WORKERS})
    before = sensor.capture_tools()
    next(one for one in before if one.name() == victim).kill()
    sensor.wait_for_line("the end", event_type="status", state="interrupted", reason=f"{victim}_ended")
    sensor.wait_for_line("the restart", event_type="status", state="restarted")
    assert all_ended(before)
    wait_for(lambda: len(sensor.capture_tools()) == 2 * WORKERS, "all of them", evidence=sensor.evidence)

    nmap(lab.scanner, "-sS", lab.target.ipv4[0])
    nmap(lab.scanner, "-6", "-sS", lab.target.ipv6[0])
    for source in (lab.scanner.ipv4[0], lab.scanner.ipv6[0]):
        sensor.wait_for_line("the scan", event_type="scan", src_ip=source, verdict="ban")
    assert sensor.stop() == 0
    assert sensor.lines()[-1]["restarts"] == 1
