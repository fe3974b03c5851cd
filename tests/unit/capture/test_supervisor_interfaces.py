"""The captures on interfaces that come and go, or that see the same packets."""

from dataclasses import replace

import pytest

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.host.interfaces import OTHERS
from tests.support import build
from tests.support.build import START_US
from tests.support.played_network import US, Network, account, grown, seconds, started, supervisor


def test_where_dumpcap_cannot_hear_all_others_the_named_ones_are_watched(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    network.refuses_others = True
    captures = supervisor(network)
    captures.start(["eth0", OTHERS], US)
    assert [one.names for one in network.captures] == [["eth0", OTHERS], ["eth0", OTHERS], ["eth0"]]
    assert network.counter.watched == [(["eth0"], US)]
    assert "no such header. Interfaces that come later are not watched; name them in `interfaces`." in caplog.text
    seconds(captures, network, 3, passing=1)
    assert account(captures) == (3, 0, 0, 0)


def test_interfaces_that_come_and_go_are_read_once_something_comes(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3)
    assert not network.captures[0].reads_others
    network.others += 1
    seconds(captures, network, 1)
    assert network.captures[0].reads_others
    seconds(captures, network, 5)
    assert len(network.captures) == 1


def test_without_a_counter_interfaces_that_come_and_go_are_read_at_once(network: Network) -> None:
    network.counter.refusal = OSError(1, "may not")
    captures = started(network)
    seconds(captures, network, 1)
    assert network.captures[0].reads_others


def test_after_a_handover_they_are_read_once_something_comes_again(network: Network) -> None:
    captures = started(network)
    network.others += 1
    seconds(captures, network, 1)
    _, fresh = grown(captures, network)
    seconds(captures, network, 5)
    assert not fresh.reads_others
    network.others += 1
    seconds(captures, network, 1)
    assert fresh.reads_others


def seen_twice(time: float) -> list[str]:
    at = f"{START_US / 1e6 + time:.6f}"
    return [build.line(time=at, src="198.51.100.1", data="aa", iface=place) for place in ("br0", "veth1")]


@pytest.mark.parametrize(("host", "lines"), [(US, 2), (replace(US, twice=frozenset({4})), 1)])
def test_a_packet_on_two_named_interfaces_counts_once_where_one_sees_what_the_other_does(
    network: Network, host: FilterHost, lines: int
) -> None:
    captures = started(network, host)
    network.passed += 2
    network.captures[0].queue += seen_twice(network.now)
    assert len(captures.read(0.25)) == lines
    assert account(captures) == (lines, 0, 0, 0)
