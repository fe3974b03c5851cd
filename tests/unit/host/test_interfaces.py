"""The interfaces of this host and their addresses."""

import socket
from types import SimpleNamespace

import psutil
import pytest

from portsentry_py.host.interfaces import (
    OTHERS,
    Interface,
    addresses_of,
    all_interfaces,
    broadcast_addresses,
    describe,
    links_up,
    own_addresses,
)


def test_our_addresses_are_ours() -> None:
    assert "127.0.0.1" in own_addresses()
    assert not any("%" in address for address in own_addresses())


def test_broadcast_addresses_are_those_of_our_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [
        SimpleNamespace(family=socket.AF_INET, broadcast="192.0.2.255"),
        SimpleNamespace(family=socket.AF_INET, broadcast=None),
        SimpleNamespace(family=socket.AF_INET6, broadcast=None),
        SimpleNamespace(family=psutil.AF_LINK, broadcast="ff:ff:ff:ff:ff:ff"),
    ]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": addresses})
    assert broadcast_addresses() == {"192.0.2.255"}


def test_the_addresses_of_an_interface_are_without_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [
        SimpleNamespace(family=socket.AF_INET, address="192.0.2.7"),
        SimpleNamespace(family=socket.AF_INET6, address="fe80::1%eth0"),
        SimpleNamespace(family=psutil.AF_LINK, address="02:00:00:00:00:01"),
    ]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": addresses})
    assert addresses_of("eth0") == ["192.0.2.7", "fe80::1"]
    assert addresses_of("eth9") == []


def test_interfaces_without_a_type_are_not_ethernet() -> None:
    found = describe(["any", "no_such_if0", "../../etc"])
    assert [one.name for one in found] == ["any", "no_such_if0", "../../etc"]
    assert not any(one.ethernet or one.loopback for one in found)


def test_loopback_is_told_from_others() -> None:
    (loopback,) = describe(["lo"])
    assert loopback.loopback
    assert not loopback.ethernet


def test_the_one_for_all_others_is_told_from_others() -> None:
    assert describe([OTHERS]) == [Interface("any", ethernet=False, others=True)]


def test_all_interfaces_include_the_one_for_all() -> None:
    assert {"lo", "any"} <= set(all_interfaces())


def test_without_descriptors_no_link_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(psutil, "net_if_stats", exhausted)
    assert links_up() == frozenset()
