"""What may be an answer, for how long, and when that is no excuse; nothing that an outsider sends makes an entry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.expectation import Expectations
from portsentry_py.core.packet import ACK, ICMP, TCP, UDP, Packet
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SCANNER6, micros, syn, syn_ack, tcp, udp, udp_reply

LOCAL_PORTS = range(32_768, 61_000)
CONTACT_SECONDS, SERVER_SECONDS, REFLECTION_SECONDS = 600, 3600, 60
MOST_CONTACTS, MOST_SERVERS = 16_384, 1024
SCAN_PORTS, LATE_PORTS = 16, 3


def expectations(max_addresses: int = 64) -> Expectations:
    return Expectations(max_addresses)


def datagram(source: str, port: int, *, at: float = 0, dst: str = HOST) -> Packet:
    """A datagram that looks like a reply, to a client's port."""
    return Packet(micros(at), source, dst, UDP, 53, port)


def refused(expected: Expectations, source: str, count: int, *, at: float = 0, first: int = 40_000) -> list[int]:
    """How many probes count after each of so many refusals, at a port of ours each."""
    return [len(expected.refused(source, datagram(source, first + nth, at=at))) for nth in range(count)]


def segment(source: str, src_port: int, dest_port: int = 40_000) -> Packet:
    return tcp(source, HOST, src_port, dest_port, ACK | 1).packet


# ---- whom we asked


def test_only_what_we_sent_something_is_queried() -> None:
    expected = expectations()
    assert not expected.is_queried(FRIEND)
    expected.query(FRIEND)
    assert expected.is_queried(FRIEND)
    assert not expected.is_queried(SCANNER)


def test_queried_addresses_are_bounded_and_the_least_recently_queried_goes() -> None:
    expected = expectations(2)
    for address in (FRIEND, SCANNER, FRIEND, SCANNER6):
        expected.query(address)
    assert [expected.is_queried(one) for one in (FRIEND, SCANNER, SCANNER6)] == [True, False, True]


# ---- open connections


def test_an_answer_over_tcp_makes_a_contact_for_ten_minutes() -> None:
    expected = expectations()
    assert not expected.is_contact(FRIEND, micros(0))
    expected.answer(syn_ack(syn(HOST, 443, dst=FRIEND)[0], after=0).packet)
    assert expected.is_contact(FRIEND, micros(CONTACT_SECONDS))
    assert not expected.is_contact(FRIEND, micros(CONTACT_SECONDS) + 1)
    assert not expected.is_contact(SCANNER, micros(0))
    assert expected.server(FRIEND, micros(0)) is None


def test_a_contact_lasts_from_the_last_time_that_it_was_seen() -> None:
    expected = expectations()
    expected.contact(FRIEND, micros(0))
    expected.contact(FRIEND, micros(500))
    assert expected.is_contact(FRIEND, micros(500 + CONTACT_SECONDS))


def test_a_clock_that_was_set_back_keeps_no_contact_for_long() -> None:
    expected = expectations()
    expected.contact(FRIEND, micros(100_000))
    expected.answer(udp_reply(udp(HOST, 53, dst=FRIEND, at=100_000)[0]).packet)
    assert not expected.is_contact(FRIEND, micros(0))
    assert expected.server(FRIEND, micros(0)) is None


