"""What may be an answer, for how long, and when that is no excuse; nothing that an outsider sends makes an entry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.expectation import Expectations
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, ICMP, SYN, TCP, UDP, Packet
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    US,
    Sent,
    micros,
    syn,
    syn_ack,
    tcp,
    udp,
    udp_reply,
)

LOCAL_PORTS = range(32_768, 61_000)
HOUR_US = 3_600_000_000
CONTACT_SECONDS, SERVER_SECONDS, REFLECTION_SECONDS = 600, 3600, 60
MOST_CONTACTS, MOST_SERVERS, MOST_SOCKETS = 16_384, 1024, 16_384
SCAN_PORTS = 16


def is_late(expected: Expectations, segment: Packet) -> bool:
    return expected.is_late(segment, segment.src)


def expectations(max_addresses: int = 64) -> Expectations:
    return Expectations(max_addresses)


def datagram(source: str, port: int, *, at: float = 0, dst: str = HOST) -> Packet:
    """A datagram that looks like a reply, to a client's port."""
    return Packet(micros(at), source, dst, UDP, 53, port)


def refuse(expected: Expectations, probe: Packet) -> tuple[Packet, ...]:
    """The probes that count after one that was seen."""
    expected.reflection.note(probe.src, probe)
    return expected.refused(probe.src, probe)


def refused(expected: Expectations, source: str, count: int, *, at: float = 0, first: int = 40_000) -> list[int]:
    """How many probes count after each of so many refusals, at a port of ours each."""
    return [len(refuse(expected, datagram(source, first + nth, at=at))) for nth in range(count)]


def segment(source: str, src_port: int, dest_port: int = 40_000) -> Packet:
    return tcp(source, HOST, src_port, dest_port, ACK | 1).packet


# ---- whom we asked


def test_only_what_we_sent_something_is_queried() -> None:
    expected = expectations()
    assert not expected.is_queried(FRIEND)
    expected.query(udp(HOST, 53, dst=FRIEND)[0].packet)
    assert expected.is_queried(FRIEND)
    assert not expected.is_queried(SCANNER)


def test_queried_addresses_are_bounded_and_the_least_recently_queried_goes() -> None:
    expected = expectations(2)
    for address in (FRIEND, SCANNER, FRIEND, SCANNER6):
        expected.query(Packet(0, HOST, address, UDP, 40_000, 53))
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


def expecting(local_ports: range) -> Expectations:
    """Expectations of a host whose clients have these ports."""
    expected = expectations()
    expected.set_host(HostState(own=US.own, local_ports=local_ports))
    return expected


def test_a_segment_to_a_clients_port_may_be_late_from_eight_ports_of_the_peer_and_no_more() -> None:
    expected = expectations()
    ports = (443, 80, 443, 8443, 22, 5432, 6379, 2379, 6443, 443)
    assert all(is_late(expected, segment(FRIEND, port)) for port in ports)
    assert [is_late(expected, segment(FRIEND, port)) for port in (9092, 80)] == [False, True]
    assert is_late(expected, segment(SCANNER, 9092)), "each peer has ports of its own"


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
    assert is_late(expecting(local_ports), segment(FRIEND, 443, dest_port)) is late


def test_the_clients_of_a_host_behind_this_one_have_any_dynamic_port() -> None:
    expected = expecting(range(1024, 2048))
    behind = segment(FRIEND, 443, 65_000)._replace(dst="192.0.2.77")
    assert is_late(expected, behind)
    assert not is_late(expected, behind._replace(dest_port=32_767))


def test_a_segment_to_a_port_that_no_client_has_uses_up_nothing() -> None:
    expected = expectations()
    assert not any(is_late(expected, segment(FRIEND, port, 22)) for port in range(1, 20))
    assert is_late(expected, segment(FRIEND, 443))


def test_the_segments_of_one_peer_that_may_be_late_are_bounded() -> None:
    """More than any pool of connections: somebody probes the range of client ports."""
    expected = expectations()
    late = [is_late(expected, segment(FRIEND, 443, 40_000 + nth)) for nth in range(513)]
    assert late == [*[True] * 512, False]


