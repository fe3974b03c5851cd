"""An unban reaches every jail of ours, and names the bans of others."""

from ipaddress import ip_network

import pytest

from portsentry_py.errors import Fail2banError
from portsentry_py.fail2ban.client import NotAnswering
from portsentry_py.fail2ban.unban import JailEntry, bans_of, lift, unban
from tests.support.fake_fail2ban import FakeClient, JailsClient

ANSWERS = {
    "status": "Status\n|- Number of jail:\t3\n`- Jail list:\tportsentry, portsentry-net, recidive",
    "get portsentry banip": "203.0.113.7 203.0.113.8 2001:db8:1:2::/64",
    "get portsentry-net banip": "203.0.113.0/24",
    "get recidive banip": "203.0.113.7",
}


def test_every_ban_that_hits_the_address_is_lifted() -> None:
    done = "1"
    unbans = {"set portsentry unbanip 203.0.113.7": done, "set portsentry-net unbanip 203.0.113.0/24": done}
    found = unban(FakeClient(answers=ANSWERS | unbans), ip_network("203.0.113.7"))
    assert found.lifted == (JailEntry("portsentry", "203.0.113.7"), JailEntry("portsentry-net", "203.0.113.0/24"))
    assert found.others == (JailEntry("recidive", "203.0.113.7"),)


def test_an_ipv6_address_is_freed_with_its_network() -> None:
    unbans = {"set portsentry unbanip 2001:db8:1:2::/64": "1"}
    found = unban(FakeClient(answers=ANSWERS | unbans), ip_network("2001:db8:1:2::99"))
    assert found.lifted == (JailEntry("portsentry", "2001:db8:1:2::/64"),)


def test_nobody_else_is_freed() -> None:
    found = unban(FakeClient(answers=ANSWERS), ip_network("198.51.100.7"))
    assert (found.lifted, found.others) == ((), ())


def test_a_server_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(Fail2banError):
        unban(FakeClient(answers={"status": NotAnswering("no")}), ip_network("203.0.113.7"))


def test_the_bans_of_several_networks_are_found_in_every_jail() -> None:
    wanted = [ip_network("203.0.113.7"), ip_network("2001:db8:1:2::/64")]
    found = bans_of(FakeClient(answers=ANSWERS), wanted)
    assert {(entry.jail, entry.address) for entry in found} == {
        ("portsentry", "203.0.113.7"),
        ("portsentry", "2001:db8:1:2::/64"),
        ("portsentry-net", "203.0.113.0/24"),
        ("recidive", "203.0.113.7"),
    }


def test_these_bans_alone_are_lifted() -> None:
    client = JailsClient(held={"portsentry": {"203.0.113.7", "203.0.113.8"}, "recidive": {"203.0.113.7"}})
    lift(client, [JailEntry("portsentry", "203.0.113.7")])
    assert client.held == {"portsentry": {"203.0.113.8"}, "recidive": {"203.0.113.7"}}
