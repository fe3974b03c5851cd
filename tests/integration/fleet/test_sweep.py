"""Hosts with a real broker: who asks each of them for little is seen by all together."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet_lab import FleetHost, FleetLab
from tests.support.schema import validate

SCANNER, PROVEN, MARK = "45.77.1.9", "45.77.2.9", "45.77.3.9"
NAMES = ("web1", "web2", "web3")
Start = Callable[..., list[FleetHost]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts three hosts that hear each other, with these settings."""
    lab = FleetLab(tmp_path, NAMES)

    def started(**settings: Any) -> list[FleetHost]:
        lab.start_broker()
        lab.publish()
        hosts = [lab.host(name, sweep_hosts=3, **settings) for name in NAMES]
        for number, host in enumerate(hosts):
            host.scan(f"45.66.1.{number}")
            for other in hosts:
                if other is not host:
                    other.wait_for_line(src_ip=f"45.66.1.{number}")
        return hosts

    try:
        yield started
    finally:
        lab.close()


def knock(host: FleetHost, source: str) -> None:
    """The sensor of the host writes an attempt on a port that nobody serves."""
    words = {"event_type": "connection", "verdict": "none", "technique": "none", "outcome": "refused", "src_port": 4}
    host.scan(source, verified=False, **words)


def test_a_source_that_asks_each_host_once_is_watched_by_all_and_banned_with_a_proof(start: Start) -> None:
    hosts = start()
    for host in hosts:
        knock(host, SCANNER)
    hosts[0].scan(PROVEN)
    for host in hosts[1:]:
        knock(host, PROVEN)
    for host in hosts:
        watched = host.wait_for_line(src_ip=SCANNER)
        banned = host.wait_for_line(src_ip=PROVEN, technique="fleet_sweep")
        for record in (watched, banned):
            validate(json.dumps(record).encode())
            assert (record["evidence"], record["reporters"], record["dest_port"]) == ("sweep", list(NAMES), 23)
        assert (watched["verdict"], watched["technique"]) == ("watch", "fleet_sweep")
        assert (banned["verdict"], banned["source_verified"]) == ("ban", True)


def test_hashed_sources_are_known_to_those_who_meet_them(start: Start) -> None:
    web1, web2, web3 = start(hash_sources=True, sweep_unverified="ban")
    knock(web1, SCANNER)
    knock(web2, SCANNER)
    knock(web3, SCANNER)
    for host in (web1, web2, web3):
        record = host.wait_for_line(src_ip=SCANNER)
        assert (record["verdict"], record["technique"], record["source_verified"]) == ("ban", "fleet_sweep", False)