@pytest.mark.parametrize("sign", [1, -1])
def test_after_an_hour_segments_of_other_ports_may_be_late(sign: int) -> None:
    expected = expectations()
    for port in range(1, 9):
        assert is_late(expected, segment(FRIEND, port))
    other = segment(FRIEND, 443)
    assert not is_late(expected, other._replace(time_us=other.time_us + sign * HOUR_US))
    assert is_late(expected, other._replace(time_us=other.time_us + sign * (HOUR_US + 1)))


def test_peers_with_late_segments_are_bounded() -> None:
    expected = expectations(2)
    for source in (FRIEND, SCANNER, "198.18.0.1"):
        for port in range(1, 9):
            assert is_late(expected, segment(source, port))
    assert not is_late(expected, segment(SCANNER, 9))
    assert is_late(expected, segment(FRIEND, 9)), "it was forgotten"


# ---- what we asked for over another channel


def arriving(proto: int, src_port: int, dest_port: int, *, source: str = FRIEND, at: float = 0) -> Packet:
    """A first packet to a port of ours."""
    return Packet(micros(at), source, HOST, proto, src_port, dest_port, SYN if proto == TCP else 0)


def expects(expected: Expectations, packet: Packet) -> bool:
    return expected.expects(packet, packet.src)


@pytest.mark.parametrize("source", [FRIEND, SCANNER6])
def test_anybody_may_answer_the_socket_of_a_datagram_of_ours_for_a_minute(source: str) -> None:
    """The members of a group answer, each from its own address and a port that it chooses."""
    expected = expectations()
    expected.send(udp(HOST, 1900, dst="239.255.255.250", src_port=45_000)[0].packet)
    assert expects(expected, arriving(UDP, 50_123, 45_000, source=source, at=60))
    assert not expects(expected, arriving(UDP, 50_123, 45_000, source=source, at=60.000_001))
    assert not expects(expected, arriving(UDP, 50_123, 45_001, source=source))
    assert not expects(expected, arriving(TCP, 50_123, 45_000, source=source))
    assert not expects(expected, arriving(UDP, 50_123, 45_000, source=source)._replace(dst=HOST6))


def test_sockets_that_sent_are_bounded() -> None:
    expected = expectations()
    for nth in range(MOST_SOCKETS + 1):
        expected.send(Packet(micros(0), HOST, FRIEND, UDP, nth + 1, 53))
    assert [expects(expected, arriving(UDP, 53, port)) for port in (1, 2)] == [False, True]


def controlled(port: int, *, proto: int = TCP) -> Expectations:
    """Expectations of a host with a session to that port of a server."""
    expected = expectations()
    expected.query(Packet(micros(0), HOST, FRIEND, proto, 50_000, port, SYN if proto == TCP else 0))
    return expected


@pytest.mark.parametrize(("src_port", "dest_port"), [(20, 41_000), (20, 1024), (50_000, 41_000)])
def test_a_server_whose_files_we_ask_for_calls_back(src_port: int, dest_port: int) -> None:
    assert expects(controlled(21), arriving(TCP, src_port, dest_port, at=CONTACT_SECONDS))


@pytest.mark.parametrize(
    "packet",
    [
        arriving(TCP, 20, 1023),
        arriving(TCP, 50_000, 8080),
        arriving(TCP, 20, 41_000, source=SCANNER),
        arriving(TCP, 20, 41_000, at=CONTACT_SECONDS + 1),
        arriving(TCP, 20, 41_000)._replace(flags=FIN),
        arriving(TCP, 20, 41_000)._replace(flags=SYN | FIN),
        arriving(UDP, 20, 41_000),
    ],
    ids=["a service", "no client's port", "a stranger", "too late", "no SYN", "odd flags", "a datagram"],
)
def test_what_no_file_server_sends_is_not_expected(packet: Packet) -> None:
    assert not expects(controlled(21), packet)


