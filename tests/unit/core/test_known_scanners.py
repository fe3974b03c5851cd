"""The known scanner of an address."""

from ipaddress import ip_network

import pytest

from portsentry_py.core.known_scanners import KnownScanners

TABLE = KnownScanners(
    [
        (ip_network("198.51.100.0/24"), "shodan"),
        (ip_network("198.51.100.64/26"), "censys"),
        (ip_network("198.51.100.64/26"), "rapid7"),
        (ip_network("2001:db8::/32"), "onyphe"),
        (ip_network("2001:db8::9/128"), "modat"),
    ]
)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("198.51.100.63", "shodan"),
        ("198.51.100.64", "censys"),
        ("198.51.100.127", "censys"),
        ("198.51.101.0", None),
        ("2001:db8::8", "onyphe"),
        ("2001:db8::9", "modat"),
        ("2001:db9::", None),
        ("::c633:6440", None),
    ],
)
def test_the_longest_network_names_the_scanner_and_the_first_of_equal_ones(address: str, name: str | None) -> None:
    assert TABLE.of(address) == name


def test_without_a_table_nobody_is_known() -> None:
    assert KnownScanners().of("198.51.100.64") is None
