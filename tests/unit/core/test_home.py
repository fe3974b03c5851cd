"""Which addresses are ours, and which are one source."""

from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.home import Home
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import SYN
from portsentry_py.core.sighting import Kind
from tests.support.build import HOST6, SCANNER, SCANNER6, US, rst, tcp
from tests.support.flows import NEIGHBOUR6, NETWORK6, steps, table


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (SCANNER, SCANNER),
        (SCANNER6, NETWORK6),
        (NEIGHBOUR6, NETWORK6),
        (HOST6, HOST6),
        ("2001:db8:1::77", "2001:db8:1::77"),  # our own network: every address is a host
        ("2001:db8:2:3::1", "2001:db8:2:3::1"),  # a home network
        ("2001:db8:2::1", "2001:db8:2::1"),
        ("2001:db8:3::1", "2001:db8:3::/64"),
        ("fe80::1", "fe80::1"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
    ],
)
def test_an_ipv6_source_is_its_network_except_near_us(address: str, source: str) -> None:
    home = Home()
    home.set_host(HostState(own=US.own, home=(ip_network("2001:db8:2::/48"), ip_network("192.0.2.0/24"))))
    assert home.source_of(address) == source
    assert home.source_of(address) == source, "from the cache too"


def test_the_source_of_an_address_follows_the_host() -> None:
    home = Home()
    home.set_host(US)
    assert home.source_of(NEIGHBOUR6) == NETWORK6
    home.set_host(HostState(own=frozenset({SCANNER6})))
    assert home.source_of(NEIGHBOUR6) == NEIGHBOUR6
    assert home.source_of(HOST6) == "2001:db8:1::/64"


def test_two_addresses_of_a_network_are_one_source_with_flows_of_their_own() -> None:
    asked, other = (tcp(address, HOST6, 40_000, 22, SYN) for address in (SCANNER6, NEIGHBOUR6))
    assert steps(table(), asked, other, rst(other)) == [
        (Kind.PROBE, NETWORK6, 22),
        (Kind.PROBE, NETWORK6, 22),
        (Kind.REFUSED, NETWORK6, 22),
    ]


@given(
    st.ip_addresses(v=6), st.sets(st.integers(0, 7)), st.sampled_from([(), ("2001:db8:1::/48",), ("2001:db8:1:2::3",)])
)
def test_a_text_shows_the_source_that_its_address_has(
    address: IPv6Address, zeroed: set[int], networks: tuple[str, ...]
) -> None:
    number = int(address)
    for group in zeroed:
        number &= ~(0xFFFF << 16 * group)
    home = Home()
    home.set_host(HostState(own=frozenset({"2001:db8:1:7::1"}), home=tuple(map(ip_network, networks))))
    for text in (str(IPv6Address(number)), "2001:db8:1:2::77", "2001:db8:1:7::9", "fe80:1:1:1::5", "64:ff9b:1:1::5"):
        assert home.source_of_text(text) in {"", home.source_of(text)}
