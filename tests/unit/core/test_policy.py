"""Who may be banned."""

from ipaddress import ip_network

import pytest

from portsentry_py.config.settings import Networks
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import HostState
from portsentry_py.core.policy import Policy
from portsentry_py.core.sighting import Kind
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import Direction, Reason
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SCANNER6, START_US, US
from tests.support.sightings import sighting


def finding(
    source: str,
    *,
    bannable: bool = True,
    direction: Direction = "inbound",
    verified: bool = False,
    tunnelled: bool = False,
    has_twin: bool = False,
    sessions: int = 0,
) -> Finding:
    record = SourceRecord(
        source,
        direction,
        START_US,
        START_US,
        trap_answered=verified,
        tunnelled=tunnelled,
        has_twin=has_twin,
        sessions=sessions,
    )
    probe = sighting(Kind.PROBE, 22, source=source, direction=direction)
    return Finding("port_scan", probe, record, "syn", bannable, "ports_in_window")


def no_server(_address: str) -> None:
    """No server answered us."""


def judged(one: Finding, *, ignore: Networks = (), host: HostState = US) -> tuple[str, str]:
    policy = Policy(ignore, no_server)
    policy.set_host(host)
    return policy.verdict(one)


@pytest.mark.parametrize("source", [SCANNER, SCANNER6, "10.0.0.1", "fd00::1"])
def test_a_scanner_is_banned_for_what_it_did(source: str) -> None:
    assert judged(finding(source)) == ("ban", "ports_in_window")


def test_evidence_that_is_not_enough_is_watched() -> None:
    assert judged(finding(SCANNER, bannable=False))[0] == "watch"


@pytest.mark.parametrize("source", [HOST, HOST6])
def test_our_own_addresses_are_ignored(source: str) -> None:
    assert judged(finding(source)) == ("ignore", "own_address")


def test_addresses_that_the_operator_calls_ours_are_ours() -> None:
    home = HostState(home=(ip_network(f"{SCANNER}/32"), ip_network(f"{SCANNER6}/128")))
    assert judged(finding(SCANNER), host=home) == ("ignore", "own_address")
    assert judged(finding(SCANNER6), host=home) == ("ignore", "own_address")
    assert judged(finding("203.0.113.8"), host=home)[0] == "ban"


def test_a_scanner_inside_our_home_networks_is_watched() -> None:
    home = HostState(home=(ip_network("203.0.113.0/24"), ip_network("2001:db8:bad::/48")))
    assert judged(finding(SCANNER), host=home) == ("watch", "home_network")
    assert judged(finding(SCANNER6, verified=True), host=home) == ("watch", "home_network")
    assert judged(finding(FRIEND), host=home)[0] == "ban"


@pytest.mark.parametrize("reason", ["gateway", "resolver", "ntp_server", "dhcp_server", "ssh_session"])
@pytest.mark.parametrize("source", [SCANNER, SCANNER6])
def test_what_we_depend_on_is_ignored(reason: Reason, source: str) -> None:
    host = HostState(own=US.own, protected={source: reason})
    assert judged(finding(source, verified=True), host=host) == ("ignore", reason)
    assert judged(finding(FRIEND), host=host)[0] == "ban"


def test_servers_that_answered_us_are_ignored() -> None:
    servers: dict[str, Reason] = {SCANNER: "resolver"}
    policy = Policy((), servers.get)
    policy.set_host(US)
    assert policy.verdict(finding(SCANNER)) == ("ignore", "resolver")
    assert policy.verdict(finding(FRIEND))[0] == "ban"


@pytest.mark.parametrize("verified", [True, False])
def test_a_source_that_may_be_forged_is_watched_until_it_proves_itself(verified: bool) -> None:
    tunnelled = judged(finding(SCANNER, tunnelled=True, verified=verified))
    twin = judged(finding(SCANNER, has_twin=True, verified=verified))
    if verified:
        assert tunnelled == twin == ("ban", "ports_in_window")
    else:
        assert (tunnelled, twin) == (("watch", "tunnelled"), ("watch", "decoy_source"))


