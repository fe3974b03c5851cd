"""Three brokers, of which any one may die at any moment: every ban comes to every host."""

from pathlib import Path

import pytest

from tests.lab.fleet.brokers import kill, make_lab, reporting, wait_for_all
from tests.support.fleet_lab import BROKER

pytestmark = pytest.mark.slow


def test_a_broker_that_is_killed_loses_no_ban(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, BROKER, ("web1", "web2", "web3"))
    try:
        with reporting(lab) as reports:
            kills = [kill(lab, number, down=1) for number in range(3)]
        lost = wait_for_all(lab, reports)
        assert lost == 0, [host.said() for host in lab.hosts.values()]
    finally:
        lab.close()
    assert len(reports.hosts) > len(kills)
