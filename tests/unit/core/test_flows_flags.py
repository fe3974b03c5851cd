"""The flow table: segments that are no plain SYN."""

import pytest

from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN, URG
from portsentry_py.core.sighting import Kind
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SCANNER6, connect, rst, syn_ack, tcp
from tests.support.flows import kinds, sightings, steps, table


@pytest.mark.parametrize(("flags", "scan_type"), [(ACK, "ack"), (FIN | ACK, "maimon")])
@pytest.mark.parametrize("source", [SCANNER, SCANNER6])
def test_a_segment_with_ack_that_we_reset_was_a_probe(flags: int, scan_type: str, source: str) -> None:
    """Plain ACKs stay in the kernel; the RST that answers them shows them."""
    host = HOST6 if ":" in source else HOST
    stray = tcp(source, host, 40_000, 22, flags, ack=77)
    reset = tcp(host, source, 22, 40_000, RST, seq=77, at=0.001)
    seen = sightings(table(), *([stray] if flags & FIN else []), reset)
    assert [(one.kind, one.packet.src, one.port, one.scan_type) for one in seen] == [
        (Kind.PROBE, source, 22, scan_type),
        (Kind.REFUSED, source, 22, scan_type),
    ]
    assert {one.time_us for one in seen} == {reset.time_us}


def test_a_segment_that_we_reset_keeps_interface_and_vlan() -> None:
    reset = tcp(HOST, SCANNER, 22, 40_000, RST, vlan=7)
    assert {one.packet.vlan for one in sightings(table(), reset)} == {7}


def test_a_reset_of_the_initiator_is_no_answer_of_ours() -> None:
    assert steps(table(), tcp(SCANNER, HOST, 40_000, 22, RST)) == []


def test_a_reset_of_backscatter_or_of_a_late_packet_is_no_probe() -> None:
    flows = table()
    flood = tcp(SCANNER, HOST, 80, 40_000, SYN | ACK, seq=5, ack=77)
    assert steps(flows, flood, tcp(HOST, SCANNER, 40_000, 80, RST, seq=77, at=0.001)) == []
    assert steps(flows, tcp(HOST, FRIEND, 40_001, 443, RST, seq=78, at=1)) == []


@pytest.mark.parametrize("flags", [SYN | RST, SYN | FIN, SYN | RST | ACK, SYN | FIN | ACK, SYN | FIN | PSH | URG, 0xFF])
def test_syn_with_fin_or_reset_is_a_first_packet_with_odd_flags(flags: int) -> None:
    flows = table()
    asked = tcp(SCANNER, HOST, 40_000, 22, flags)
    (probe,) = sightings(flows, asked)
    assert (probe.kind, probe.scan_type) == (Kind.PROBE, "odd_flags")
    assert kinds(flows, rst(asked)) == [Kind.REFUSED]
    assert not flows.served(HOST, "tcp", 22)


@pytest.mark.parametrize("flags", [FIN | RST, FIN | RST | PSH | URG])
def test_fin_with_reset_is_a_first_packet_with_odd_flags(flags: int) -> None:
    (probe,) = sightings(table(), tcp(SCANNER, HOST, 40_000, 22, flags))
    assert (probe.kind, probe.scan_type) == (Kind.PROBE, "odd_flags")


def test_fin_with_reset_ends_a_connection_of_ours() -> None:
    flows = table()
    (asked,) = connect(HOST, 443, dst=FRIEND)
    ended = tcp(FRIEND, HOST, 443, asked.src_port, FIN | RST, at=2)
    assert kinds(flows, asked, syn_ack(asked), ended) == [Kind.PROBE, Kind.ANSWERED]


def test_fin_with_reset_and_acknowledgement_may_be_a_late_end() -> None:
    assert kinds(table(), tcp(SCANNER, HOST, 443, 40_000, FIN | RST | ACK)) == []
