"""Few scanners in the place of many: that the measurement measures."""

import pytest

from tests.lab import ban_time
from tests.lab.ban_time import Ban
from tests.support.needs import require_wire

SCANS, SWARM = 2, 12


@pytest.mark.slow
@pytest.mark.wire
def test_every_scanner_is_banned_and_one_that_goes_on_costs_few_lines() -> None:
    require_wire("nft", "nmap", "dumpcap", "tshark", "fail2ban-server")
    with ban_time.bench(SCANS + SWARM + 1) as made:
        bans = ban_time.one_by_one(made, SCANS) + ban_time.at_once(made, SCANS, SWARM)
        lines = ban_time.going_on(made, SCANS + SWARM, minutes=0.1)

    assert len(bans) == SCANS + SWARM
    assert all(ban.seconds > 0 and ban.probes >= 8 for ban in bans)
    assert sum(" Ban " in line for line in lines) == 1
    assert len(lines) <= 5


def test_a_row_has_median_ninth_tenth_and_longest() -> None:
    bans = [Ban(float(seconds), 10 * seconds) for seconds in range(1, 11)]
    assert ban_time.row("ten", bans) == ["ten", "5.50 s", "9.00 s", "10.00 s", "55"]
