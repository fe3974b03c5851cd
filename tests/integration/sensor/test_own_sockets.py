"""What the sensor reads of this host's own sockets: ports that were just opened, and who scans others."""

import sys
from subprocess import PIPE

import pytest

from tests.integration.fixtures import StartSensor
from tests.support.namespaces import Lab
from tests.support.scanning import scan_from

pytestmark = pytest.mark.wire

PORTS = range(20_000, 20_020)
# Prints a line when all are open.
OPEN = """
import socket, sys, time
held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(sys.argv[1]), int(sys.argv[2]))]
for port, one in enumerate(held, int(sys.argv[1])):
    one.bind(("", port))
print("open", flush=True)
time.sleep(600)
"""
SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for port in range(int(sys.argv[2]), int(sys.argv[3])):
        sender.sendto(b"news", (sys.argv[1], port))
"""


def test_datagrams_to_sockets_that_were_just_opened_are_no_scan_and_those_to_others_are(
    lab: Lab, start_sensor: StartSensor
) -> None:
    """The sensor reads the sockets again before it judges."""
    sensor = start_sensor()
    ends = (str(PORTS.start), str(PORTS.stop))
    users, scanner = lab.scanner.ipv4
    target = lab.target.ipv4[0]

    holder = lab.target.start(sys.executable, "-c", OPEN, *ends, stdout=PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    assert lab.scanner.run(sys.executable, "-c", SEND, target, *ends).returncode == 0
    scan_from(lab.scanner, scanner, "-sU", "-p", "20100-20130", target)

    sensor.wait_for_line("the scan", src_ip=scanner, event_type="scan", verdict="ban")
    sensor.settle()
    assert sensor.matching(src_ip=users, event_type="scan") == []


def test_a_process_that_scans_others_is_named(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor()

    # Slow enough to be there still when the sensor looks.
    lab.target.start("nmap", "-n", "-Pn", "-sS", "--max-rate", "10", "-p", "1-600", lab.scanner.ipv4[0])

    line = sensor.wait_for_line("the scan", src_ip=lab.target.ipv4[0], direction="outbound")
    assert (line["verdict"], line["technique"]) == ("watch", "outbound")
    sensor.wait_for_diagnostics("it comes from nmap (pid ")
