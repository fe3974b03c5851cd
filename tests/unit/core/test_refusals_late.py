"""Refusals: of datagrams that look like replies, and late segments."""

import pytest

from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, RST, UDP, Quoted
from portsentry_py.core.sighting import Kind
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SCANNER6, US, Sent, icmp_unreachable, tcp, udp, udp_reply
from tests.support.flows import NETWORK6, REFUSED_PROBE, kinds, observe, sightings, steps, table


def refusals(source: str, *ports: int, at: float = 0, src_port: int = 53) -> list[Sent]:
    """A datagram that looks like a reply to each port, and our ICMP error about it."""
    return [
        packet
        for sent in udp(source, *ports, src_port=src_port, at=at)
        for packet in (sent, icmp_unreachable(sent, after=0.001))
    ]


def test_refused_datagrams_that_look_like_replies_are_a_scan_from_sixteen_ports_on() -> None:
    flows = table()
    assert steps(flows, refusals(SCANNER, *range(40_000, 40_015))) == []
    seen = sightings(flows, refusals(SCANNER, 40_015, 40_016, at=1))
    assert [one.kind for one in seen] == REFUSED_PROBE * 17
    assert {one.port for one in seen} == {*range(40_000, 40_017)}
    assert {one.scan_type for one in seen} == {"udp"}


def test_datagrams_that_nobody_refuses_may_be_replies_however_many() -> None:
    assert steps(table(), udp(SCANNER, *range(40_000, 40_050), src_port=53)) == []


def test_one_question_to_an_address_is_no_licence_for_many_replies() -> None:
    flows = table()
    sightings(flows, udp(HOST, 9999, dst=SCANNER))
    question, *seen = steps(flows, refusals(SCANNER, *range(40_000, 40_050), at=1))
    assert question == (Kind.SILENT, HOST, 9999)
    assert [kind for kind, _, _ in seen] == REFUSED_PROBE * 49, "one port is that of the question"


def test_an_answer_to_us_that_comes_too_late_is_no_scan() -> None:
    flows = table()
    asked = [udp(HOST, 53, dst=SCANNER, src_port=40_000 + nth)[0] for nth in range(50)]
    late = [udp_reply(one, after=20 + nth) for nth, one in enumerate(asked)]
    seen = kinds(flows, asked, *((one, icmp_unreachable(one)) for one in late))
    assert not {Kind.REFUSED} & set(seen)


def test_refused_replies_count_for_the_network_of_an_ipv6_source() -> None:
    flows = table()
    seen = []
    for nth in range(16):
        quoted = Quoted(UDP, f"2001:db8:bad::{nth + 1:x}", HOST6, 53, 40_000 + nth)
        error = icmp_unreachable(udp(SCANNER6, 9, at=nth)[0]).packet._replace(src_port=1, quoted=quoted)
        seen += list(observe(flows, error))
    assert [one.kind for one in seen] == REFUSED_PROBE * 16
    assert {one.source for one in seen} == {NETWORK6}


def test_reflected_answers_of_several_networks_are_no_scan() -> None:
    flows = table()
    for nth, source in enumerate(("198.18.0.1", "198.19.0.1", FRIEND)):
        assert steps(flows, refusals(source, *range(40_000, 40_005), at=nth)) == []
    assert steps(flows, refusals(SCANNER, *range(40_000, 40_050), at=5)) == []


@pytest.mark.parametrize(("flags", "scan_type"), [(RST, "ack"), (RST | ACK, "unseen")])
def test_refused_segments_that_look_like_replies_are_a_scan_from_sixteen_ports_on(flags: int, scan_type: str) -> None:
    """To ports between a service's and a client's, where no connection of ours can be."""
    resets = [tcp(HOST, SCANNER, port, 443, flags, seq=0, at=port / 1e5) for port in range(1024, 1040)]
    flows = table()
    assert steps(flows, resets[:15]) == []
    seen = sightings(flows, resets[15:])
    assert [one.kind for one in seen] == REFUSED_PROBE * 16
    assert {one.scan_type for one in seen} == {scan_type}


def test_segments_of_a_few_ports_to_clients_ports_that_we_reset_are_late() -> None:
    """After a restart of this host its peers go on sending."""
    flows = table()
    for src_port in (443, 80, 8443):
        resets = [tcp(HOST, FRIEND, port, src_port, RST, at=port / 1e5) for port in range(33_000, 33_100)]
        assert steps(flows, resets) == []
    flood = [tcp(HOST, FRIEND, 33_000 + nth, 22_000 + nth, RST, at=1 + nth / 1e5) for nth in range(21)]
    assert kinds(flows, flood) == REFUSED_PROBE * 16


def test_the_ports_of_clients_are_those_of_this_host() -> None:
    flows = table(HostState(own=US.own, local_ports=range(20_000, 30_000)))
    resets = [tcp(HOST, FRIEND, port, 60_000, RST, at=port / 1e5) for port in (20_000, 29_999)]
    assert steps(flows, resets) == []
    assert kinds(flows, tcp(HOST, FRIEND, 40_000, 60_000, RST, at=2)) == REFUSED_PROBE


def test_a_segment_that_a_stranger_resets_is_nobodys_probe() -> None:
    assert steps(table(), tcp(FRIEND, SCANNER, 22, 40_000, RST)) == []
