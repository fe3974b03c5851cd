"""Visitors of served ports: the kernel keeps half of each session, and what is said of anybody is the same."""

import json
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from portsentry_py.capture.bpf import PLAIN, kernel_filter
from tests.integration.fixtures import StartSensor
from tests.support import tcpreplay
from tests.support.capturing import capturing, packets_in
from tests.support.frames import SYN, segment
from tests.support.namespaces import IFACE, Host, Lab
from tests.support.running import fields
from tests.support.scanning import nmap
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

REQUESTS = 40
SESSIONS = REQUESTS + 1  # one more is held open meanwhile
LATER, VISITS = 8443, 12
FORGED = 5_000


def browse(lab: Lab, reference: Path) -> None:
    """Let the visitor open and close its sessions, and capture what a filter without a host lets through."""
    with capturing(lab.target, reference, "-f", kernel_filter(PLAIN, vlan=True)):
        visit = lab.visitor.visit(lab.target, REQUESTS)
        said = visit.communicate(timeout=60)[0]
        assert json.loads(said)["answered"] == REQUESTS
        wait_for(lambda: packets_in(reference) >= 4 * SESSIONS, "the end of every session")


def serve_later(host: Host) -> subprocess.Popen[str]:
    """Open a port whose service waits for the end of each session, and ends it too."""
    script = (
        f"import socket; service = socket.create_server(('', {LATER})); print('ready', flush=True)\n"
        "while True:\n with service.accept()[0] as session: session.recv(1)"
    )
    service = host.start(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert service.stdout is not None
    assert service.stdout.readline() == "ready\n"
    return service


def kept(capture: Path) -> int:
    """The packets that stay in the kernel where ports 22 and 80 are served: first segments, and our ends."""
    ours = "tcp.flags.fin == 1 and tcp.srcport in {22, 80}"
    calls = "tcp.flags == 2 and tcp.hdr_len == 40 and tcp.dstport in {22, 80}"
    return len(fields(capture, ["frame.number"], "-Y", f"({ours}) or ({calls})"))


def test_a_visit_is_two_packets_and_not_four(lab: Lab, start_sensor: StartSensor, tmp_path: Path) -> None:
    sensor, reference = start_sensor(), tmp_path / "reference.pcapng"
    browse(lab, reference)
    seen = sensor.settle()
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    unseen = kept(reference)
    assert unseen >= 2 * SESSIONS
    # A busy machine sends a packet again now and then.
    assert seen["packets_seen"] == last["packets"] == packets_in(reference) - unseen >= 2 * SESSIONS
    assert (last["packets_dropped"], last["packets_malformed"], last["restarts"]) == (0, 0, 0)
    assert sensor.matching(src_ip=lab.visitor.ipv4[0]) == []


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_scan_that_connects_to_a_served_port_is_still_verified(
    lab: Lab, start_sensor: StartSensor, family: str
) -> None:
    source, target = (getattr(host, family)[0] for host in (lab.scanner, lab.target))
    sensor = start_sensor()
    words = ("-sT", *(["-6"] if family == "ipv6" else []), target)
    nmap(lab.scanner, "-p", "30-33", *words)
    assert lab.scanner.reaches(target, 80), "its own end is the proof, once it has asked for what nobody serves"
    nmap(lab.scanner, "-p", "34-60", *words)
    line = sensor.wait_for_line("the scan", src_ip=source, event_type="scan", verdict="ban")
    assert (line["source_verified"], line["scan_type"]) == (True, "connect")


def test_where_each_visit_has_a_line_its_first_segment_passes(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor(connections="all")
    for _ in range(3):
        assert lab.visitor.reaches(lab.target.ipv4[0], 80)
    line = sensor.wait_for_line("a visit", src_ip=lab.visitor.ipv4[0], event_type="connection")
    assert (line["outcome"], line["scan_type"], line["dest_port"]) == ("served", "connect", 80)


def test_in_a_flood_of_first_segments_to_a_served_port_a_session_is_still_proof(
    lab: Lab, start_sensor: StartSensor
) -> None:
    """Of those that the kernel keeps, the sensor sees our answers alone, until the kernel answers with cookies."""
    target = lab.target.ipv4[0]
    ends = (int(IPv4Address("198.18.0.0")), 40_000, int(IPv4Address(target)), 80)
    link = tcpreplay.link(lab.visitor, lab.target)
    flood = (segment(link, (ends[0] + nth, *ends[1:]), SYN, nth) for nth in range(FORGED))
    lab.target.run("ip", "route", "add", "198.18.0.0/15", "via", lab.visitor.ipv4[0])
    burst, sensor = lab.visitor.load_burst(IFACE, flood), start_sensor()
    nmap(lab.scanner, "-sT", "-p", "30-33", target)
    burst.communicate(timeout=60)
    assert lab.scanner.reaches(target, 80)
    nmap(lab.scanner, "-sT", "-p", "34-60", target)
    line = sensor.wait_for_line("the scan", src_ip=lab.scanner.ipv4[0], event_type="scan", verdict="ban")
    assert line["source_verified"]
    seen = sensor.settle()
    assert FORGED // 2 < seen["packets_held"] < seen["packets"] < 2 * FORGED
    assert sensor.stop() == 0
    assert {one["src_ip"] for one in sensor.matching(event_type="scan")} == {lab.scanner.ipv4[0]}


@pytest.mark.slow
def test_a_service_that_stops_is_watched_again(lab: Lab, start_sensor: StartSensor) -> None:
    service = serve_later(lab.target)
    sensor, target = start_sensor(), lab.target.ipv4[0]
    lab.visitor.reaches(target, LATER)
    service.kill()
    service.wait()
    assert not lab.visitor.reaches(target, LATER)
    sensor.wait_for(lambda: sensor.status_now()["renewals"], "a capture that knows the ports")
    assert not lab.scanner.reaches(target, LATER)
    line = sensor.wait_for_line("the refusal", src_ip=lab.scanner.ipv4[0], event_type="connection")
    assert (line["outcome"], line["scan_type"], line["dest_port"]) == ("refused", "connect", LATER)


def test_a_service_that_comes_later_costs_no_fresh_capture(lab: Lab, start_sensor: StartSensor, tmp_path: Path) -> None:
    sensor, reference = start_sensor(), tmp_path / "reference.pcapng"
    serve_later(lab.target)
    with capturing(lab.target, reference, "-f", kernel_filter(PLAIN, vlan=True)):
        for _ in range(VISITS):
            assert lab.visitor.reaches(lab.target.ipv4[0], LATER)
        wait_for(lambda: packets_in(reference) >= 4 * VISITS, "the end of every session")
        sensor.settle()
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert (last["renewals"], last["restarts"], last["packets_dropped"]) == (0, 0, 0)
    assert last["packets_seen"] == last["packets"] == packets_in(reference) >= 4 * VISITS
    assert sensor.matching(event_type="scan") == []
