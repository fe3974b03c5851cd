"""Who may be banned."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Network, Networks
from portsentry_py.core.expectation import Expectations
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import HostState, network_of
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.packet import UDP, Packet
from portsentry_py.core.policy import Policy
from portsentry_py.core.sighting import Kind
from portsentry_py.core.source_record import Attempt, Counts, Endpoint, SourceRecord, StackFingerprint
from portsentry_py.core.standing import Acquaintance, StandingTable
from portsentry_py.events.model import Direction, Reason, Verdict
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SCANNER6, START_US, US, micros, no_deadline, udp
from tests.support.sightings import sighting

TODAY = START_US // 86_400_000_000
NETWORK6 = network_of(SCANNER6)
NEIGHBOUR6 = "2001:db8:bad::77"
ITS_STACK = StackFingerprint(64, 24)
OTHER_STACK = StackFingerprint(51, 40)
OWN = Endpoint(HOST, "tcp", 80)
TEN_MINUTES = 600
BAN = ("ban", "ports_in_window")
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def finding(
    address: str = SCANNER,
    *,
    bannable: bool = True,
    direction: Direction = "inbound",
    proofs: int = 0,
    attempts: int = 8,
    twins: int = 0,
    seconds: float = 0,
    stack: StackFingerprint = ITS_STACK,
    udp: bool = False,
    is_network: bool = True,
) -> Finding:
    """A finding about attempts that took so long; an IPv6 source is its network unless it stands alone."""
    source = network_of(address) if ":" in address and is_network else address
    record = SourceRecord(source, direction, START_US, micros(seconds), address, probes=attempts)
    record.stacks = Counts({stack: attempts})
    record.trap_answered, record.proofs = proofs > 0, (OWN,) * proofs
    for port in range(attempts):
        first_us = micros(seconds) if port == attempts - 1 else START_US
        record.unserved[Endpoint(HOST, "tcp", port)] = Attempt(first_us, first_us, "syn", has_twin=port < twins)
    probe = sighting(Kind.PROBE, 22, source=address, direction=direction, at=seconds, proto="udp" if udp else "tcp")
    return Finding("port_scan", probe, record, "udp" if udp else "syn", bannable, "ports_in_window")


def guest(address: str) -> Acquaintance:
    """Five sessions today."""
    return Acquaintance(address, (TODAY,), (START_US,) * 5, (ITS_STACK,))


def regular(address: str) -> Acquaintance:
    """Sessions on two days."""
    return Acquaintance(address, (TODAY - 1, TODAY), (START_US,), (ITS_STACK,))


def judged(
    one: Finding,
    *known: Acquaintance,
    ignore: Networks = (),
    host: HostState = US,
    expected: Expectations | None = None,
    scanners: KnownScanners | None = None,
    verdict: Verdict = "ban",
) -> tuple[str, str]:
    standing = StandingTable()
    standing.restore(known)
    policy = Policy(ignore, standing, expected or Expectations(16), scanners or KnownScanners(), verdict)
    policy.set_host(host)
    judgement = policy.judge(one)
    assert judgement.finding is one
    assert judgement.bans == (judgement.verdict == "ban")
    return judgement.verdict, judgement.reason


@pytest.mark.parametrize("source", [SCANNER, SCANNER6, "10.0.0.1", "fd00::1"])
def test_a_scanner_is_banned_for_what_it_did(source: str) -> None:
    assert judged(finding(source)) == BAN


@pytest.mark.parametrize("verdict", ["watch", "ignore"])
def test_a_known_scanner_gets_the_verdict_that_the_operator_chose(verdict: Verdict) -> None:
    scanners = KnownScanners([(ip_network("203.0.113.0/24"), "censys")])
    assert judged(finding(SCANNER), scanners=scanners) == BAN
    assert judged(finding(SCANNER), scanners=scanners, verdict=verdict) == (verdict, "known_scanner")
    assert judged(finding(FRIEND), scanners=scanners, verdict=verdict) == BAN
    # Evidence that bans nobody stays as it is.
    assert judged(finding(SCANNER, bannable=False), scanners=scanners, verdict=verdict) == ("watch", "ports_in_window")
    assert judged(finding(SCANNER, twins=8), scanners=scanners, verdict=verdict) == ("watch", "decoy_source")


def test_evidence_that_is_not_enough_is_watched() -> None:
    assert judged(finding(bannable=False)) == ("watch", "ports_in_window")


@pytest.mark.parametrize("source", [HOST, HOST6])
def test_our_own_addresses_are_ignored(source: str) -> None:
    assert judged(finding(source)) == ("ignore", "own_address")


def test_addresses_that_the_operator_calls_ours_are_ours() -> None:
    home = HostState(home=(ip_network(f"{SCANNER}/32"), ip_network(f"{SCANNER6}/128")))
    assert judged(finding(SCANNER), host=home) == ("ignore", "own_address")
    assert judged(finding(SCANNER6), host=home) == ("ignore", "own_address")
    assert judged(finding("203.0.113.8"), host=home) == BAN


def test_a_scanner_inside_our_home_networks_is_watched() -> None:
    home = HostState(home=(ip_network("203.0.113.0/24"), ip_network("2001:db8:bad::/48")))
    assert judged(finding(SCANNER), host=home) == ("watch", "home_network")
    assert judged(finding(SCANNER6, proofs=2, is_network=False), host=home) == ("watch", "home_network")
    assert judged(finding(FRIEND), host=home) == BAN


@pytest.mark.parametrize("reason", ["gateway", "resolver", "ntp_server", "dhcp_server", "ssh_session"])
@pytest.mark.parametrize("source", [SCANNER, SCANNER6])
def test_what_we_depend_on_is_ignored(reason: Reason, source: str) -> None:
    host = HostState(own=US.own, protected={source: reason})
    assert judged(finding(source, proofs=2), host=host) == ("ignore", reason)
    assert judged(finding(FRIEND), host=host) == BAN


def servers(*addresses: str) -> Expectations:
    """These resolvers have answered us."""
    expected = Expectations(16)
    for address in addresses:
        expected.answer(udp(address, 40_000, src_port=53)[0].packet)
    return expected


def test_a_server_that_we_asked_is_doubted_for_datagrams_alone_and_for_an_hour() -> None:
    expected = servers(FRIEND)
    assert judged(finding(FRIEND, udp=True), expected=expected) == ("watch", "queried_server")
    assert judged(finding(FRIEND), expected=expected) == BAN
    assert judged(finding(SCANNER, udp=True), expected=expected) == BAN
    assert judged(finding(FRIEND, udp=True, proofs=1), expected=expected) == BAN
    assert judged(finding(FRIEND, udp=True, seconds=3600), expected=expected) == ("watch", "queried_server")
    assert judged(finding(FRIEND, udp=True, seconds=3601), expected=expected) == BAN


def datagram(source: str, *, seconds: float = 0) -> Packet:
    """What looks like an answer to a client of ours."""
    return Packet(micros(seconds), source, HOST, UDP, 53, 40_000)


def test_one_of_many_reflectors_is_doubted_for_what_an_answer_looks_like() -> None:
    expected = Expectations(16)
    for source in (SCANNER, "198.18.0.1", "198.19.0.1", "198.20.0.1"):
        for _ in range(8):
            expected.reflection.note(source, datagram(source))
    assert judged(finding(udp=True), expected=expected) == ("watch", "reflection")
    mixed = finding(udp=True)._replace(scan_type="mixed")
    mixed.record.types = Counts({"udp": 4, "unseen": 4})
    assert judged(mixed, expected=expected) == ("watch", "reflection")
    mixed.record.types = Counts({"udp": 4, "unseen": 4, "syn": 1})
    assert judged(mixed, expected=expected) == BAN
    assert judged(finding(), expected=expected) == BAN
    assert judged(finding(udp=True, proofs=1), expected=expected) == BAN
    assert judged(finding(udp=True, seconds=61), expected=expected) == ("watch", "reflection")
    for _ in range(5):
        expected.reflection.note(SCANNER, datagram(SCANNER, seconds=61))
    assert judged(finding(udp=True, seconds=61), expected=expected) == BAN


@pytest.mark.parametrize(("twins", "verdict"), [(4, ("watch", "decoy_source")), (3, BAN)])
def test_a_source_is_watched_if_half_of_its_attempts_have_spoofed_twins(twins: int, verdict: tuple[str, str]) -> None:
    assert judged(finding(twins=twins)) == verdict


def test_a_source_that_proved_itself_is_banned_whatever_twins_it_has() -> None:
    assert judged(finding(twins=8, proofs=1)) == BAN


@pytest.mark.parametrize("known", [guest(SCANNER), regular(SCANNER)])
def test_a_visitor_is_watched_unless_it_proved_itself_at_two_ports(known: Acquaintance) -> None:
    assert judged(finding(), known) == ("watch", "friend")
    assert judged(finding(proofs=1), known) == ("watch", "friend")
    assert judged(finding(proofs=2), known) == BAN


def test_a_source_of_few_sessions_on_one_day_is_no_visitor() -> None:
    assert judged(finding(), Acquaintance(SCANNER, (TODAY,), (START_US,) * 4)) == BAN
    assert judged(finding(), guest(FRIEND)) == BAN


def test_the_standing_of_a_guest_excuses_64_attempts_and_that_of_a_regular_visitor_any_number() -> None:
    assert judged(finding(attempts=64), guest(SCANNER)) == ("watch", "friend")
    assert judged(finding(attempts=65), guest(SCANNER)) == BAN
    assert judged(finding(attempts=65), regular(SCANNER)) == ("watch", "friend")


def test_no_standing_excuses_more_than_ten_minutes_with_the_stack_of_the_visitors_own_sessions() -> None:
    known = regular(SCANNER)
    assert judged(finding(seconds=TEN_MINUTES), known) == ("watch", "friend")
    assert judged(finding(seconds=TEN_MINUTES + 1), known) == BAN
    assert judged(finding(seconds=TEN_MINUTES + 1, stack=OTHER_STACK), known) == ("watch", "friend")


def test_no_standing_excuses_more_than_an_hour_with_another_stack() -> None:
    known = regular(SCANNER)
    assert judged(finding(seconds=6 * TEN_MINUTES, stack=OTHER_STACK), known) == ("watch", "friend")
    assert judged(finding(seconds=6 * TEN_MINUTES + 1, stack=OTHER_STACK), known) == BAN


def test_half_of_the_probes_with_a_stack_of_its_own_are_the_visitors() -> None:
    one, known = finding(seconds=TEN_MINUTES + 1), regular(SCANNER)
    one.record.stacks = Counts({OTHER_STACK: 4, ITS_STACK: 4})
    assert judged(one, known) == BAN
    one.record.stacks = Counts({OTHER_STACK: 5, ITS_STACK: 3})
    assert judged(one, known) == ("watch", "friend")


@pytest.mark.parametrize("field", ["peers", "contacts"])
def test_a_peer_with_an_open_connection_is_a_guest(field: str) -> None:
    host = HostState(own=US.own, **{field: frozenset({SCANNER})})  # type: ignore[arg-type] # both hold addresses
    assert judged(finding(), host=host) == ("watch", "friend")
    assert judged(finding(attempts=65), host=host) == BAN
    assert judged(finding(proofs=2), host=host) == BAN
    assert judged(finding(FRIEND), host=host) == BAN


def test_a_peer_is_a_guest_until_ten_minutes_after_its_connection() -> None:
    expected = Expectations(16)
    expected.contact(SCANNER, START_US)
    assert judged(finding(seconds=TEN_MINUTES), expected=expected) == ("watch", "friend")
    assert judged(finding(seconds=TEN_MINUTES + 1), expected=expected) == BAN


@pytest.mark.parametrize("known", [guest(NEIGHBOUR6), regular(NEIGHBOUR6)])
def test_an_ipv6_network_is_watched_if_a_neighbour_is_a_visitor(known: Acquaintance) -> None:
    assert judged(finding(SCANNER6), known) == ("watch", "neighbour")
    assert judged(finding(SCANNER6, proofs=2), known) == BAN
    assert judged(finding(SCANNER6, is_network=False), known) == BAN


def test_an_ipv6_network_is_watched_if_a_neighbour_is_connected() -> None:
    host = HostState(own=US.own, peers=frozenset({NEIGHBOUR6, FRIEND}))
    assert judged(finding(SCANNER6), host=host) == ("watch", "neighbour")
    assert judged(finding("2001:db8:bad:1::9"), host=host) == BAN
    assert judged(finding("198.51.100.8"), host=host) == BAN


@pytest.mark.parametrize(
    ("host", "ignore"),
    [
        (HostState(own=frozenset({NEIGHBOUR6})), ()),
        (HostState(protected={NEIGHBOUR6: "gateway"}), ()),
        (US, (ip_network("10.0.0.0/8"), ip_network(f"{NEIGHBOUR6}/128"))),
    ],
)
def test_an_ipv6_network_with_an_address_that_must_never_be_banned_is_watched(
    host: HostState, ignore: Networks
) -> None:
    assert judged(finding(SCANNER6, proofs=2), host=host, ignore=ignore) == ("watch", "neighbour")
    assert judged(finding(SCANNER6, proofs=2, is_network=False), host=host, ignore=ignore) == BAN
    assert judged(finding("2001:db8:bad:1::9"), host=host, ignore=ignore) == BAN


def test_the_reasons_have_an_order() -> None:
    """What must never be banned comes before what is only doubtful."""
    host = HostState(own=US.own, home=EVERYTHING[:1], protected={HOST: "gateway", SCANNER: "gateway"})
    everything = EVERYTHING[:1]
    assert judged(finding(HOST, direction="outbound"), ignore=everything, host=host)[1] == "outbound"
    assert judged(finding(HOST), ignore=everything, host=host)[1] == "own_address"
    assert judged(finding(SCANNER), ignore=everything, host=host)[1] == "ignore_list"
    assert judged(finding(SCANNER), host=host)[1] == "gateway"
    assert judged(finding("127.0.0.1"), host=host)[1] == "not_bannable"
    assert judged(finding(FRIEND, twins=8), host=host)[1] == "home_network"
    assert judged(finding("::ffff:203.0.113.9", twins=8))[1] == "mapped_source"
    known, expected = guest(FRIEND), servers(FRIEND)
    assert judged(finding(FRIEND, twins=8, udp=True), known, expected=expected)[1] == "friend"
    assert judged(finding(FRIEND, twins=8, udp=True), expected=expected)[1] == "decoy_source"
    assert judged(finding(FRIEND, bannable=False, udp=True), expected=expected)[1] == "queried_server"
    six = [guest(SCANNER6), guest(NEIGHBOUR6)]
    assert judged(finding(SCANNER6), *six)[1] == "friend"
    assert judged(finding(SCANNER6), *six, ignore=(ip_network(f"{NEIGHBOUR6}/128"),))[1] == "neighbour"


def test_our_own_addresses_may_change() -> None:
    policy = Policy((), StandingTable(), Expectations(16), KnownScanners())
    policy.set_host(US)
    assert policy.judge(finding(HOST)).verdict == "ignore"
    policy.set_host(HostState())
    assert policy.judge(finding(HOST)).bans


@pytest.mark.parametrize(
    ("source", "network"),
    [
        (SCANNER, "203.0.113.9/32"),
        (SCANNER, "203.0.0.0/16"),
        (SCANNER, "0.0.0.0/0"),
        (SCANNER6, "2001:db8:bad::/64"),
        (SCANNER6, "::/0"),
    ],
)
def test_the_ignore_list_is_heeded(source: str, network: str) -> None:
    assert judged(finding(source, proofs=2), ignore=(ip_network(network),)) == ("ignore", "ignore_list")


def test_the_allowlist_of_the_host_is_heeded() -> None:
    """It changes while the sensor runs, as the host does."""
    allowed = HostState(allowed=(ip_network("203.0.113.0/24"), ip_network(NEIGHBOUR6)))
    assert judged(finding(SCANNER, proofs=2), host=allowed) == ("ignore", "ignore_list")
    assert judged(finding(SCANNER6), host=allowed) == ("watch", "neighbour")
    assert judged(finding(FRIEND), host=allowed) == BAN


def test_the_ignore_list_of_one_family_does_not_apply_to_the_other() -> None:
    everything4, everything6 = EVERYTHING
    assert judged(finding(SCANNER6), ignore=(everything4,)) == BAN
    assert judged(finding(SCANNER), ignore=(everything6,)) == BAN


@pytest.mark.parametrize(
    "source", ["224.0.0.1", "ff02::1", "0.0.0.0", "::", "127.0.0.1", "127.53.0.1", "::1", "255.255.255.255"]
)
def test_an_address_that_is_no_single_distant_host_is_ignored(source: str) -> None:
    assert judged(finding(source)) == ("ignore", "not_bannable")


@pytest.mark.parametrize("source", ["169.254.7.7", "fe80::1"])
def test_a_neighbour_on_the_link_is_watched(source: str) -> None:
    assert judged(finding(source, proofs=2)) == ("watch", "not_bannable")


@pytest.mark.parametrize("bannable", [True, False])
def test_a_mapped_address_is_watched(bannable: bool) -> None:
    """fail2ban would ban the embedded IPv4 address, whose owner sent nothing."""
    assert judged(finding("::ffff:203.0.113.9", bannable=bannable)) == ("watch", "mapped_source")


def test_a_mapped_address_on_the_ignore_list_is_ignored() -> None:
    assert judged(finding("::ffff:203.0.113.9"), ignore=(ip_network("::ffff:0:0/96"),))[0] == "ignore"


def test_scanning_outwards_is_an_alarm_and_never_a_ban() -> None:
    assert judged(finding(FRIEND, direction="outbound")) == ("watch", "outbound")
    assert judged(finding(HOST, direction="outbound")) == ("watch", "outbound")


addresses = st.one_of(
    st.ip_addresses().map(str), st.sampled_from([SCANNER, SCANNER6, NEIGHBOUR6, FRIEND, HOST, HOST6, "fe80::1"])
)
networks = st.sampled_from(
    [ip_network(text) for text in ("203.0.113.0/24", f"{NEIGHBOUR6}/128", "2001:db8::/32", "ff00::/8", "0.0.0.0/1")]
)
findings = st.builds(
    finding,
    addresses,
    proofs=st.integers(0, 3),
    twins=st.integers(0, 8),
    seconds=st.integers(-1000, 10_000),
    direction=st.sampled_from(["inbound", "outbound"]),
)


@no_deadline
@given(
    findings,
    st.lists(networks, max_size=3),
    st.sets(addresses, max_size=2),
    st.lists(st.builds(guest, addresses) | st.builds(regular, addresses), max_size=3),
)
def test_no_ban_reaches_what_must_never_be_banned_whatever_else_is_known(
    one: Finding, ignore: list[Network], protected: set[str], known: list[Acquaintance]
) -> None:
    host = HostState(own=US.own, protected=dict.fromkeys(protected, "gateway"))
    verdict, _ = judged(one, *known, ignore=tuple(ignore), host=host)
    reach = ip_network(one.record.source)
    for other in [*map(ip_network, [*US.own, *protected]), *ignore]:
        if other.network_address in reach or reach.network_address in other:
            assert verdict != "ban"
