"""tshark remembers every address: in a flood it is replaced while it runs, and nothing is missed."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.bench import sending
from tests.bench.captures import strangers
from tests.tools import require_tool
from tests.wire.conftest import StartSensor
from tests.wire.lab import Lab
from tests.wire.waiting import wait_for

pytestmark = pytest.mark.wire

PACKETS, PER_SECOND = 400_000, 20_000
GROWTH_MIB = 16
# As few as the kernel's clock can tell apart, when two captures date one packet.
MOST_TWICE = 50


def test_a_flood_does_not_make_tshark_grow_and_hides_nobody(
    lab: Lab, start_sensor: StartSensor, tmp_path: Path
) -> None:
    require_tool("tcpreplay")
    sending.silence(lab)
    flood = sending.recorded(tmp_path / "flood.pcap", lab.visitor, lab.target, strangers, PACKETS)
    sensor = start_sensor(capture={"tshark_growth_mib": GROWTH_MIB})
    first = sensor.children()["tshark"].pid

    flooding = sending.start(lab.visitor, flood, PER_SECOND)
    wait_for(lambda: sensor.children().get("tshark", psutil.Process()).pid != first, "another tshark")
    source = lab.scanner.ipv4[0]
    scan = lab.scanner.run("nmap", "-n", "-Pn", "-sS", "-p", "1-100", lab.target.ipv4[0])
    assert scan.returncode == 0, scan.stderr
    sent = sending.finish(flooding)
    sensor.wait_for_line("the scanner", event_type="scan", src_ip=source, verdict="ban")
    assert sensor.stop() == 0

    last = sensor.lines()[-1]
    assert last["renewals"] >= 2
    assert (last["packets_dropped"], last["restarts"], last["packets_malformed"]) == (0, 0, 0)
    others = last["packets"] - sent.packets  # the scan, and what both captures gave
    assert 0 <= others <= 2 * 110 + MOST_TWICE * last["renewals"]
    assert {line["src_ip"] for line in sensor.matching(event_type="scan")} == {source}
