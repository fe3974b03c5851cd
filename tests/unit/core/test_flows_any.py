"""The flow table: what holds whatever packets come."""

from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Limits
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Packet, Quoted
from portsentry_py.core.sighting import Kind, Sighting
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    US,
    connect,
    fin_ack,
    micros,
    no_deadline,
    rst,
    syn_ack,
)
from tests.support.flows import NEIGHBOUR6, PROOFS, REPLAY, observe, sightings, table

addresses = st.sampled_from([SCANNER, FRIEND, HOST, "198.18.0.1", "224.0.0.1", "255.255.255.255"])
addresses6 = st.sampled_from([SCANNER6, NEIGHBOUR6, HOST6, "fe80::1", "ff02::1", "::ffff:203.0.113.9"])
numbers = st.sampled_from([TCP, UDP, ICMP, ICMPV6, SCTP, UDPLITE, DCCP, 4, 47, 255])
some_ports = st.sampled_from([0, 3, 8, 22, 53, 128, 1024, 33_434, 40_000, 65_535]) | st.integers(0, 65_535)
sequence_numbers = st.sampled_from([0, 1, 1000, 1001, (1 << 32) - 1])


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Any packet, with small numbers so that packets meet."""
    some = draw(st.sampled_from([addresses, addresses6]))
    proto = draw(numbers)
    quoted = st.builds(Quoted, numbers, some, some | st.just(""), some_ports, some_ports)
    return Packet(
        time_us=micros(draw(st.integers(-2000, 2000)) / 10),
        src=draw(some),
        dst=draw(some),
        proto=proto,
        src_port=draw(some_ports),
        dest_port=draw(some_ports),
        flags=draw(st.integers(0, 255)),
        seq=draw(sequence_numbers),
        ack=draw(sequence_numbers),
        ttl=draw(st.sampled_from([1, 64])),
        is_whole=draw(st.booleans()),
        quoted=draw(st.none() | quoted) if proto in {ICMP, ICMPV6} else None,
    )


HOSTS = st.sampled_from([US, REPLAY, HostState(home_known=False), HostState(own=US.own, open_traps=frozenset({22}))])


@no_deadline
@given(st.lists(packets(), max_size=30), HOSTS)
def test_any_packets_leave_bounded_tables_and_no_outcome_open(some: list[Packet], host: HostState) -> None:
    limits = Limits(max_flows=64)
    flows = table(host, limits)
    seen: list[Sighting] = []
    for packet in some:
        seen += [*flows.advance(packet.time_us), *observe(flows, packet)]
        assert max(len(flows.inbound), len(flows.outbound), len(flows._pending)) <= limits.max_flows
    seen += flows.finish()
    assert not flows._pending
    assert all(one.source == flows.home.source_of(one.packet.src) for one in seen)
    assert {one.target for one in seen}.isdisjoint({"224.0.0.1", "255.255.255.255", "ff02::1"})


@no_deadline
@given(st.lists(packets(), max_size=30))
def test_no_packet_of_another_teaches_anything_about_this_host(some: list[Packet]) -> None:
    """Whatever others send, in their own names, speaks for them alone."""
    flows = table()
    for packet in some:
        if packet.src not in US.own:
            assert not [one for one in observe(flows, packet) if one.kind in {*PROOFS, Kind.ANSWERED, Kind.SERVED}]
    assert flows.served.learned() == []
    others = {packet.src for packet in some} | {packet.dst for packet in some}
    assert not any(flows.expected.is_queried(one) or flows.expected.is_contact(one, micros(0)) for one in others)
    assert not any(flows.expected.server(one, micros(0)) for one in others)


@no_deadline
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40))
def test_nothing_is_due_before_it_is_said_to_be(packets: list[tuple[int, int]]) -> None:
    flows, now = table(REPLAY), 0.0
    for pause, kind in packets:
        now += pause / 7
        (asked,) = connect(FRIEND, 80 + kind, at=now)
        answers = [[], [syn_ack(asked)], [rst(asked)], [syn_ack(asked), fin_ack(asked)]][kind]
        due = flows.is_due(asked.time_us)
        assert due == bool(due)
        if flows.due_us > asked.time_us:
            assert not due
            assert list(flows.advance(asked.time_us)) == []
        sightings(flows, asked, answers)
