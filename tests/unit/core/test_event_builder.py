"""A line has the evidence for its verdict, so that no capture is needed."""

from collections.abc import Iterable

import pytest

from portsentry_py.config.settings import Traps
from portsentry_py.events.model import ScanEvent, utc
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    Sent,
    connect,
    connections,
    in_time,
    micros,
    refused,
    rst,
    scans,
    strict,
    syn,
    syn_ack,
    tcp,
    traps,
    udp,
    visit,
    watch,
)

NO_TRAPS = Traps(tcp=frozenset(), udp=frozenset())


def only(*traffic: Sent | Iterable[Sent]) -> ScanEvent:
    (scan,) = scans(watch(strict(traps=NO_TRAPS), *traffic))
    return scan


def test_a_scan_line_counts_what_was_probed() -> None:
    probes = refused(syn(SCANNER, 22, 2000, 3000, every=1), syn(SCANNER, 4000, at=3))
    scan = only(probes[:-1])
    assert (scan.ports, scan.hosts, scan.attempts, scan.closed, scan.open) == (4, 1, 4, 3, 0)
    assert scan.score == 3 + 1 + 1 + 1
    assert (scan.first_seen, scan.last_seen, scan.timestamp) == (utc(micros(0)), utc(micros(3)), utc(micros(3)))


def test_a_scan_line_counts_open_ports_apart() -> None:
    (open_port,) = syn(SCANNER, 8080)
    scan = only(open_port, syn_ack(open_port), syn(SCANNER, 22, 23, 25, 26, at=0.1))
    assert (scan.open, scan.ports, scan.attempts) == (1, 4, 5)
    assert 8080 not in scan.ports_sample


def test_attempts_on_served_ports_are_among_the_attempts() -> None:
    scan = only(visit(FRIEND, 80), visit(SCANNER, 80, 80, at=1), syn(SCANNER, 1, 2, 3, 4, at=2))
    assert (scan.src_ip, scan.attempts, scan.ports) == (SCANNER, 6, 4)


def test_the_sample_is_the_latest_sixteen_ports_sorted() -> None:
    events = scans(watch(strict(traps=NO_TRAPS), syn(SCANNER, *range(200, 100, -1), every=0.63)))
    grown = events[-1]
    assert (grown.state, grown.ports) == ("grown", 100)
    assert grown.ports_sample == tuple(range(101, 117))


def test_several_hosts_are_counted() -> None:
    scan = only(syn(SCANNER6, 22, dst=HOST6), syn(SCANNER, 22, 23, 24), syn(SCANNER, 25, at=1))
    assert (scan.src_ip, scan.hosts) == (SCANNER, 1)


@pytest.mark.parametrize(
    ("source", "network"), [(SCANNER, "203.0.113.0/24"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64")]
)
def test_the_line_has_the_network_of_the_source(source: str, network: str) -> None:
    assert only(syn(source, 1, 2, 3, 4)).src_net == network


def test_an_ipv6_address_in_a_network_of_our_own_stands_alone() -> None:
    """The /64 would be us as well."""
    scan = only(syn("2001:db8:1::77", 1, 2, 3, 4))
    assert (scan.src_ip, scan.src_net) == ("2001:db8:1::77", "2001:db8:1::77/128")


def test_the_addresses_of_an_ipv6_network_scan_together_and_the_last_one_is_named() -> None:
    first, last = "2001:db8:bad::9", "2001:db8:bad::77"
    scan = only(syn(first, 1, 2, 3), syn(last, 4, at=1))
    assert (scan.src_ip, scan.src_net, scan.ports, scan.attempts) == (last, "2001:db8:bad::/64", 4, 4)
    assert scan.event_id == only(syn(last, 1, 2, 3, 4)).event_id


def test_vlan_is_that_of_the_last_probe() -> None:
    scan = only(syn(SCANNER, 1, 2, 3), syn(SCANNER, 4, vlan=42, at=1))
    assert (scan.vlan, scan.in_iface) == (42, None)


def test_a_scan_of_several_types_is_mixed() -> None:
    assert only(syn(SCANNER, 1, 2), syn(SCANNER, 3, 4, flags=0, at=1)).scan_type == "mixed"


def test_all_lines_of_one_scan_have_one_id() -> None:
    first = syn(SCANNER, *range(1, 200), every=0.63)
    second = syn(SCANNER, *range(300, 310), at=10 * 3600)
    events = scans(watch(strict(traps=NO_TRAPS), first, second))
    ids = [event.event_id for event in events]
    assert [event.state for event in events] == ["new", "grown", "ended", "new"]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]
    others = scans(watch(strict(traps=NO_TRAPS), syn(FRIEND, *range(1, 200))))
    assert others[0].event_id != ids[0]


def test_a_trap_and_a_scan_have_different_ids() -> None:
    events = watch(strict(), refused(syn(SCANNER, 20, 21, 22, 23)))
    assert scans(events)[0].event_id != traps(events)[0].event_id


def test_the_seen_times_never_run_backwards() -> None:
    backwards = [packet for at, port in enumerate(range(1, 6)) for packet in syn(SCANNER, port, at=9 - at)]
    for event in scans(watch(strict(traps=NO_TRAPS), backwards)):
        assert event.first_seen <= event.last_seen


def test_a_connection_is_dated_with_its_first_packet() -> None:
    (asked,) = syn(SCANNER, 2222, src_port=41_000, at=5, vlan=3)
    (line,) = connections(watch(strict(), asked, rst(asked, after=0.3)))
    assert (line.timestamp, line.outcome, line.verdict, line.technique) == (utc(micros(5)), "refused", "none", "none")
    assert (line.src_ip, line.src_port, line.dest_ip, line.dest_port) == (SCANNER, 41_000, HOST, 2222)
    assert (line.proto, line.scan_type, line.direction, line.suppressed, line.vlan) == ("tcp", "syn", "inbound", 0, 3)


def test_every_outcome_has_its_word() -> None:
    settings = strict(connections="all")
    answered, refusing, silent = syn(FRIEND, 80, 81, 82)
    later = connect(FRIEND, 80, at=10)
    events = watch(settings, in_time([answered, syn_ack(answered), refusing, rst(refusing), silent], later))
    outcomes = {(line.dest_port, line.outcome) for line in connections(events)}
    assert outcomes >= {(80, "answered"), (81, "refused"), (82, "unanswered"), (80, "served")}


def test_a_datagram_is_udp() -> None:
    (line,) = connections(watch(strict(), udp(SCANNER, 161)))
    assert (line.proto, line.scan_type, line.outcome) == ("udp", "udp", "unanswered")


def test_odd_flags_have_a_scan_type_of_their_own() -> None:
    (line,) = connections(watch(strict(), tcp(SCANNER, HOST, 40_000, 22, 0x03)))
    assert line.scan_type == "odd_flags"
