"""The soak in small: everything is counted, and nothing is lost."""

import pytest

from tests.lab.soak import live, simulated
from tests.lab.soak.quarters import QUARTERS, Quarter, shown
from tests.support.needs import require_root, require_tool, require_wire


def test_the_last_quarter_stands_beside_the_first() -> None:
    mib = 1 << 20
    quarters = [Quarter(1000, 0.01, {"python": 50 * mib}), Quarter(2000, 0.03, {"python": 75 * mib})]
    assert shown(quarters).splitlines()[-1].split("|")[1:-1] == [" last / first ", "  ", " 1.50 ", "  ", " 1.50 "]


@pytest.mark.slow
def test_a_simulated_day_names_every_scanner() -> None:
    require_root()
    require_tool("tshark")
    quarters, last, lines = simulated.measure(2)
    assert len(quarters) == QUARTERS
    assert sum(quarter.packets for quarter in quarters) == last["packets"]
    assert {"python", "tshark"} <= set(quarters[-1].peaks)
    assert (last["restarts"], last["packets_malformed"]) == (0, 0)
    assert lines["scan port_scan"] >= 2 * 8
    assert lines["scan slow"] >= 1


@pytest.mark.slow
@pytest.mark.wire
def test_the_live_sensor_accounts_for_every_packet() -> None:
    require_wire("tcpreplay", "nmap", "tshark")
    quarters, last = live.measure(8)
    assert sum(quarter.packets for quarter in quarters) <= last["packets"]
    assert last["packets"] == last["packets_seen"] > 0
    assert (last["packets_dropped"], last["packets_missed"], last["restarts"]) == (0, 0, 0)
