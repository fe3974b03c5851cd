"""Sweep: one source probes many hosts that do not answer."""

from functools import partial

import pytest

from portsentry_py.config.settings import Detectors, PortScan, Settings, Sweep
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, RST
from tests.support.build import (
    FRIEND,
    HOME,
    HOST,
    NO_HOME,
    SCANNER,
    SCANNER6,
    Sent,
    across,
    home_hosts,
    in_time,
    micros,
    refused,
    rst,
    scans,
    syn_ack,
    tcp,
    udp,
    visit,
    watch_as,
)

sweeps = partial(scans, technique="sweep")


def answered(asked: list[Sent], *, after: float = 0.001) -> list[Sent]:
    return in_time(asked, [syn_ack(one, after=after) for one in asked])


@pytest.mark.parametrize(("hosts", "hits"), [(7, 0), (8, 1)])
@pytest.mark.parametrize("closed", [True, False])
def test_eight_hosts_that_do_not_answer_are_a_sweep(hosts: int, hits: int, closed: bool) -> None:
    asked = across(SCANNER, home_hosts(hosts), 22)
    found = sweeps(watch_as(HOME, refused(asked) if closed else asked))
    assert [(scan.verdict, scan.reason, scan.scan_type) for scan in found] == [
        ("ban", "hosts_in_window", "connect")
    ] * hits
    assert [(scan.hosts, scan.ports, scan.closed) for scan in found] == [(8, 1, 8 if closed else 0)] * hits


def test_a_sweep_of_ipv6_is_a_sweep() -> None:
    (scan,) = sweeps(watch_as(HOME, across(SCANNER6, home_hosts(8, family=6), 22)))
    assert (scan.src_ip, scan.hosts) == (SCANNER6, 8)


@pytest.mark.parametrize(("hosts", "hits"), [(4, 0), (5, 1)])
def test_eight_pairs_must_lie_on_five_hosts(hosts: int, hits: int) -> None:
    asked = across(SCANNER, home_hosts(hosts), 22, 23)[:8]
    if hosts == 5:
        asked = across(SCANNER, home_hosts(3), 22, 23) + across(SCANNER, home_hosts(5)[3:], 22, at=1)
    assert len(sweeps(watch_as(HOME, refused(asked)))) == hits


@pytest.mark.parametrize(("every", "hits"), [(8.571, 1), (8.572, 0)])
def test_the_hosts_must_be_probed_within_a_minute(every: float, hits: int) -> None:
    asked = across(SCANNER, home_hosts(8), 22, every=every)
    assert bool(sweeps(watch_as(HOME, refused(asked)))) is bool(hits)


def test_one_port_over_datagrams_counts_too() -> None:
    asked = [packet for nth, host in enumerate(home_hosts(8)) for packet in udp(SCANNER, 161, dst=host, at=nth)]
    (scan,) = sweeps(watch_as(HOME, asked))
    assert (scan.proto, scan.scan_type) == ("udp", "udp")


def test_transports_are_not_added_up() -> None:
    datagrams = [udp(SCANNER, 161, dst=host, at=1)[0] for host in home_hosts(4)]
    assert sweeps(watch_as(HOME, across(SCANNER, home_hosts(7), 22), datagrams)) == []


def test_the_operator_chooses_the_numbers() -> None:
    sections = Detectors(sweep=Sweep(min_pairs=3, min_hosts=2), port_scan=PortScan(min_ports=20))
    asked = across(SCANNER, home_hosts(2), 22, 23)[:3]
    settings = Settings(detectors=sections)
    assert len(sweeps(watch_as(HOME, refused(asked), settings=settings))) == 1
    assert sweeps(watch_as(HOME, refused(asked[:2]), settings=settings)) == []


@pytest.mark.parametrize("count", [50, 120])
def test_a_monitor_may_probe_many_live_hosts_at_once(count: int) -> None:
    asked = across(FRIEND, home_hosts(count), 22, every=0.0001)
    assert scans(watch_as(HOME, answered(asked, after=0.18))) == []


def test_a_monitor_may_know_a_few_dead_hosts() -> None:
    asked = across(FRIEND, home_hosts(50), 9100, every=0.0001)
    dead, live = asked[:7], asked[7:]
    assert scans(watch_as(HOME, in_time(dead, answered(live)))) == []


@pytest.mark.parametrize(("dead", "live", "hits"), [(6, 10, 1), (6, 12, 1), (6, 13, 0), (5, 11, 0), (5, 10, 0)])
def test_sixteen_hosts_of_which_a_third_is_dead_are_a_sweep(dead: int, live: int, hits: int) -> None:
    """A list of hosts that an operator keeps has fewer dead ones."""
    hosts = home_hosts(dead + live)
    found = answered(across(SCANNER, hosts[dead:], 22))
    assert len(sweeps(watch_as(HOME, found, refused(across(SCANNER, hosts[:dead], 22, at=5))))) == hits


def test_hosts_that_answer_late_are_retracted() -> None:
    asked = across(FRIEND, home_hosts(7), 22)
    late = across(FRIEND, home_hosts(12)[7:], 22, at=0.5)
    assert scans(watch_as(HOME, in_time(asked, answered(late, after=0.19)))) == []


def test_without_a_home_a_client_may_probe_many_servers() -> None:
    """A replay without `--home` sees a client and its servers."""
    servers = [f"198.51.100.{nth}" for nth in range(1, 60)]
    asked = [*across(HOST, servers, 443), *across(HOST, servers, 80, at=5), *across(HOST, servers, 51_413, at=9)]
    assert scans(watch_as(NO_HOME, asked)) == []
    (scan,) = sweeps(watch_as(NO_HOME, across(SCANNER, servers[:8], 23)))
    assert scan.verdict == "ban"


