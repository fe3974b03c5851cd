"""Addresses: their networks, and whether they can belong to one host."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.host_state import groups_of, is_unicast, network_of, parsed, wide_network_of, within


def test_an_address_is_within_a_network_of_its_own_family_only() -> None:
    networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert within("192.0.2.255", networks)
    assert within("2001:db8:ffff::1", networks)
    assert not within("198.51.100.1", networks)
    assert not within("::ffff:192.0.2.1", networks)
    assert not within("192.0.2.1", ())


def test_an_address_is_parsed() -> None:
    assert parsed("2001:db8::1") == ip_address("2001:db8::1")


@pytest.mark.parametrize(
    ("address", "unicast"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("fe80::1", True),
        ("127.0.0.1", True),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("ff02::fb", False),
        ("0.0.0.0", False),
        ("::", False),
        ("255.255.255.255", False),
        ("0.1.2.3", False),
        ("1.0.0.1", True),
        ("240.0.0.1", False),
    ],
)
def test_only_some_addresses_can_be_one_hosts(address: str, unicast: bool) -> None:
    assert is_unicast(address) is unicast


@pytest.mark.parametrize(
    ("address", "network", "wide"),
    [
        ("192.0.2.77", "192.0.2.0/24", "192.0.0.0/16"),
        ("2001:db8:bad:7::1", "2001:db8:bad:7::/64", "2001:db8::/32"),
        ("::ffff:192.0.2.7", "::/64", "::/32"),
    ],
)
def test_the_networks_of_an_address(address: str, network: str, wide: str) -> None:
    assert network_of(address) == network
    assert wide_network_of(address) == wide


def test_a_source_scans_together_with_its_ipv4_network_or_two_ipv6_networks() -> None:
    assert groups_of("192.0.2.77") == ("192.0.2.0/24",)
    assert groups_of("2001:db8:bad:77::/64") == ("2001:db8:bad::/56", "2001:db8:bad::/48")
    assert groups_of("fe80::1") == ("fe80::/64",)


@given(st.ip_addresses().map(str))
def test_an_address_is_within_its_networks(address: str) -> None:
    for network in (network_of(address), wide_network_of(address)):
        made: IPv4Network | IPv6Network = ip_network(network)
        assert within(address, [made])
        assert str(made) == network, "the spelling is canonical"


@given(st.ip_addresses(v=6), st.lists(st.integers(0, 7)), st.integers(16, 128))
def test_an_ipv6_network_is_written_as_its_object_is(address: IPv6Address, zeroed: list[int], prefix: int) -> None:
    number = int(address)
    for group in zeroed:
        number &= ~(0xFFFF << 16 * group)
    text = str(IPv6Address(number))
    for length in (32, 48, 64, prefix):
        assert network_of(text, length) == str(ip_network((text, length), strict=False))
    assert wide_network_of(text) == network_of(text, 32)
    assert groups_of(network_of(text)) == (network_of(text, 56), network_of(text, 48))
