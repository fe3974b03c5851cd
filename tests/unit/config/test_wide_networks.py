"""A network that holds next to everybody gets a word; one that an owner can have does not."""

from ipaddress import ip_network

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.config.wide_networks import is_wide, wide_networks


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "128.0.0.0/1", "2000::/3"])
def test_a_network_that_nobody_owns_is_wide(text: str) -> None:
    assert is_wide(ip_network(text))


@pytest.mark.parametrize("text", ["10.0.0.0/8", "fc00::/7", "192.0.2.1", "2001:db8::/32"])
def test_a_network_of_one_owner_is_not(text: str) -> None:
    assert not is_wide(ip_network(text))


def test_each_key_has_its_sentence() -> None:
    everybody, ours = (ip_network("0.0.0.0/0"), ip_network("::/0")), (ip_network("10.0.0.0/8"),)
    assert list(wide_networks(Settings(home=ours, ignore=ours))) == []
    home, ignore = wide_networks(Settings(home=everybody, ignore=everybody + ours))
    assert home.startswith("home: 0.0.0.0/0, ::/0 holds a great part of all addresses: every source in it counts")
    assert ignore.startswith("ignore: 0.0.0.0/0, ::/0 holds a great part of all addresses: no scan from there is")