@pytest.mark.parametrize("verified", [True, False])
def test_a_regular_visitor_is_watched_whatever_is_forged_in_its_name(verified: bool) -> None:
    assert judged(finding(SCANNER, verified=verified, sessions=5)) == ("watch", "friend")
    assert judged(finding(SCANNER, verified=verified, sessions=4))[0] == "ban"


@pytest.mark.parametrize("verified", [True, False])
def test_a_connected_peer_is_a_regular_visitor(verified: bool) -> None:
    host = HostState(own=US.own, peers=frozenset({SCANNER}))
    assert judged(finding(SCANNER, verified=verified), host=host) == ("watch", "friend")
    assert judged(finding(FRIEND, verified=verified), host=host)[0] == "ban"


def test_the_reasons_have_an_order() -> None:
    """What must never be banned comes before what is only doubtful."""
    everything = (ip_network("0.0.0.0/0"),)
    host = HostState(own=US.own, home=everything, protected={HOST: "gateway", SCANNER: "gateway"})
    assert judged(finding(HOST, direction="outbound"), ignore=everything, host=host)[1] == "outbound"
    assert judged(finding(HOST), ignore=everything, host=host)[1] == "own_address"
    assert judged(finding(SCANNER), ignore=everything, host=host)[1] == "ignore_list"
    assert judged(finding(SCANNER), host=host)[1] == "gateway"
    assert judged(finding("169.254.1.1"), host=host)[1] == "not_bannable"
    assert judged(finding(FRIEND, has_twin=True), host=host)[1] == "home_network"
    assert judged(finding("::ffff:203.0.113.9", has_twin=True))[1] == "mapped_source"
    assert judged(finding(FRIEND, tunnelled=True, has_twin=True, sessions=5))[1] == "friend"
    assert judged(finding(FRIEND, bannable=False, tunnelled=True, has_twin=True))[1] == "tunnelled"
    assert judged(finding(FRIEND, bannable=False)) == ("watch", "ports_in_window")


def test_our_own_addresses_may_change() -> None:
    policy = Policy((), no_server)
    policy.set_host(US)
    assert policy.verdict(finding(HOST))[0] == "ignore"
    policy.set_host(HostState())
    assert policy.verdict(finding(HOST))[0] == "ban"


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
    assert judged(finding(source), ignore=(ip_network(network),)) == ("ignore", "ignore_list")


def test_the_ignore_list_of_one_family_does_not_apply_to_the_other() -> None:
    everything4, everything6 = ip_network("0.0.0.0/0"), ip_network("::/0")
    assert judged(finding(SCANNER6), ignore=(everything4,))[0] == "ban"
    assert judged(finding(SCANNER), ignore=(everything6,))[0] == "ban"


@pytest.mark.parametrize(
    "source",
    [
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "::",
        "127.0.0.1",
        "127.53.0.1",
        "::1",
        "169.254.7.7",
        "fe80::1",
        "255.255.255.255",
    ],
)
def test_an_address_that_is_no_single_distant_host_is_never_banned(source: str) -> None:
    assert judged(finding(source)) == ("ignore", "not_bannable")


@pytest.mark.parametrize("bannable", [True, False])
def test_a_mapped_address_is_never_banned(bannable: bool) -> None:
    """fail2ban would ban the embedded IPv4 address, whose owner sent nothing."""
    assert judged(finding("::ffff:203.0.113.9", bannable=bannable))[0] in {"watch", "ignore"}


def test_a_mapped_address_on_the_ignore_list_is_ignored() -> None:
    assert judged(finding("::ffff:203.0.113.9"), ignore=(ip_network("::ffff:0:0/96"),))[0] == "ignore"


def test_scanning_outwards_is_an_alarm_and_never_a_ban() -> None:
    assert judged(finding(FRIEND, direction="outbound")) == ("watch", "outbound")
    assert judged(finding(HOST, direction="outbound")) == ("watch", "outbound")


@pytest.mark.parametrize("verified", [True, False])
def test_whatever_a_protected_source_proves_it_is_not_banned(verified: bool) -> None:
    ignore = (ip_network("203.0.113.0/24"),)
    assert judged(finding(SCANNER, verified=verified), ignore=ignore)[0] == "ignore"
