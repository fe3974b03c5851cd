"""The drill comes from addresses that nobody has, to addresses that strangers reach."""

from ipaddress import ip_address, ip_network

import pytest

from portsentry_py.checks.drill import addresses as module
from portsentry_py.checks.drill.addresses import DOCUMENTATION, Sources, Target, is_for_documentation, routed, targets
from portsentry_py.config.settings import Network
from portsentry_py.errors import DrillError

_ROUTES = [
    ("eth0", ip_network("0.0.0.0/0")),
    ("eth0", ip_network("203.0.113.0/24")),
    ("eth1", ip_network("10.0.0.0/8")),
    ("tun0", ip_network("::/0")),
]
_ADDRESSES = {
    "eth0": ["203.0.113.1", "fe80::1"],
    "eth1": ["10.0.0.1", "2001:db8::1"],
    "tun0": ["fe80::2"],
    "idle": ["fe80::3", "169.254.1.1"],
}


def seen(monkeypatch: pytest.MonkeyPatch, *interfaces: str) -> tuple[Target, ...]:
    monkeypatch.setattr(module, "routes", lambda: iter(_ROUTES))
    monkeypatch.setattr(module, "default_interfaces", lambda: list(interfaces))
    monkeypatch.setattr(module, "addresses_of", lambda name: _ADDRESSES[name])
    return targets()


def test_strangers_come_in_where_the_default_route_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, "eth0", "eth1", "tun0")[0] == Target("203.0.113.1", "eth0")


def test_an_interface_without_a_usable_address_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(monkeypatch, "eth0", "eth1", "tun0")
    assert found[1] == Target("2001:db8::1", "eth1")
    assert [one.version for one in found] == [4, 6]


def test_a_host_without_an_address_has_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_ADDRESSES, "eth0", [])
    with pytest.raises(DrillError, match="no address that strangers can reach"):
        seen(monkeypatch, "idle")


@pytest.mark.parametrize("version", [4, 6])
def test_every_source_is_for_documentation_and_given_once(version: int) -> None:
    sources = Sources(())
    given = [sources.one(version) for _ in range(200)]
    assert len(set(given)) == 200
    assert all(is_for_documentation(one) and ip_address(one).version == version for one in given)


def test_each_source_of_ipv6_has_a_network_of_its_own() -> None:
    """A ban holds the /64."""
    sources = Sources(())
    assert len({ip_network(f"{sources.one(6)}/64", strict=False) for _ in range(200)}) == 200


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        (("192.0.2.0/24", "198.51.100.0/24"), "203.0.113.0/24"),
        (("2001:db8::/32",), "3fff::/20"),
        (("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/25"), "203.0.113.128/25"),
    ],
)
def test_no_source_lies_in_a_network_that_this_host_routes(taken: tuple[str, ...], left: str) -> None:
    network = ip_network(left)
    sources = Sources(map(ip_network, taken))
    assert all(ip_address(sources.one(network.version)) in network for _ in range(50))


@pytest.mark.parametrize("version", [4, 6])
def test_a_host_that_routes_them_all_is_told_so(version: int) -> None:
    taken: list[Network] = [one for one in DOCUMENTATION if one.version == version]
    with pytest.raises(DrillError, match="routes every address"):
        Sources(taken).one(version)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("192.0.2.7", True),
        ("192.0.2.0/24", True),
        ("192.0.2.0/23", False),
        ("8.8.8.8", False),
        ("2001:db8:1::/64", True),
        ("3fff::7", True),
        ("2001:db9::1", False),
    ],
)
def test_addresses_for_documentation_are_told_from_others(text: str, *, is_one: bool) -> None:
    assert is_for_documentation(text) == is_one


def test_own_addresses_routes_and_the_test_ban_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "routes", lambda: iter(_ROUTES))
    found = set(map(str, routed(["198.51.100.7"])))
    assert found == {"203.0.113.0/24", "10.0.0.0/8", "198.51.100.7/32", "192.0.2.1/32"}