@pytest.mark.parametrize(
    ("port", "proto"), [(554, TCP), (8554, TCP), (5060, TCP), (5060, UDP), (5061, TCP), (1720, TCP)]
)
def test_a_camera_or_a_telephone_that_we_called_sends_media(port: int, proto: int) -> None:
    expected = controlled(port, proto=proto)
    assert expects(expected, arriving(UDP, 8200, 12_000, at=CONTACT_SECONDS))
    assert not expects(expected, arriving(UDP, 8200, 1023))
    assert not expects(expected, arriving(TCP, 8200, 12_000))
    assert not expects(expected, arriving(UDP, 8200, 12_000, source=SCANNER))


@pytest.mark.parametrize("port", [80, 443, 6697])
def test_other_servers_have_nothing_to_send_elsewhere(port: int) -> None:
    expected = controlled(port)
    assert not expects(expected, arriving(TCP, 20, 41_000))
    assert not expects(expected, arriving(UDP, 8200, 12_000))


def test_data_keep_a_control_session_alive() -> None:
    expected = controlled(21)
    for nth in range(10):
        assert expects(expected, arriving(TCP, 20, 41_000, at=nth * CONTACT_SECONDS))
    assert not expects(expected, arriving(TCP, 20, 41_000, at=11 * CONTACT_SECONDS))


def test_a_control_session_that_the_socket_table_shows_is_open() -> None:
    expected = controlled(21)
    expected.set_host(HostState(contacts=frozenset({FRIEND})))
    assert expects(expected, arriving(TCP, 20, 41_000, at=100 * CONTACT_SECONDS))


def test_another_session_with_a_file_server_does_not_end_what_it_may_send() -> None:
    expected = controlled(21)
    expected.contact(FRIEND, micros(500))
    assert expects(expected, arriving(TCP, 20, 41_000, at=500))


def test_a_file_server_that_calls_more_than_sixty_four_ports_is_a_scanner() -> None:
    expected = controlled(21)
    called = [expects(expected, arriving(TCP, 20, 40_000 + nth)) for nth in range(65)]
    assert called == [*[True] * 64, False]


def test_one_stream_is_excused_with_the_port_beside_it() -> None:
    expected = expectations()
    media, control, other = (arriving(UDP, 8200, port) for port in (12_000, 12_001, 12_002))
    assert not expects(expected, media)
    assert expected.is_stream(media, FRIEND)
    assert [expects(expected, one) for one in (media, control, other)] == [True, True, False]
    assert not expects(expected, media._replace(src=SCANNER))


# ---- peers over UDP


def test_a_peer_that_answers_one_socket_of_ours_three_times_is_a_contact() -> None:
    expected = expectations()
    for nth in (1, 2):
        expected.answer(arriving(UDP, 27_015, 50_000), nth)
        assert not expected.is_contact(FRIEND, micros(0))
    expected.answer(arriving(UDP, 27_015, 50_000), 3)
    assert expected.is_contact(FRIEND, micros(0))


def test_a_resolver_is_no_contact_however_often_it_answers() -> None:
    expected = expectations()
    expected.answer(arriving(UDP, 53, 50_000), 100)
    assert not expected.is_contact(FRIEND, micros(0))
    assert expected.server(FRIEND, micros(0)) == "resolver"


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


def reflectors(expected: Expectations, *sources: str, at: float = 0, ports: int = 5) -> None:
    """So many sources, at so many ports of ours each."""
    for source in sources:
        assert not any(refused(expected, source, ports, at=at))


REFLECTORS = ("198.18.0.1", "198.19.0.1", "198.20.0.1")


def test_answers_from_three_other_networks_at_once_are_reflection_and_no_scan() -> None:
    expected = expectations()
    reflectors(expected, *REFLECTORS)
    assert not any(refused(expected, SCANNER, 40))


def test_a_source_that_sends_far_more_than_all_others_is_no_reflector() -> None:
    """Who forges reflectors to hide a scan has to send a quarter of it once more; four probes are late answers."""
    expected = expectations()
    reflectors(expected, *REFLECTORS)
    assert next(nth for nth, counted in enumerate(refused(expected, SCANNER, 80), 1) if counted) == 65


