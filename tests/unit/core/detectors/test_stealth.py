"""Stealth: flags that no stack sends."""

from functools import partial

import pytest

from portsentry_py.config.settings import Detectors, Settings, Stealth
from portsentry_py.core.packet import ACK, ECE, FIN, PSH, RST, SYN, URG
from tests.support.build import (
    FRIEND,
    HOME,
    HOST,
    SCANNER,
    SCANNER6,
    Sent,
    connect,
    home_hosts,
    refused,
    scans,
    syn,
    tcp,
    watch,
    watch_as,
)

stealthy = partial(scans, technique="stealth")


@pytest.mark.parametrize("source", [SCANNER, SCANNER6])
@pytest.mark.parametrize(
    ("flags", "scan_type"),
    [
        (0, "null"),
        (FIN, "fin"),
        (FIN | PSH | URG, "xmas"),
        (SYN | FIN, "odd_flags"),
        (SYN | RST, "odd_flags"),
        (SYN | RST | ACK, "odd_flags"),
        (0xFF, "odd_flags"),
        (FIN | RST, "odd_flags"),
        (PSH, "odd_flags"),
        (ECE, "odd_flags"),
        (URG, "odd_flags"),
    ],
)
def test_three_ports_are_enough(source: str, flags: int, scan_type: str) -> None:
    probes = syn(source, 22, 80, 443, flags=flags)
    assert scans(watch(Settings(), probes[:2])) == []
    (scan,) = scans(watch(Settings(), probes))
    assert (scan.technique, scan.reason, scan.verdict) == ("stealth", "impossible_flags", "ban")
    assert (scan.scan_type, scan.ports) == (scan_type, 3)


def test_repeated_probes_of_one_port_count_once() -> None:
    probes = [packet for nth in range(30) for packet in syn(SCANNER, 22, flags=0, src_port=2000 + nth, at=nth)]
    assert scans(watch(Settings(), probes)) == []


@pytest.mark.parametrize(("every", "hits"), [(300, 1), (300.001, 0)])
def test_the_ports_must_be_probed_within_ten_minutes(every: float, hits: int) -> None:
    assert len(stealthy(watch(Settings(), syn(SCANNER, 22, 80, 443, flags=FIN, every=every)))) == hits


def test_ports_of_different_hosts_are_added_up() -> None:
    probes = [packet for host in home_hosts(3) for packet in syn(SCANNER, 22, dst=host, flags=0)]
    (scan,) = scans(watch_as(HOME, probes))
    assert (scan.technique, scan.hosts) == ("stealth", 3)


def test_several_kinds_are_mixed() -> None:
    probes = [*syn(SCANNER, 22, flags=0), *syn(SCANNER, 80, flags=FIN), *syn(SCANNER, 443, flags=SYN | FIN)]
    (scan,) = scans(watch(Settings(), probes))
    assert scan.scan_type == "mixed"


def test_probes_that_a_stack_sends_do_not_count() -> None:
    traffic = [*refused(connect(FRIEND, 22, 80, 443)), *syn(FRIEND, 25, 26, flags=FIN, at=1)]
    assert scans(watch(Settings(), traffic)) == []


def test_one_broken_packet_is_no_scan() -> None:
    assert scans(watch(Settings(), tcp(FRIEND, HOST, 40_000, 22, SYN | FIN))) == []


def test_our_own_probes_are_no_stealth_scan() -> None:
    assert scans(watch(Settings(), syn(HOST, 22, 80, 443, dst=FRIEND, flags=FIN))) == []


def os_detection(port: int, *, at: float = 1) -> list[Sent]:
    """The odd ones among the probes of nmap -O for an open port; it repeats them for lack of an answer."""
    sets = (0, SYN | FIN | PSH | URG, FIN | PSH | URG)
    return [packet for nth, flags in enumerate(sets) for packet in syn(SCANNER, port, flags=flags, at=at + nth / 10)]


def test_three_kinds_to_served_ports_are_watched() -> None:
    opened = tcp(HOST, FRIEND, 22, 40_000, SYN | ACK, ack=1001)
    probes = os_detection(22)
    assert scans(watch(Settings(), opened, probes[:2], probes[:2])) == []
    (scan,) = scans(watch(Settings(), opened, probes))
    assert (scan.technique, scan.verdict, scan.scan_type, scan.reason) == (
        ("stealth", "watch", "mixed", "impossible_flags")
    )
    assert (scan.ports, scan.dest_port) == (0, 22)


def test_a_scan_that_follows_is_banned() -> None:
    opened = tcp(HOST, FRIEND, 22, 40_000, SYN | ACK, ack=1001)
    found = scans(watch(Settings(), opened, os_detection(22), refused(syn(SCANNER, *range(100, 130), at=5))))
    assert [(scan.verdict, scan.technique) for scan in found[:2]] == [("watch", "stealth"), ("ban", "port_scan")]


def test_served_ports_do_not_count() -> None:
    """An open port does not answer such a packet; other detectors report a scanner that finds it."""
    opened = [tcp(HOST, FRIEND, port, 40_000, 0x12, ack=1001) for port in (22, 80)]
    probes: list[Sent] = syn(SCANNER, 22, 80, 443, flags=0, at=1)
    assert scans(watch(Settings(), opened, probes)) == []


def test_the_operator_chooses_the_numbers() -> None:
    settings = Settings(detectors=Detectors(stealth=Stealth(min_ports=1, window_seconds=5)))
    (scan,) = scans(watch(settings, syn(SCANNER, 22, flags=0)))
    assert scan.ports == 1
