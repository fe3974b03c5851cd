"""A fresh capture takes over while the old one runs, and nothing is missed.

Why: tshark remembers every address and grows in a flood, and the kernel's filter must learn of a UDP service
that starts later. What is dropped meanwhile is told without one.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.sensor.conftest import StartSensor
from tests.support import tcpreplay
from tests.support.namespaces import IFACE, Host, Lab, ip
from tests.support.needs import require_tool
from tests.support.sensor import Line, Sensor
from tests.support.waiting import wait_for
from tests.support.workloads import strangers

pytestmark = pytest.mark.wire

PACKETS, PER_SECOND = 400_000, 20_000
GROWTH_MIB = 16
FETCHED_SECONDS = 1.0
SIP, SECOND = 5060, "eth1"
DATAGRAMS = 2000
SLOW_PACKETS, SLOW_PER_SECOND = 60_000, 2_000
BURST = 60_000
SETTLED_SECONDS, HELD_UP_SECONDS = 6.0, 1.0


def test_a_flood_does_not_make_tshark_grow_and_hides_nobody(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path
) -> None:
    require_tool("tcpreplay")
    tcpreplay.silence(lab)
    flood = tcpreplay.recorded(tmp_path / "flood.pcap", lab.visitor, lab.target, strangers, PACKETS)
    sensor = start_sensor(capture={"tshark_growth_mib": GROWTH_MIB})
    first = sensor.children()["tshark"].pid

    flooding = tcpreplay.start(lab.visitor, flood, PER_SECOND)
    wait_for(lambda: sensor.children().get("tshark", psutil.Process()).pid != first, "another tshark")
    source = lab.scanner.ipv4[0]
    scan = lab.scanner.run("nmap", "-n", "-Pn", "-sS", "-p", "1-100", lab.target.ipv4[0])
    assert scan.returncode == 0, scan.stderr
    sent = tcpreplay.finish(flooding)
    sensor.wait_for_line("the scanner", event_type="scan", src_ip=source, verdict="ban")
    wait_until_settled(sensor)
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert last["renewals"] >= 2
    assert (last["packets_dropped"], last["restarts"], last["packets_malformed"]) == (0, 0, 0)
    scanned = last["packets"] - sent.packets
    assert 100 <= scanned <= 2 * 110
    assert {line["src_ip"] for line in sensor.matching(event_type="scan")} == {source}


def serve_udp(host: Host) -> None:
    """Open a port that nobody answers at, and that takes what comes."""
    script = (
        "import socket; one = socket.socket(type=socket.SOCK_DGRAM); "
        f"one.bind(('', {SIP})); print('ready', flush=True)\nwhile True: one.recv(9999)"
    )
    service = host.start(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert service.stdout is not None
    assert service.stdout.readline() == "ready\n"


def send_udp(host: Host, target: Host) -> None:
    """Send datagrams to that port, slowly enough that each arrives."""
    script = (
        "import socket, time; one = socket.socket(type=socket.SOCK_DGRAM)\n"
        f"for _ in range({DATAGRAMS}): one.sendto(b'x', ('{target.ipv4[0]}', {SIP})); time.sleep(0.0005)"
    )
    done = host.run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def wait_for_handover(sensor: Sensor, old: psutil.Process) -> None:
    """Wait until another tshark has taken over from this one."""
    wait_for(
        lambda: not old.is_running() and "tshark" in sensor.children(),
        "the old tshark to end",
        evidence=sensor.evidence,
    )


def status_now(sensor: Sensor) -> Line:
    """Ask the sensor, which goes on, for a status line."""
    before = len(sensor.matching(state="reloaded"))
    sensor.process.send_signal(signal.SIGHUP)
    return wait_for(
        lambda: sensor.matching(state="reloaded")[before:], "a status line", evidence=sensor.evidence
    )[0]


def wait_until_settled(sensor: Sensor) -> None:
    """Wait until nothing comes any more: what dumpcap has not fetched when it ends is lost."""
    before, now = -1, status_now(sensor)["packets"]
    while before != now:
        time.sleep(FETCHED_SECONDS)
        before, now = now, status_now(sensor)["packets"]


def second_link(lab: Lab) -> None:
    """Another wire between visitor and target."""
    target, visitor = lab.target.namespace, lab.visitor.namespace
    ip("-n", target, "link", "add", SECOND, "type", "veth", "peer", "name", SECOND, "netns", visitor)
    for host in (target, visitor):
        ip("-n", host, "link", "set", SECOND, "up")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_udp_service_that_starts_later_is_left_to_the_kernel(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path, workers: int
) -> None:
    """Meanwhile packets come on two interfaces, and each is counted once."""
    require_tool("tcpreplay")
    second_link(lab)
    tcpreplay.silence(lab)
    others = tcpreplay.recorded(tmp_path / "others.pcap", lab.visitor, lab.target, strangers, SLOW_PACKETS)
    sensor = start_sensor(iface="", interfaces=[IFACE, SECOND], capture={"workers": workers})
    first = sensor.children()["tshark"]

    senders = [
        tcpreplay.start(lab.visitor, others, SLOW_PER_SECOND, iface=iface) for iface in (IFACE, SECOND)
    ]
    serve_udp(lab.target)
    wait_for_handover(sensor, first)
    assert [one.poll() for one in senders] == [None, None], "packets came while the fresh capture took over"
    send_udp(lab.scanner, lab.target)
    sent = sum(tcpreplay.finish(one).packets for one in senders)
    wait_until_settled(sensor)
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert (last["renewals"], last["restarts"], last["packets_dropped"]) == (1, 0, 0)
    assert last["packets"] == sent


def test_what_the_kernel_dropped_is_told_while_the_sensor_runs(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path
) -> None:
    require_tool("tcpreplay")
    tcpreplay.silence(lab)
    burst = tcpreplay.recorded(tmp_path / "burst.pcap", lab.visitor, lab.target, strangers, BURST)
    sensor = start_sensor(capture={"buffer_mib": 1})
    time.sleep(SETTLED_SECONDS)
    first = sensor.children()["tshark"]

    first.suspend()
    sent = tcpreplay.finish(tcpreplay.start(lab.visitor, burst, None))
    time.sleep(HELD_UP_SECONDS)
    first.resume()
    told = wait_for(
        lambda: [line for line in sensor.matching(state="running") if line["packets_dropped"]],
        "a line that tells of the loss",
        evidence=sensor.evidence,
    )[0]

    assert told["packets"] + told["packets_dropped"] == told["packets_seen"] == sent.packets
    assert (told["packets_pending"], told["packets_missed"]) == (0, 0)
    assert told["restarts"] == 0
    assert sensor.stop() == 0
    last = sensor.lines()[-1]
    assert {key: last[key] for key in ("packets", "packets_dropped")} == {
        key: told[key] for key in ("packets", "packets_dropped")
    }