def test_contacts_are_bounded() -> None:
    expected = expectations()
    for number in range(MOST_CONTACTS + 1):
        expected.contact(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", micros(0))
    assert not expected.is_contact("10.0.0.0", micros(0))
    assert expected.is_contact("10.0.0.1", micros(0))


# ---- servers


@pytest.mark.parametrize(
    ("port", "kind"), [(53, "resolver"), (67, "dhcp_server"), (123, "ntp_server"), (547, "dhcp_server")]
)
def test_an_answer_over_udp_makes_a_server_for_an_hour(port: int, kind: str) -> None:
    expected = expectations()
    assert expected.server(FRIEND, micros(0)) is None
    expected.answer(udp_reply(udp(HOST, port, dst=FRIEND)[0], after=0).packet)
    assert expected.server(FRIEND, micros(SERVER_SECONDS)) == kind
    assert expected.server(FRIEND, micros(SERVER_SECONDS) + 1) is None
    assert not expected.is_contact(FRIEND, micros(0))


@pytest.mark.parametrize("packet", [datagram(FRIEND, 40_000)._replace(src_port=161), Packet(0, FRIEND, HOST, ICMP, 53)])
def test_other_answers_make_no_server_and_no_contact(packet: Packet) -> None:
    expected = expectations()
    expected.answer(packet)
    assert expected.server(FRIEND, packet.time_us) is None
    assert not expected.is_contact(FRIEND, packet.time_us)


def test_servers_are_bounded() -> None:
    expected = expectations()
    for number in range(MOST_SERVERS + 1):
        expected.answer(datagram(f"10.0.{number >> 8}.{number & 255}", 40_000))
    assert expected.server("10.0.0.0", micros(0)) is None
    assert expected.server("10.0.0.1", micros(0)) == "resolver"


# ---- late segments


def test_a_segment_to_a_clients_port_may_be_late_from_three_ports_of_the_peer_and_no_more() -> None:
    expected = expectations()
    assert [expected.is_late(segment(FRIEND, port), LOCAL_PORTS) for port in (443, 80, 443, 8443, 22, 80, 443)] == [
        *([True] * 4),
        False,
        *([True] * 2),
    ]
    assert expected.is_late(segment(SCANNER, 22), LOCAL_PORTS), "each peer has ports of its own"


@pytest.mark.parametrize(
    ("dest_port", "local_ports", "late"),
    [
        (32_767, LOCAL_PORTS, False),
        (32_768, LOCAL_PORTS, True),
        (60_999, LOCAL_PORTS, True),
        (61_000, LOCAL_PORTS, False),
        (40_000, range(49_152, 65_536), False),
        (1024, range(1024, 2048), True),
    ],
)
def test_only_a_segment_to_a_clients_port_of_this_host_may_be_late(
    dest_port: int, local_ports: range, late: bool
) -> None:
    assert expectations().is_late(segment(FRIEND, 443, dest_port), local_ports) is late


def test_a_segment_to_a_port_that_no_client_has_uses_up_nothing() -> None:
    expected = expectations()
    assert not any(expected.is_late(segment(FRIEND, port, 22), LOCAL_PORTS) for port in range(1, 20))
    assert expected.is_late(segment(FRIEND, 443), LOCAL_PORTS)


def test_peers_with_late_segments_are_bounded() -> None:
    expected = expectations(2)
    for source in (FRIEND, SCANNER, "198.18.0.1"):
        for port in (1, 2, 3):
            assert expected.is_late(segment(source, port), LOCAL_PORTS)
    assert not expected.is_late(segment(SCANNER, 4), LOCAL_PORTS)
    assert expected.is_late(segment(FRIEND, 4), LOCAL_PORTS), "it was forgotten"


# ---- refusals of what looks like a reply


def test_sixteen_ports_of_ours_refused_to_one_source_are_a_scan_and_all_count() -> None:
    expected = expectations()
    probes = [datagram(SCANNER, 40_000 + nth, at=nth) for nth in range(SCAN_PORTS + 2)]
    *before, together, one, another = [expected.refused(SCANNER, probe) for probe in probes]
    assert set(before) == {()}
    assert together == tuple(probes[:SCAN_PORTS])
    assert (one, another) == ((probes[-2],), (probes[-1],))


def test_the_same_port_counts_once_and_the_latest_probe_stands_for_it() -> None:
    expected = expectations()
    for nth in range(100):
        assert expected.refused(SCANNER, datagram(SCANNER, 40_000, at=nth)) == ()
    counted = [expected.refused(SCANNER, datagram(SCANNER, 40_001 + nth, at=200)) for nth in range(SCAN_PORTS - 1)]
    assert counted[-1][0] == datagram(SCANNER, 40_000, at=99)


@pytest.mark.parametrize(
    "change", [{"dst": HOST6}, {"dest_port": 41_000}, {"proto": TCP}], ids=["address", "port", "transport"]
)
def test_a_port_is_one_of_an_address_and_a_transport(change: dict[str, int | str]) -> None:
    expected = expectations()
    refused(expected, SCANNER, SCAN_PORTS - 1)
    other = datagram(SCANNER, 40_000)._replace(**change)  # type: ignore[arg-type] # one field of any type
    assert len(expected.refused(SCANNER, other)) == SCAN_PORTS


def test_the_ports_of_two_sources_are_not_added_up() -> None:
    expected = expectations()
    assert not any(refused(expected, SCANNER, SCAN_PORTS - 1) + refused(expected, FRIEND, SCAN_PORTS - 1))


def reflectors(expected: Expectations, *sources: str, at: float = 0, ports: int = 4) -> None:
    """So many sources, at so many ports of ours each."""
    for source in sources:
        assert not any(refused(expected, source, ports, at=at))


REFLECTORS = ("198.18.0.1", "198.19.0.1", "198.20.0.1")


def test_answers_from_three_networks_at_once_are_reflection_and_no_scan() -> None:
    expected = expectations()
    reflectors(expected, *REFLECTORS[:2])
    assert not any(refused(expected, SCANNER, 30))


@pytest.mark.parametrize(
    "sources",
    [REFLECTORS[:1], ("198.18.0.1", "198.18.0.2", "198.18.9.1"), ("203.0.9.1", "203.0.10.1", "203.0.11.1")],
    ids=["two networks", "one other network", "the scanner's own network"],
)
def test_answers_from_fewer_networks_hide_no_scan(sources: tuple[str, ...]) -> None:
    expected = expectations()
    reflectors(expected, *sources)
    assert refused(expected, SCANNER, SCAN_PORTS)[-1] == SCAN_PORTS


def test_networks_with_few_ports_each_hide_no_scan() -> None:
    expected = expectations()
    reflectors(expected, *REFLECTORS, ports=3)
    assert refused(expected, SCANNER, SCAN_PORTS)[-1] == SCAN_PORTS


@pytest.mark.parametrize("sign", [1, -1])
def test_reflection_is_over_after_a_minute(sign: int) -> None:
    expected = expectations()
    reflectors(expected, *REFLECTORS)
    assert refused(expected, SCANNER, SCAN_PORTS, at=sign * REFLECTION_SECONDS)[-1] == 0
    assert refused(expected, SCANNER, 1, at=sign * (REFLECTION_SECONDS + 0.000_001), first=50_000) == [SCAN_PORTS + 1]


def test_reflection_that_goes_on_for_minutes_accuses_no_reflector() -> None:
    expected = expectations()
    for second in range(300):
        for source in REFLECTORS:
            at = datagram(source, 40_000 + second % 100)
            counted = expected.refused(source, at._replace(time_us=at.time_us + second * 1_000_000))
            assert counted == ()


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 20)), max_size=200))
def test_a_source_has_at_most_sixteen_probes_that_wait(refusals: list[tuple[int, int]]) -> None:
    expected = expectations()
    for number, port in refusals:
        source = f"10.{number % 5}.0.{number % 7}"
        assert len(expected.refused(source, datagram(source, 40_000 + port))) in {0, 1, SCAN_PORTS, SCAN_PORTS + 1}
    assert all(0 < len(kept.probes) <= SCAN_PORTS for _, kept in expected._refused.items())


def test_sources_that_were_refused_are_bounded() -> None:
    expected = expectations()
    for number in range(2000):
        source = f"10.0.{number >> 8}.{number & 255}"
        expected.refused(source, datagram(source, 40_000))
    assert len(expected._refused) == 1024