@pytest.mark.parametrize(
    "sources",
    [REFLECTORS[:2], ("198.18.0.1", "198.18.0.2", "198.18.9.1"), ("203.0.9.1", "203.0.10.1", "203.0.11.1")],
    ids=["two other networks", "one other network", "the scanner's own network"],
)
def test_answers_from_fewer_networks_hide_no_scan(sources: tuple[str, ...]) -> None:
    expected = expectations()
    reflectors(expected, *sources)
    assert refused(expected, SCANNER, SCAN_PORTS)[-1] == SCAN_PORTS


def test_networks_with_few_packets_each_hide_no_scan() -> None:
    expected = expectations()
    reflectors(expected, *REFLECTORS, ports=3)
    assert refused(expected, SCANNER, SCAN_PORTS)[-1] == SCAN_PORTS


@pytest.mark.parametrize("sign", [1, -1])
def test_reflection_is_over_after_a_minute(sign: int) -> None:
    expected = expectations()
    reflectors(expected, *REFLECTORS)
    assert refused(expected, SCANNER, SCAN_PORTS, at=sign * REFLECTION_SECONDS)[-1] == 0
    late = refused(expected, SCANNER, 5, at=sign * (REFLECTION_SECONDS + 0.000_001), first=50_000)
    assert late == [0, 0, 0, 0, SCAN_PORTS + 1]


def test_reflection_that_goes_on_for_minutes_accuses_no_reflector() -> None:
    expected = expectations()
    for second in range(300):
        for source in (*REFLECTORS, SCANNER):
            assert refuse(expected, datagram(source, 40_000 + second % 100, at=second)) == ()


def test_a_refusal_counts_for_a_day() -> None:
    expected = expectations()
    assert not any(refused(expected, SCANNER, SCAN_PORTS - 1))
    assert refused(expected, SCANNER, 1, at=86_401, first=50_000) == [0]
    assert refused(expected, FRIEND, SCAN_PORTS - 1)[-1] == 0
    assert refused(expected, FRIEND, 1, at=86_400, first=50_000) == [SCAN_PORTS]


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


# ---- calls whose answer was not seen


def test_a_call_of_ours_is_a_contact_until_it_is_refused() -> None:
    expected = expectations()
    (call,) = syn(HOST, 6697, dst=FRIEND)
    expected.query(call.packet)
    assert expected.is_contact(FRIEND, micros(1))
    expected.decline(call.packet)
    assert not expected.is_contact(FRIEND, micros(1))
    expected.decline(call.packet)


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_call_that_is_refused_ends_no_other_connection(answered_first: bool) -> None:
    expected = expectations()
    (call,) = syn(HOST, 6697, dst=FRIEND)
    (other,) = syn(HOST, 113, dst=FRIEND, at=1)
    if answered_first:
        expected.answer(syn_ack(call).packet)
    expected.query(other.packet)
    if not answered_first:
        expected.answer(syn_ack(call).packet)
    expected.decline(other.packet)
    assert expected.is_contact(FRIEND, micros(1))


@pytest.mark.parametrize("probe", [udp(HOST, 53, dst=FRIEND)[0], tcp(HOST, FRIEND, 40_000, 80, ACK | FIN)])
def test_another_probe_of_ours_is_no_call(probe: Sent) -> None:
    expected = expectations()
    expected.query(probe.packet)
    assert not expected.is_contact(FRIEND, probe.time_us)


def test_datagrams_that_nobody_asked_for_count_from_the_eighth_host_of_a_minute() -> None:
    expected = expectations()
    found = [expected.unasked(datagram(SCANNER, 40_125, dst=f"192.0.2.{nth}")) for nth in range(1, 101)]
    assert [len(counted) for counted in found] == [0] * 7 + [8] + [1] * 92
    assert expected.unasked(datagram(SCANNER, 40_125, dst="192.0.2.1")) == (), "the same host again"
    assert expected.unasked(datagram(SCANNER, 40_125, dst="192.0.2.200", at=61)) == (), "a minute later"
    expected.query(Packet(micros(0), HOST, SCANNER, UDP, 40_125, 53))
    late = [expected.unasked(datagram(SCANNER, 40_126, dst=f"192.0.2.{nth}")) for nth in range(1, 20)]
    assert not any(late)
