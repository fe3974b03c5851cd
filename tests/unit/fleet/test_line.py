"""What others ban is a line of the contract."""

import json

import pytest

from portsentry_py.fleet.change import Change
from portsentry_py.fleet.line import line
from portsentry_py.output.json_log import json_line
from tests.support.fleet import MINUTE_US, NOW_US, ban
from tests.support.schema import validate


@pytest.mark.parametrize(
    ("bans", "mode", "verdict", "state"),
    [(True, "ban", "ban", "reported"), (True, "watch", "watch", "reported"), (False, "ban", "none", "withdrawn")],
)
def test_the_mode_and_the_change_give_the_verdict(bans: bool, mode: str, verdict: str, state: str) -> None:
    change = Change(bans, ban(), ("web1",), NOW_US + MINUTE_US)
    record = validate(json_line(line(change, "ban" if mode == "ban" else "watch", NOW_US)))
    assert (record["verdict"], record["state"]) == (verdict, state)
    assert (record["technique"], record["evidence"], record["reporters"]) == ("fleet", "port_scan", ["web1"])


@pytest.mark.parametrize(
    ("address", "network"), [("45.33.32.156", "45.33.32.0/24"), ("2a00:1450::9", "2a00:1450::/64")]
)
def test_the_line_has_the_network_of_the_source(address: str, network: str) -> None:
    change = Change(True, ban(address), tuple(f"web{number:02}" for number in range(40)), NOW_US)
    record = json.loads(json_line(line(change, "ban", NOW_US)))
    assert record["src_net"] == network
    assert len(record["reporters"]) == 16


@pytest.mark.parametrize(
    ("bans", "is_doubtful", "mode", "verdict"),
    [
        (True, False, "ban", "ban"),
        (True, True, "ban", "watch"),
        (True, False, "watch", "watch"),
        (False, False, "ban", "none"),
    ],
)
def test_a_sweep_names_its_port_and_a_doubt_bans_nobody(bans: bool, is_doubtful: bool, mode: str, verdict: str) -> None:
    change = Change(bans, ban(), ("web1", "web2"), NOW_US + MINUTE_US, 2222, is_doubtful)
    record = validate(json_line(line(change, "ban" if mode == "ban" else "watch", NOW_US)))
    assert (record["verdict"], record["technique"], record["dest_port"]) == (verdict, "fleet_sweep", 2222)
