"""Interfaces come and go: what stays is heard without a gap, and what is new from its first packet on."""

import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.integration.fixtures import StartSensor
from tests.support import churn, tcpreplay
from tests.support.frames import SYN, Link, segment
from tests.support.namespaces import Lab
from tests.support.needs import require_tool
from tests.support.workloads import strangers

pytestmark = pytest.mark.wire

COMING = 52  # thirteen of each kind
PORTS = range(100, 108)
STEADY, STEADY_PER_SECOND = 1000, 100
# A bridge hands a broadcast to its port's neighbours and takes it too.
TO_ALL = Link(b"\xff" * 6, b"\x02\0\0\0\0\x01")


def test_what_stays_misses_no_packet_and_what_comes_is_heard_at_once(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path
) -> None:
    require_tool("tcpreplay")
    lab.silence()
    target = int(IPv4Address(lab.target.ipv4[0]))
    sensor = start_sensor(iface="", lines={"scans_per_second": 1000})
    steady = tcpreplay.recorded(tmp_path / "steady.pcap", lab.scanner, lab.target, strangers, STEADY)
    running = tcpreplay.start(lab.scanner, steady, STEADY_PER_SECOND)
    sources = [IPv4Address(f"198.{18 + nth % 2}.{nth}.7") for nth in range(COMING)]
    probes = ([segment(TO_ALL, (int(source), 40_000, target, port), SYN, port) for port in PORTS] for source in sources)
    text = "\n".join(" ".join(frame.hex() for frame in frames) for frames in probes)
    done = lab.target.run(sys.executable, churn.__file__, text=text)
    assert done.returncode == 0, done.stderr
    tcpreplay.finish(running)

    for source in sources:
        line = sensor.wait_for_line("the scan on an interface that came", event_type="scan", src_ip=str(source))
        assert line["in_iface"] == "any", "one capture has all that come and go"
    last = sensor.settle()
    losses = {name: last[name] for name in ("packets_missed", "packets_dropped", "restarts")}
    assert losses == {"packets_missed": 0, "packets_dropped": 0, "restarts": 0}
    # A bridge and its port, and both ends of a pair, have seen the same packets.
    assert last["packets"] == STEADY + COMING * len(PORTS)
    assert sensor.stop() == 0
