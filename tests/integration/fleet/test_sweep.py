"""Hosts with a real broker: who asks each of them for little is seen by all together."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from portsentry_py.fleet import credentials
from portsentry_py.fleet.messages import Contact, SeenMessage, encode
from portsentry_py.fleet.subjects import inbox, seen_subject
from tests.support.fleet_lab import FleetHost, FleetLab, now_us
from tests.support.schema import validate
from tests.support.waiting import wait_for

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


def test_hashed_sources_are_known_to_those_who_meet_them_and_metrics_count_them(start: Start, tmp_path: Path) -> None:
    metrics = tmp_path / "fleet.prom"
    web1, web2, web3 = start(hash_sources=True, sweep_unverified="ban", textfile=str(metrics))
    knock(web1, SCANNER)
    knock(web2, SCANNER)
    knock(web3, SCANNER)
    for host in (web1, web2, web3):
        record = host.wait_for_line(src_ip=SCANNER)
        assert (record["verdict"], record["technique"], record["source_verified"]) == ("ban", "fleet_sweep", False)
    series = 'portsentry_fleet_sweeps_active{verdict="ban"} 1.0'
    wait_for(lambda: metrics.exists() and series in metrics.read_text(), "the metrics", evidence=web1.said)


async def contacts_of_a_thief(host: FleetHost, own: list[bytes], foreign: bytes) -> None:
    """Publish with the key of a host on its own subject, and once on that of another, which the broker refuses."""
    secret, refused = credentials.read(host.credentials), asyncio.Event()

    async def fault(error: Exception) -> None:
        if 'permissions violation for publish to "psp.seen.web2"' in str(error).lower():
            refused.set()

    client = await nats.connect(
        list(secret.servers),
        nkeys_seed_str=secret.seed,
        inbox_prefix=inbox(secret.name),
        tls=ssl.create_default_context(cadata=secret.authority),
        tls_handshake_first=True,
        error_cb=fault,
    )
    for payload in own:
        await client.publish(seen_subject(secret.name), payload)
    await client.publish("psp.seen.web2", foreign)
    await client.flush(30)
    await asyncio.wait_for(refused.wait(), 30)
    await client.close()


def test_the_thief_of_one_key_counts_once_and_its_flood_is_cut_off(start: Start) -> None:
    web1, web2, thief = start()
    thief.stop()
    innocents = [Contact(f"45.88.{number // 250}.{number % 250}", 22, "syn", True) for number in range(5000)]
    issued_us = now_us()
    payloads = [
        encode(SeenMessage(1, issued_us + number, 0, tuple(innocents[number * 100 : number * 100 + 100])))
        for number in range(50)
    ]
    foreign = encode(SeenMessage(1, issued_us, 0, (Contact(SCANNER, 22, "syn", True),)))
    payloads += [b"x", foreign]
    asyncio.run(contacts_of_a_thief(thief, payloads, foreign))
    knock(web1, SCANNER)
    knock(web1, innocents[0].address)
    wait_for(lambda: "more contacts than a host" in web1.said(), "the limit", evidence=web1.said)
    wait_for(lambda: "none of ours" in web1.said(), "the malformed one", evidence=web1.said)
    knock(web2, MARK)
    web2.scan(MARK)
    web1.wait_for_line(src_ip=MARK)
    assert web1.lines(technique="fleet_sweep") == []
