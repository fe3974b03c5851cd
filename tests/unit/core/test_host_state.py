"""Addresses: their networks, and whether they can belong to one host."""

from ipaddress import ip_address, ip_network

import pytest

from portsentry_py.core.host_state import is_unicast, parsed, within


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
    ],
)
def test_only_some_addresses_can_be_one_hosts(address: str, unicast: bool) -> None:
    assert is_unicast(address) is unicast
