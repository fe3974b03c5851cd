"""A sensor and its bans go on whatever fails in the fleet, and what fails is said in one sentence.

One test, because its two hosts with all their programs take long to start.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.lab.fleet.wire import PROBED, SPARE, Fleet, fleet
from tests.support.disk import fill, small_disk
from tests.support.expired import expire
from tests.support.fleet_lab import BROKER, FleetHost
from tests.support.fleet_net import SCANNERS
from tests.support.needs import require_wire
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.wire]

HURT, HOUR = "web2", 3600


def start_again(made: Fleet, **settings: Any) -> FleetHost:
    """Start `fleet run` of the hurt host with other settings; what it said before is gone."""
    made.lab.hosts[HURT].stop()
    for name in ("run.err", "state.json"):
        (made.lab.folder / HURT / name).unlink(missing_ok=True)
    agent = made.lab.host(HURT, inside=made.machines[HURT].host.inside(), site=[SCANNERS], **settings)
    made.machines[HURT].agent = agent
    return agent


def says(agent: FleetHost, text: str) -> None:
    wait_for(lambda: text in agent.said(), repr(text), evidence=agent.said)


def hears(agent: FleetHost) -> None:
    """Wait until it has a broker and knows the other host."""
    path = agent.folder / "state.json"

    def look() -> bool:
        found = json.loads(path.read_text()) if path.exists() else {}
        return bool(found.get("broker")) and PROBED in found["peers"]

    wait_for(look, "the connection", evidence=agent.said)


def bans(made: Fleet, source: str) -> None:
    """The hurt host bans by itself."""
    made.probe(source, HURT)
    made.wait_for_rules(source, [HURT])


def brokers_that_are_down_at_the_start(made: Fleet, sources: list[str]) -> None:
    made.lab.kill_broker()
    agent = start_again(made)
    says(agent, "no connection to the broker")
    bans(made, sources[0])
    made.lab.start_broker()
    made.wait_for_rules(sources[0], [PROBED])
    says(agent, "broker: all is well again.")


def a_certificate_that_is_over(made: Fleet, sources: list[str]) -> None:
    made.lab.kill_broker()
    before = expire(made.lab.operator)
    try:
        made.lab.start_broker()
        agent = start_again(made)
        says(agent, "certificate has expired")
        bans(made, sources[0])
    finally:
        (made.lab.operator / "broker/broker.pem").write_bytes(before)
        made.lab.kill_broker()
        made.lab.start_broker()
    made.wait_for_rules(sources[0], [PROBED])


def clocks_that_are_an_hour_wrong(made: Fleet, sources: list[str]) -> None:
    for ahead, sentence in ((HOUR, "a live message that is old"), (-HOUR, "a message from the future")):
        source, other, *sources = sources
        agent = start_again(made, clock_seconds=ahead)
        bans(made, source)
        hears(agent)
        made.probe(other)
        made.wait_for_rules(other, [PROBED])
        says(agent, f"{PROBED}: {sentence}: compare the clocks")
        start_again(made)
        made.wait_for_rules(other, [HURT])


def a_disk_that_is_full(made: Fleet, sources: list[str]) -> None:
    with small_disk(made.lab.folder) as disk:
        disk.chmod(0o755)
        agent = start_again(made, log=str(disk / "fleet.log"), state=str(disk / "state.json"))
        wait_for((disk / "state.json").exists, "the state", evidence=agent.said)
        filler = fill(disk)
        made.probe(sources[0])
        made.wait_for_rules(sources[0], [PROBED])
        says(
            agent, "fleet.log: cannot write the log (No space left on device); make room on its file system. Lines wait"
        )
        says(agent, "state.json: cannot write it (No space left on device)")
        bans(made, sources[1])
        os.truncate(filler, 0)
        agent.wait_for_line(src_ip=sources[0])
        says(agent, "fleet.log: can be written again.")
        says(agent, "snapshot: all is well again.")
        start_again(made)


def ten_thousand_messages_at_once(made: Fleet, sources: list[str]) -> None:
    agent = start_again(made, mode="watch")
    hears(agent)
    spare = made.lab.host(SPARE, inside=made.net.broker.inside())
    for number in range(10_000):
        spare.scan(f"45.{80 + number // 65_536}.{number // 256 % 256}.{number % 256}")
    bans(made, sources[0])
    says(agent, f"{SPARE}: more new bans than new_per_minute permits; it is muted")
    made.wait_for_rules(sources[0], [PROBED])
    assert agent.runs()
    start_again(made)


STEPS = (
    brokers_that_are_down_at_the_start,
    a_certificate_that_is_over,
    clocks_that_are_an_hour_wrong,
    ten_thousand_messages_at_once,
    a_disk_that_is_full,
)


def test_a_sensor_bans_whatever_fails_in_the_fleet(tmp_path: Path) -> None:
    require_wire("nft", "fail2ban-server", "tshark", "dumpcap", "nsenter")
    with fleet(tmp_path, BROKER, count=2) as made:
        for number, step in enumerate(STEPS):
            print(step.__name__)
            step(made, made.net.sources[4 * number : 4 * number + 4])
