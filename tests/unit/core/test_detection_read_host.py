"""The host is read again before a ban."""

from ipaddress import ip_network

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    SCANNER,
    US,
    Sent,
    icmp_unreachable,
    in_time,
    lines,
    micros,
    refused,
    scans,
    syn,
    udp,
    watch,
)

EIGHT = tuple(range(1100, 1108))


class Reader:
    """Reads a host whose sockets others opened meanwhile."""

    def __init__(self, *hosts: HostState | None) -> None:
        self._hosts = list(hosts)
        self.times = 0

    def __call__(self) -> HostState | None:
        self.times += 1
        return self._hosts.pop(0) if self._hosts else None


def turned_down(datagrams: list[Sent]) -> list[Sent]:
    """Datagrams to closed ports."""
    return [packet for datagram in datagrams for packet in (datagram, icmp_unreachable(datagram))]


def opened(*ports: int) -> HostState:
    return HostState(own=US.own, listening_udp=frozenset(ports))


def test_datagrams_to_a_socket_that_is_open_by_now_take_their_count_back() -> None:
    reader = Reader(opened(1104))
    pipeline = Pipeline(Settings(), US, read_host=reader)
    datagrams = udp(SCANNER, *EIGHT)
    assert scans(watch(pipeline, turned_down(datagrams[:4]), datagrams[4:])) == []
    assert reader.times == 1
    (scan,) = scans(watch(pipeline, udp(SCANNER, 1200, at=1)))
    assert (scan.verdict, scan.ports, 1104 in scan.ports_sample) == ("ban", 8, False)


@pytest.mark.parametrize("host", [None, opened(9)], ids=["it cannot be read", "none of them is open"])
def test_datagrams_to_closed_ports_ban_after_a_look_at_the_host(host: HostState | None) -> None:
    reader = Reader(host)
    (scan,) = scans(watch(Pipeline(Settings(), US, read_host=reader), turned_down(udp(SCANNER, *EIGHT))))
    assert (scan.verdict, scan.ports, reader.times) == ("ban", 8, 1)


def test_a_peer_to_which_this_host_is_connected_by_now_is_not_banned() -> None:
    reader = Reader(HostState(own=US.own, contacts=frozenset({SCANNER})))
    (scan,) = scans(watch(Pipeline(Settings(), US, read_host=reader), refused(syn(SCANNER, *EIGHT))))
    assert (scan.verdict, scan.reason, reader.times) == ("watch", "friend", 1)


def test_segments_to_a_socket_that_is_open_by_now_count() -> None:
    reader = Reader(HostState(own=US.own, listening_tcp=frozenset(EIGHT)))
    (scan,) = scans(watch(Pipeline(Settings(), US, read_host=reader), refused(syn(SCANNER, *EIGHT))))
    assert (scan.verdict, scan.ports) == ("ban", 8)


def test_a_flood_of_forged_scanners_reads_the_host_once_in_two_seconds() -> None:
    reader = Reader()
    scanners = [turned_down(udp(f"198.18.{nth}.1", *EIGHT, at=nth * 0.1)) for nth in range(30)]
    watch(Pipeline(Settings(), US, read_host=reader), in_time(*scanners))
    assert reader.times == 2


def test_sources_that_waited_are_no_reason_to_read_the_host_more_often() -> None:
    """They and others come in turn: each time would be far from the one before."""
    reader = Reader()
    pipeline = Pipeline(Settings(), US, read_host=reader)
    for nth in range(10):
        waited = lines(refused(syn(f"198.18.{nth}.1", *EIGHT, seq=nth)))
        assert [one.verdict for one in scans(pipeline._inspect_late(waited, micros(30)))] == ["ban"]
        others = watch(pipeline, refused(syn(f"198.19.{nth}.1", *EIGHT, at=30.0, seq=100 + nth)))
        assert [one.verdict for one in scans(others)] == ["ban"]
    assert reader.times == 1


def test_a_source_that_may_not_be_banned_is_no_reason_to_read_the_host() -> None:
    reader = Reader()
    settings = Settings(ignore=(ip_network(f"{SCANNER}/32"),))
    (scan,) = scans(watch(Pipeline(settings, US, read_host=reader), turned_down(udp(SCANNER, *EIGHT))))
    assert (scan.verdict, reader.times) == ("ignore", 0)