def test_with_a_home_a_host_that_looks_for_peers_is_reported() -> None:
    """Where home is known, a source that probes eight of our hosts in vain has no business there."""
    assert sweeps(watch_as(HOME, across(SCANNER, home_hosts(8), 51_413)))


def test_our_own_probes_are_no_sweep() -> None:
    asked = across(HOST, [f"198.51.100.{nth}" for nth in range(1, 20)], 22)
    assert sweeps(watch_as(HOME, [packet for one in asked for packet in (one, rst(one))])) == []


def echoes(src: str, hosts: list[str], *, kind: int = 8) -> list[Sent]:
    return [
        Sent(micros(nth / 100), src, host, 58 if ":" in host else 1, bytes([kind, 0, 0, 0, 0, 7, 0, nth]))
        for nth, host in enumerate(hosts)
    ]


@pytest.mark.parametrize(("hosts", "hits"), [(7, 0), (8, 1)])
def test_a_ping_of_hosts_that_are_not_there_is_a_sweep(hosts: int, hits: int) -> None:
    found = sweeps(watch_as(HOME, echoes(SCANNER, home_hosts(hosts))))
    assert [(scan.scan_type, scan.proto, scan.verdict) for scan in found] == [("icmp", "icmp", "ban")] * hits
    found6 = sweeps(watch_as(HOME, echoes(SCANNER6, home_hosts(hosts, family=6), kind=128)))
    assert [scan.proto for scan in found6] == ["icmpv6"] * hits


def test_a_ping_of_live_hosts_is_no_sweep() -> None:
    asked = echoes(FRIEND, home_hosts(60))
    answers = [Sent(one.later(0.05).time_us, one.dst, one.src, 1, bytes([0, *one.payload[1:]])) for one in asked]
    assert scans(watch_as(HOME, in_time(asked, answers))) == []


def test_hosts_count_whatever_the_probe() -> None:
    hosts = home_hosts(9)
    pinged, asked = echoes(SCANNER, hosts[:5]), across(SCANNER, hosts[5:], 8080, at=1)
    (scan,) = sweeps(watch_as(HOME, pinged, refused(asked[:3])))
    assert (scan.hosts, scan.scan_type, scan.verdict) == (8, "mixed", "ban")
    assert sweeps(watch_as(HOME, pinged, refused(asked[:2]))) == []


def test_other_probes_of_the_same_dead_hosts_are_no_sweep() -> None:
    """A monitor that pings a host which does not answer tries its services, too."""
    hosts = home_hosts(7)
    assert sweeps(watch_as(HOME, echoes(FRIEND, hosts), across(FRIEND, hosts, 22, at=1))) == []


def test_the_addresses_of_this_host_are_no_sweep() -> None:
    ours = home_hosts(20)
    host = HostState(own=frozenset(ours))
    assert scans(watch_as(host, across(FRIEND, ours, 8080))) == []
    assert scans(watch_as(host, echoes(FRIEND, ours))) == []


def test_a_bare_ack_is_known_by_the_reset_of_a_live_host() -> None:
    asked = [tcp(SCANNER, host, 47_000, 80, ACK, at=nth / 10, ack=77) for nth, host in enumerate(home_hosts(8))]
    resets = [tcp(one.dst, SCANNER, 80, 47_000, RST, at=0.001 + nth / 10, seq=77) for nth, one in enumerate(asked)]
    (scan,) = sweeps(watch_as(HOME, in_time(asked, resets)))
    assert (scan.scan_type, scan.hosts) == ("ack", 8)


@pytest.mark.parametrize(("hosts", "hits"), [(7, 0), (8, 1)])
def test_a_datagram_that_may_be_a_reply_is_none_at_eight_hosts_that_never_asked(hosts: int, hits: int) -> None:
    asked = [
        one
        for nth, host in enumerate(home_hosts(hosts))
        for one in udp(SCANNER, 40_125, dst=host, src_port=38_000, at=nth)
    ]
    assert [scan.scan_type for scan in sweeps(watch_as(HOME, asked))] == ["udp"] * hits
    question = udp(HOST, 38_000, dst=SCANNER, src_port=40_125, at=-1)
    assert sweeps(watch_as(HOME, question, asked)) == []


@pytest.mark.parametrize(("up", "verdict"), [(16, "ban"), (17, "watch")])
def test_a_sweep_of_hosts_of_which_two_thirds_answer_may_be_a_monitor(up: int, verdict: str) -> None:
    hosts = home_hosts(up + 8)
    found = answered(across(SCANNER, hosts[:up], 22))
    (scan,) = sweeps(watch_as(HOME, found, across(SCANNER, hosts[up:], 22, at=1)))
    assert (scan.verdict, scan.reason) == (verdict, "hosts_in_window")


@pytest.mark.parametrize(("port", "verdict"), [(30_080, ("health_check", "watch")), (80, ("hosts_in_window", "ban"))])
def test_a_balancer_whose_pods_run_on_one_node_is_watched(port: int, verdict: tuple[str, str]) -> None:
    live, *others = home_hosts(9)
    probes = across(SCANNER, others, *range(port, port + 4), at=1)
    found = watch_as(HOME, visit(SCANNER, port, dst=live), refused(probes))
    assert [(scan.reason, scan.verdict) for scan in sweeps(found)] == [verdict]
