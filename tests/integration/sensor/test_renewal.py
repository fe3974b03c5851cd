"""A fresh capture takes over while the old one runs, and nothing is missed.

Why: tshark remembers every address and grows in a flood, and the kernel's filter must learn of a UDP service
that starts later. What is dropped meanwhile is told without a handover too.
"""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from portsentry_py.capture import loss
from portsentry_py.capture.bpf import PLAIN, kernel_filter
from tests.integration.fixtures import StartSensor
from tests.support import tcpreplay
from tests.support.capturing import capturing, packets_in
from tests.support.namespaces import IFACE, Host, Lab, ip
from tests.support.needs import require_tool
from tests.support.scanning import nmap
from tests.support.workloads import strangers

pytestmark = pytest.mark.wire

FLOOD, FLOOD_PER_SECOND = 400_000, 20_000
GROWTH_MIB = 16
SIP, SECOND = 5060, "eth1"
DATAGRAMS = 2000
SLOWLY_PER_SECOND = 2_000
BURST = 20_000


@pytest.mark.slow
def test_a_flood_does_not_make_tshark_grow_and_hides_nobody(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path
) -> None:
    require_tool("tcpreplay")
    lab.silence()
    flood = tcpreplay.recorded(tmp_path / "flood.pcap", lab.visitor, lab.target, strangers, FLOOD)
    sensor = start_sensor(capture={"tshark_growth_mib": GROWTH_MIB})
    first = sensor.children()["tshark"].pid

    flooding = tcpreplay.start(lab.visitor, flood, FLOOD_PER_SECOND)
    sensor.wait_for(
        lambda: sensor.children().get("tshark", psutil.Process()).pid not in {first, psutil.Process().pid},
        "another tshark",
    )
    reference = tmp_path / "scan.pcapng"
    with capturing(lab.scanner, reference, "-f", kernel_filter(PLAIN, vlan=False)):
        nmap(lab.scanner, "-sS", "-p", "1-100", lab.target.ipv4[0])
        sent = tcpreplay.finish(flooding)
        source = lab.scanner.ipv4[0]
        sensor.wait_for_line("the scanner", event_type="scan", src_ip=source, verdict="ban")
        sensor.settle()
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert last["renewals"] >= 2
    assert (last["packets_dropped"], last["restarts"], last["packets_malformed"]) == (0, 0, 0)
    assert last["packets"] == sent.packets + packets_in(reference)
    assert {line["src_ip"] for line in sensor.matching(event_type="scan")} == {source}


def serve_udp(host: Host) -> None:
    """Open a port that takes what comes and never answers."""
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


def add_second_link(lab: Lab) -> None:
    target, visitor = lab.target.namespace, lab.visitor.namespace
    ip("-n", target, "link", "add", SECOND, "type", "veth", "peer", "name", SECOND, "netns", visitor)
    for host in (target, visitor):
        ip("-n", host, "link", "set", SECOND, "up")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_udp_service_that_starts_later_is_left_to_the_kernel(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path, workers: int
) -> None:
    """Packets come on two interfaces while the fresh capture takes over, and each is counted once."""
    require_tool("tcpreplay")
    add_second_link(lab)
    lab.silence()
    others = tcpreplay.recorded(tmp_path / "others.pcap", lab.visitor, lab.target, strangers, SLOWLY_PER_SECOND)
    sensor = start_sensor(iface="", interfaces=[IFACE, SECOND], capture={"workers": workers})
    old = sensor.children()["tshark"]
    serve_udp(lab.target)

    sent = 0
    while old.is_running() or "tshark" not in sensor.children():
        senders = [tcpreplay.start(lab.visitor, others, SLOWLY_PER_SECOND, iface=iface) for iface in (IFACE, SECOND)]
        sent += sum(tcpreplay.finish(one).packets for one in senders)
    send_udp(lab.scanner, lab.target)
    sensor.settle()
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert last["renewals"] >= 1  # more where the machine is slow
    assert (last["restarts"], last["packets_dropped"]) == (0, 0)
    assert last["packets"] == sent


def test_what_the_kernel_dropped_is_told_while_the_sensor_runs(lab: Lab, start_sensor: StartSensor) -> None:
    lab.silence()
    sensor = start_sensor(capture={"buffer_mib": 1})
    # The count at the beginning of a capture is in doubt for this time, and no line reports its end.
    time.sleep(loss._FIRST_LINE_SECONDS)
    tshark = sensor.children()["tshark"]

    # All is ready before: a tshark that is silent for three seconds is replaced.
    burst = lab.visitor.load_burst(IFACE, strangers(BURST, tcpreplay.link(lab.visitor, lab.target)))
    tshark.suspend()
    burst.communicate(timeout=60)
    tshark.resume()
    told = sensor.wait_for(
        lambda: [line for line in sensor.matching(state="running") if line["packets_dropped"]],
        "a line that tells of the loss",
    )[0]

    assert told["packets"] + told["packets_dropped"] == told["packets_seen"] == BURST
    assert (told["packets_pending"], told["packets_missed"]) == (0, 0)
    assert told["restarts"] == 0
    assert sensor.stop() == 0
    last = sensor.lines()[-1]
    assert {key: last[key] for key in ("packets", "packets_dropped")} == {
        key: told[key] for key in ("packets", "packets_dropped")
    }
