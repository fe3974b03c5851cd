"""Whom the scanner refuses, and why."""

import socket
from ipaddress import ip_network

import pytest

from portsentry_py.checks.scan import targets
from portsentry_py.checks.scan.model import Options, Target
from portsentry_py.checks.scan.targets import find_targets, refuse
from portsentry_py.errors import ScanError, UsageError

PLAIN, OWNED = Options(), Options(owned=True)
PUBLIC = ("8.8.8.8", "2600::1", "100.64.0.1", "198.18.0.1", "64:ff9b::1")
DOCUMENTATION = ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "203.0.113.0/28")
NOBODY = ("0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1")
LOCAL = ("127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.3.3", "fd00::1", "fe80::1")


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with one public address, whose network has a broadcast address."""
    monkeypatch.setattr(targets, "own_addresses", lambda: frozenset({"8.8.4.4", "203.0.113.77"}))
    monkeypatch.setattr(targets, "broadcast_addresses", lambda: frozenset({"10.0.255.255"}))
    monkeypatch.setattr(targets, "is_on_link", lambda address: str(address) == "203.0.113.1")


@pytest.mark.parametrize("text", [*LOCAL, "8.8.4.4", "203.0.113.77", "10.0.0.0/24"])
def test_local_and_own_addresses_may_be_scanned(text: str) -> None:
    refuse(ip_network(text), PLAIN)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_needs_the_word_of_its_owner(text: str) -> None:
    with pytest.raises(UsageError, match=r"public address; .* --i-own-this"):
        refuse(ip_network(text), PLAIN)
    refuse(ip_network(text), OWNED)


@pytest.mark.parametrize("text", DOCUMENTATION)
def test_documentation_is_no_host(text: str) -> None:
    with pytest.raises(UsageError, match="address of documentation"):
        refuse(ip_network(text), PLAIN)
    if text != "203.0.113.1":
        with pytest.raises(UsageError, match="address of documentation"):
            refuse(ip_network(text), OWNED)


def test_documentation_on_a_network_of_this_host_needs_the_word_of_its_owner() -> None:
    refuse(ip_network("203.0.113.1"), OWNED)


@pytest.mark.parametrize("text", [*NOBODY, "10.0.255.255"])
@pytest.mark.parametrize("options", [PLAIN, OWNED])
def test_what_is_no_single_host_is_never_scanned(text: str, options: Options) -> None:
    with pytest.raises(UsageError, match="no single host"):
        refuse(ip_network(text), options)


@pytest.mark.parametrize("text", ["10.0.0.0/23", "fd00::/119", "0.0.0.0/0", "::/0"])
def test_a_network_is_small(text: str) -> None:
    with pytest.raises(UsageError, match="more than 256 addresses"):
        find_targets([text], OWNED)


def test_a_network_is_scanned_without_its_ends() -> None:
    found = find_targets(["127.0.0.0/29", "127.0.0.3"], PLAIN)
    assert [target.address for target in found] == [f"127.0.0.{number}" for number in range(1, 7)]
    assert found[0] == Target("127.0.0.1", bytes([127, 0, 0, 1]), "127.0.0.1")


def test_a_name_resolves_in_the_chosen_family() -> None:
    assert [one.address for one in find_targets(["localhost"], Options(family=4))] == ["127.0.0.1"]
    assert [one.address for one in find_targets(["127.0.0.1"], PLAIN)] == ["127.0.0.1"]


def test_a_mapped_address_is_the_ipv4_address_in_it() -> None:
    with pytest.raises(UsageError, match=r"^8\.8\.8\.8 is a public address"):
        find_targets(["::ffff:8.8.8.8"], PLAIN)
    assert find_targets(["::ffff:127.0.0.1"], PLAIN)[0].address == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("no such name", PLAIN),
        ("127.0.0.1", Options(family=6)),
        ("x" * 300, PLAIN),
        ("", PLAIN),
        ("10.0.0.0/33", PLAIN),
    ],
)
def test_what_does_not_resolve_is_one_sentence(text: str, options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_words: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ScanError, match="no address is known"):
        find_targets([text], options)
