"""Only what left this host speaks for it, and a served UDP port hides nobody."""

import subprocess
import sys
from ipaddress import IPv4Address

import pytest

from tests.integration.fixtures import StartSensor
from tests.support.build import tcp
from tests.support.frames import ACK, SYN, Link, segment
from tests.support.namespaces import IFACE, Host, Lab, ip
from tests.support.peers import ECHO_PORT
from tests.support.scanning import PORTS, nmap

pytestmark = pytest.mark.wire

LAST = int(PORTS.partition("-")[2])
# Nobody has this link address, so the switch sends the frame to all.
ELSEWHERE = Link(bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))
ANOTHER = "203.0.113.77"


def answers(ours: str, theirs: str) -> list[bytes]:
    """SYN-ACKs as if one of our addresses served every port."""
    ports = range(1, LAST + 1)
    if ":" in ours:
        return [tcp(ours, theirs, port, 40_000, SYN | ACK).frame for port in ports]
    # With right checksums: a switch that is a bridge of Linux drops others.
    ends = (int(IPv4Address(ours)), int(IPv4Address(theirs)))
    return [segment(ELSEWHERE, (ends[0], port, ends[1], 40_000), SYN | ACK, port) for port in ports]


def answer_for(lab: Lab, *pairs: tuple[str, str], sender: Host | None = None, iface: str = IFACE) -> None:
    """The scanner sends answers in the name of the first address of each pair to the second, all at once."""
    frames = [frame for pair in pairs for frame in answers(*pair)]
    (sender or lab.scanner).load_burst(iface, frames).communicate(timeout=60)


@pytest.mark.parametrize("iface", [IFACE, "any"])
def test_answers_that_somebody_forges_in_our_name_teach_nothing(
    lab: Lab, start_sensor: StartSensor, iface: str
) -> None:
    sensor = start_sensor(iface=iface)
    scanner, target = lab.scanner, lab.target
    forged = [(target.ipv4[0], scanner.ipv4[0]), (target.ipv6[0], scanner.ipv6[0]), (target.ipv4[0], target.ipv4[0])]

    # The report counts those of its first ten seconds.
    answer_for(lab, *forged)
    nmap(scanner, "-sS", "-p", PORTS, target.ipv4[0])

    sensor.wait_for_line("the scan", src_ip=scanner.ipv4[0], event_type="scan", verdict="ban")
    status = sensor.settle()
    assert status["packets_forged"] == len(forged) * LAST
    assert (status["packets_dropped"], status["packets_missed"]) == (0, 0)
    sensor.wait_for_diagnostics(f"{len(forged) * LAST} packets with a source address of ours came in on {iface};")


def test_an_address_that_this_host_gets_later_is_ours_too(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor()
    lab.target.run("ip", "addr", "add", f"{ANOTHER}/32", "dev", IFACE)

    sensor.wait_for(lambda: sensor.status_now()["renewals"], "a capture that knows the address")
    answer_for(lab, (ANOTHER, lab.scanner.ipv4[0]))

    assert sensor.settle()["packets_forged"] == LAST


def test_a_router_believes_no_host_of_its_network_that_comes_in_from_elsewhere(
    lab: Lab, start_sensor: StartSensor
) -> None:
    target, visitor = lab.target.namespace, lab.visitor.namespace
    ip("-n", target, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", visitor)
    for host in (target, visitor):
        ip("-n", host, "link", "set", "eth1", "up")
    ip("-n", target, "addr", "add", "10.0.0.1/24", "dev", "eth1")
    ip("-n", target, "route", "add", "default", "via", lab.scanner.ipv4[0], "dev", IFACE, "onlink")
    sensor = start_sensor(iface="", interfaces=[IFACE, "eth1"], home=["10.0.0.0/24"])

    strange = ("10.0.0.5", lab.scanner.ipv4[0])
    answer_for(lab, strange, sender=lab.visitor, iface="eth1")
    before = sensor.settle()
    answer_for(lab, strange)
    after = sensor.settle()

    assert before["packets"] >= LAST
    assert before["packets_forged"] == 0
    assert after["packets"] - before["packets"] < LAST
    assert after["packets_forged"] == LAST


def test_a_user_who_opens_many_udp_ports_blinds_nobody(lab: Lab, start_sensor: StartSensor) -> None:
    """A filter with all of them would take libpcap half a minute, or the command line would be too long."""
    sensor = start_sensor()
    script = (
        "import os, resource, socket; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)); os.setuid(65534)\n"
        "some = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(4000)]\n"
        "[one.bind(('', 20_000 + 2 * number)) for number, one in enumerate(some)]; print('ready', flush=True); input()"
    )
    user = lab.target.start(sys.executable, "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert user.stdout is not None
    assert user.stdout.readline() == "ready\n"

    sensor.wait_for(lambda: sensor.status_now()["renewals"], "a capture that knows the ports")
    nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])
    sensor.wait_for_line("the scan", src_ip=lab.scanner.ipv4[0], event_type="scan", verdict="ban")
    assert "does not start" not in sensor.diagnostics.read_text()
    assert sensor.stop() == 0
    sensor.start()
    sensor.wait_until_ready()
    assert sensor.settle()["restarts"] == 0


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_udp_scan_from_a_port_that_we_serve_is_seen(lab: Lab, start_sensor: StartSensor, family: str) -> None:
    lab.target.serve("echo")
    sensor = start_sensor()
    target, scanner = (getattr(host, "ipv4" if family == "-4" else "ipv6")[0] for host in (lab.target, lab.scanner))

    nmap(lab.scanner, "-sU", "-g", str(ECHO_PORT), "-p", "1-30", *([family] if family == "-6" else []), target)

    line = sensor.wait_for_line("the scan", src_ip=scanner, event_type="scan")
    assert line["scan_type"] == "udp"
