"""Where the networks of `home` live, by the routes of a made-up router."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from portsentry_py.host.routes import home_elsewhere, is_on_link, routes

# eth0 has the default route; the LAN is on eth1 and, in part, behind a router there.
IPV4 = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t017100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0005000A\t0200000A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth2\t0009000A\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0
broken
"""
NONE = "0" * 32
IPV6 = f"""{NONE} 00 {NONE} 00 20010db8000000000000000000000001 00000400 1 0 00000003 eth0
20010db8000100000000000000000000 40 {NONE} 00 {NONE} 00000100 1 0 00000001 eth1
20010db8000100000000000000000001 80 {NONE} 00 {NONE} 00000000 1 0 80200001 lo
fe800000000000000000000000000000 40 {NONE} 00 {NONE} 00000100 1 0 00000001 eth1
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of the router."""
    folder = tmp_path / "proc/net"
    folder.mkdir(parents=True)
    (folder / "route").write_text(IPV4)
    (folder / "ipv6_route").write_text(IPV6)
    return tmp_path


@pytest.mark.parametrize(
    ("home", "found"),
    [
        ((), set()),
        (("10.0.0.0/24",), {("eth0", "10.0.0.0/24")}),
        (("10.0.0.0/25",), {("eth0", "10.0.0.0/25")}),
        (("10.0.0.0/8",), {("eth0", "10.0.0.0/24"), ("eth0", "10.0.5.0/24")}),
        (("2001:db8:1::/48",), {("eth0", "2001:db8:1::/64")}),
        (("203.0.113.0/24",), set()),
        (("198.51.100.0/24",), set()),
        (("10.0.9.0/24",), set()),
    ],
)
def test_a_home_network_is_elsewhere_than_the_default_route(
    root: Path, home: tuple[str, ...], found: set[tuple[str, str]]
) -> None:
    assert home_elsewhere(tuple(map(ip_network, home)), root) == found


def test_a_port_that_mirrors_traffic_has_no_network_elsewhere(root: Path) -> None:
    """Only its own management interface has routes, the default one too."""
    (root / "proc/net/route").write_text(IPV4.replace("eth1", "eth0"))
    assert home_elsewhere((ip_network("10.0.0.0/8"),), root) == set()


def test_without_routes_nothing_is_elsewhere(tmp_path: Path) -> None:
    assert home_elsewhere((ip_network("10.0.0.0/8"),), tmp_path) == set()


@pytest.mark.parametrize(
    ("address", "on_link"),
    [
        ("203.0.113.9", True),
        ("10.0.0.9", True),
        ("10.0.5.9", False),
        ("8.8.8.8", False),
        ("2001:db8:1::9", True),
        ("2001:db8:1::1", True),
        ("2600::1", False),
        ("fd00::1", False),
    ],
)
def test_a_neighbour_is_reached_without_a_router(address: str, on_link: bool, root: Path) -> None:
    assert is_on_link(ip_address(address), root) == on_link


def test_every_route_but_those_over_loopback_is_listed(root: Path) -> None:
    assert [(name, str(network)) for name, network in routes(root)] == [
        ("eth0", "0.0.0.0/0"),
        ("eth0", "203.0.113.0/24"),
        ("eth1", "10.0.0.0/24"),
        ("eth1", "10.0.5.0/24"),
        ("eth0", "::/0"),
        ("eth1", "2001:db8:1::/64"),
        ("eth1", "fe80::/64"),
    ]
