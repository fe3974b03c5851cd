"""Probes of the route to us, and a scanner who sends with few hops left."""

import pytest

from portsentry_py.core.packet import TCP, UDP, Packet
from portsentry_py.core.route_probes import RouteProbes
from tests.support.build import FRIEND, HOST, micros


def probe(port: int, *, at: float = 0, ttl: int = 1, proto: int = UDP, src: str = FRIEND) -> Packet:
    return Packet(micros(at), src, HOST, proto, 61_000, port, ttl=ttl)


def takes(routes: RouteProbes, packet: Packet) -> bool:
    return routes.take(packet, packet.src)


def holds(routes: RouteProbes, packet: Packet) -> bool:
    return routes.holds(packet, packet.src)


def taken(*probes: Packet) -> int:
    routes = RouteProbes()
    return sum(takes(routes, one) for one in probes)


@pytest.mark.parametrize(
    ("proto", "port", "ttl", "is_one"),
    [
        (UDP, 33_434, 1, True),
        (UDP, 33_625, 32, True),
        (UDP, 33_434, 33, False),
        (TCP, 33_434, 1, False),
        (UDP, 32_999, 1, False),
        (UDP, 33_000, 32, True),
        (UDP, 65_535, 1, True),
    ],
)
def test_a_probe_of_the_route_is_a_datagram_to_a_high_port_with_few_hops_left(
    proto: int, port: int, ttl: int, is_one: bool
) -> None:
    assert takes(RouteProbes(), probe(port, ttl=ttl, proto=proto)) is is_one


@pytest.mark.parametrize(("step", "every"), [(1, 1), (14, 1), (64, 1), (12, 1), (1, 0.08)])
def test_mtr_counts_up_for_an_hour(step: int, every: float) -> None:
    """The last case is a round of twelve to a host that does not answer."""
    probes = [probe(33_000 + nth * step, at=nth * every) for nth in range(min(3600, 32_000 // step))]
    assert taken(*probes) == len(probes)


def test_refusals_show_probes_that_were_lost_or_come_later() -> None:
    routes = RouteProbes()
    assert not holds(routes, probe(40_000, ttl=0))
    takes(routes, probe(40_000))
    assert all(holds(routes, probe(40_000 + 20 * nth, ttl=0)) for nth in range(-3, 12))
    assert not holds(routes, probe(50_000, ttl=0))


def test_refusals_of_rising_ports_alone_are_as_many_as_their_probes_may_be() -> None:
    routes = RouteProbes()
    takes(routes, probe(40_000))
    refused = sum(holds(routes, probe(40_001 + nth, at=nth / 100, ttl=0)) for nth in range(1000))
    assert 192 + 16 * 9 <= refused <= 192 + 16 * 10


def test_probes_may_overtake_each_other() -> None:
    assert taken(*(probe(44_444 + (nth ^ 15), at=nth / 10) for nth in range(90))) == 90


def test_ports_in_any_other_order_are_a_scan() -> None:
    ports = [40_000 + nth * 7919 % 20_000 for nth in range(200)]
    assert taken(*(probe(port, at=nth) for nth, port in enumerate(ports))) < 10


def test_a_scan_of_rising_ports_gets_192_and_16_a_second() -> None:
    probes = [probe(40_000 + nth, at=nth / 100) for nth in range(1000)]
    assert 192 + 16 * 9 <= taken(*probes) <= 192 + 16 * 10


def test_the_ports_of_traceroute_need_no_order() -> None:
    assert taken(*(probe(33_434 + nth * 7 % 192, at=nth / 1000) for nth in range(500))) == 500


def test_our_refusal_of_a_probe_of_the_route_is_none_of_a_scan() -> None:
    routes = RouteProbes()
    assert not holds(routes, probe(33_000, ttl=0))
    assert holds(routes, probe(33_500, ttl=0))
    assert not holds(routes, probe(33_500, ttl=0, proto=TCP))
    takes(routes, probe(33_000))
    takes(routes, probe(33_040))
    assert holds(routes, probe(33_000, ttl=0))
    assert holds(routes, probe(33_040, ttl=0))
    assert not holds(routes, probe(33_105, ttl=0))
    assert not holds(routes, probe(33_000, ttl=0, src="198.51.100.8"))


def test_routes_to_sixteen_hosts_in_an_hour_are_a_monitors_and_those_to_more_are_a_sweep() -> None:
    routes = RouteProbes()
    hosts = [f"192.0.2.{nth}" for nth in range(1, 18)]
    *first, last = (routes.take(probe(33_434)._replace(dst=host), FRIEND) for host in hosts)
    assert (all(first), last) == (True, False)
    assert routes.take(probe(33_435)._replace(dst=hosts[0]), FRIEND)
    assert routes.take(probe(33_434, at=3600.1)._replace(dst=hosts[-1]), FRIEND)
