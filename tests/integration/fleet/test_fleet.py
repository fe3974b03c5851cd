"""Hosts with a real broker: what one sees, the others ban; what fails is reported and tried again."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from portsentry_py.config.settings import OFF_WORD, Fleet
from portsentry_py.fleet import credentials
from portsentry_py.fleet.agent import Agent, Host
from portsentry_py.fleet.protection import Protection
from tests.support.fleet_lab import FleetLab, fleet, now_us
from tests.support.schema import validate
from tests.support.waiting import wait_for

SCANNER, OTHER = "45.77.1.9", "45.77.2.9"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[FleetLab]:
    found = FleetLab(tmp_path, ("web1", "web2", "web3"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def started(lab: FleetLab) -> FleetLab:
    """Three hosts that hear each other."""
    lab.start_broker()
    lab.publish()
    for name in ("web1", "web2", "web3"):
        lab.host(name)
    for name, address in (("web1", "45.66.1.1"), ("web2", "45.66.1.2"), ("web3", "45.66.1.3")):
        lab.hosts[name].scan(address)
        for other in lab.hosts.values():
            if other.name != name:
                other.wait_for_line(src_ip=address)
    return lab


def test_what_one_host_sees_all_others_ban_and_lift(started: FleetLab) -> None:
    web1, web2, web3 = started.hosts.values()
    web1.scan(SCANNER)
    for host in (web2, web3):
        record = host.wait_for_line(src_ip=SCANNER)
        validate(json.dumps(record).encode())
        assert (record["verdict"], record["technique"], record["reporters"]) == ("ban", "fleet", ["web1"])
    web1.scan(SCANNER, verdict="watch", reason="withdrawn")
    for host in (web2, web3):
        assert host.wait_for_line(src_ip=SCANNER, state="withdrawn")["verdict"] == "none"
    assert web1.lines(src_ip=SCANNER) == [], "what was received is never reported again"
    print("stderr of the hosts:", [host.said() for host in started.hosts.values()])


def test_unverified_evidence_needs_two_hosts(started: FleetLab) -> None:
    web1, web2, web3 = started.hosts.values()
    web1.scan(SCANNER, verified=False)
    web1.scan(OTHER)
    web3.wait_for_line(src_ip=OTHER)
    assert web3.lines(src_ip=SCANNER) == []
    web2.scan(SCANNER, verified=False)
    assert web3.wait_for_line(src_ip=SCANNER)["reporters"] == ["web1", "web2"]


def test_a_broker_that_is_killed_and_a_host_that_was_away_lose_nothing(started: FleetLab) -> None:
    web1, web2, web3 = started.hosts.values()
    assert web3.stop() == 0
    started.kill_broker()
    web1.scan(SCANNER)
    wait_for(lambda: "the connection to the broker has ended" in web1.said(), "the report", evidence=web1.said)
    started.start_broker()
    web2.wait_for_line(src_ip=SCANNER)
    wait_for(lambda: "all is well again" in web1.said(), "the end of the trouble", evidence=web1.said)
    web3.start()
    web3.wait_for_line(src_ip=SCANNER)


def test_a_host_starts_without_broker_and_without_log(lab: FleetLab) -> None:
    web1, web2 = lab.host("web1"), lab.host("web2")
    web1.own_log.unlink()
    wait_for(lambda: "no connection to the broker" in web1.said(), "the report", evidence=web1.said)
    lab.start_broker()
    wait_for(lambda: all("has no roster" in one.said() for one in (web1, web2)), "the report", evidence=web1.said)
    lab.publish()
    web1.own_log.touch()
    wait_for(lambda: "roster: all is well again" in web2.said(), "the roster", evidence=web2.said)
    web1.scan(SCANNER)
    web2.wait_for_line(src_ip=SCANNER)


def test_a_host_that_is_removed_is_shut_out(started: FleetLab) -> None:
    web1, web2, web3 = started.hosts.values()
    web1.scan(SCANNER)
    web2.wait_for_line(src_ip=SCANNER)
    fleet("remove-host", started.operator, "web1")
    started.publish()
    assert web2.wait_for_line(src_ip=SCANNER, state="withdrawn")
    started.reload_broker()
    wait_for(lambda: "authorization" in web1.said().lower(), "the refusal", evidence=web1.said)
    web2.scan(OTHER)
    web3.wait_for_line(src_ip=OTHER)
    assert web1.lines(src_ip=OTHER) == []


def test_ten_thousand_lines_at_once_lose_nothing_of_other_hosts(started: FleetLab) -> None:
    web1, web2, web3 = started.hosts.values()
    begun = now_us()
    for number in range(10_000):
        web1.scan(f"45.{80 + number // 65_536}.{number // 256 % 256}.{number % 256}")
    web2.scan(SCANNER)
    assert web3.wait_for_line(src_ip=SCANNER)
    wait_for(lambda: "it is muted" in web3.said(), "the quota", evidence=web3.said)
    assert all(host.runs() for host in started.hosts.values())
    assert len(web3.lines()) < 1000
    print(f"10,000 lines: {(now_us() - begun) / 1e6:.1f} s")


def test_lines_that_were_lost_are_reported(lab: FleetLab, caplog: pytest.LogCaptureFixture) -> None:
    secret = credentials.read(lab.operator / "hosts/web1.json")
    host = Host(lab.folder / "portsentry.log", Protection, lambda _: None, now_us, lambda: 5)
    agent = Agent(Fleet(state=OFF_WORD), secret, host)

    async def run() -> None:
        job = asyncio.create_task(agent.run())
        await asyncio.to_thread(wait_for, lambda: "lines of the fleet were lost" in caplog.text, "the report")
        agent.stop()
        await job

    asyncio.run(run())


def test_no_secret_is_in_any_text(started: FleetLab) -> None:
    texts = [path.read_text(errors="replace") for path in started.folder.rglob("*.err")]
    texts += [path.read_text(errors="replace") for path in started.folder.rglob("*.log")]
    for host in started.hosts.values():
        seed = json.loads(host.credentials.read_text())["seed"]
        assert not any(seed in text for text in texts)
