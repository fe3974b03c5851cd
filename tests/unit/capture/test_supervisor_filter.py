"""The filter of the captures: what changes it, and what happens if it is refused."""

from dataclasses import replace

import pytest

from portsentry_py.capture.bpf import PLAIN, FilterHost
from tests.support.played_network import PORT, US, Network, account, seconds, started


def test_a_capture_whose_filter_is_refused_runs_with_a_plain_one(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    network.refuses_filter = True
    captures = started(network)
    assert [one.host for one in network.captures] == [US, PLAIN]
    assert network.counter.watched == [(["eth0", "eth1"], PLAIN)]
    assert "the filter is odd. The capture runs with a filter that knows nothing of this host" in caplog.text
    seconds(captures, network, 3, passing=1)
    assert account(captures) == (3, 0, 0, 0)
    captures.set_host(US)
    network.refuses_filter = False
    seconds(captures, network, 3, passing=1)
    assert network.captures[-1].host == US, "it is tried again"


def test_a_fresh_capture_whose_filter_is_refused_takes_over_with_a_plain_one(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    captures = started(network)
    seconds(captures, network, 3, passing=1)
    network.refuses_filter = True
    network.tshark_mib = 1000
    seconds(captures, network, 4, passing=1)
    assert [one.host for one in network.captures] == [US, US, PLAIN]
    assert "tshark has grown, and a fresh capture does not start: the filter is odd." in caplog.text
    assert captures.handovers == 1
    seconds(captures, network, 6)
    assert account(captures) == (7, 0, 0, 0)


def test_another_address_of_the_host_changes_the_filter(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3)
    moved = replace(US, own=frozenset({"192.0.2.9"}))
    captures.set_host(moved)
    seconds(captures, network, 2)
    assert network.captures[1].host == moved
    assert network.counter.filtered == [moved]
    assert network.forged.watched[-1] == (["eth0", "eth1"], moved)


def test_more_addresses_than_the_filter_takes_are_reported_once(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    many = FilterHost(frozenset(f"10.0.0.{last}" for last in range(129)))
    captures = started(network, many)
    captures.set_host(many)
    assert caplog.text.count("this host has 129 addresses and the capture filter takes 128") == 1


def test_ports_that_are_served_later_change_the_filter(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3)
    captures.set_host(PORT)
    seconds(captures, network, 1)
    assert len(network.captures) == 1, "a client's port is soon gone"
    captures.set_host(PORT)
    seconds(captures, network, 1)
    assert network.captures[1].host == PORT
    assert network.counter.filtered == [PORT], "before the old capture ends"
    seconds(captures, network, 2)
    assert network.counter.filtered == [PORT], "once"
    seconds(captures, network, 6)
    assert account(captures) == (0, 0, 0, 0)
    network.passes(0, dropped=2)
    seconds(captures, network, 15)
    assert account(captures) == (0, 2, 0, 0)


def test_services_over_tcp_that_come_and_go_cost_nothing_until_a_fresh_capture_takes_over(network: Network) -> None:
    captures = started(network)
    for port in range(1024, 1124):
        captures.set_host(replace(US, served_tcp=frozenset({port})))
        seconds(captures, network, 10, passing=1)
    assert (len(network.captures), network.counter.filtered, captures.handovers) == (1, [], 0)
    assert account(captures) == (1000, 0, 0, 0)
    network.tshark_mib = 1000
    seconds(captures, network, 4, passing=1)
    latest = replace(US, served_tcp=frozenset({1123}))
    assert [one.host for one in network.captures] == [US, latest]
    assert network.counter.filtered == [latest], "capture and counter have the same filter"
    seconds(captures, network, 6)
    assert account(captures) == (1004, 0, 0, 0)


def test_ports_that_the_operator_names_change_the_filter_at_once(network: Network) -> None:
    captures = started(network)
    captures.set_host(PORT, at_once=True)
    seconds(captures, network, 1)
    assert network.captures[1].host == PORT


def test_a_filter_that_the_kernel_refuses_ends_the_count_and_nothing_else(network: Network) -> None:
    captures = started(network)
    captures.set_host(PORT, at_once=True)
    seconds(captures, network, 1, passing=1)
    network.counter.refusal = OSError(22, "Invalid argument")
    seconds(captures, network, 10, passing=1)
    assert captures.ended is None
    assert captures.handovers == 1
    assert account(captures) == (11, 0, 0, 0)
