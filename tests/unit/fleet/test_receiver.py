"""This host decides itself what it believes of others."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Fleet
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.messages import MOST_BANS
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.receiver import TOLERANCE_US, Kind, Receiver
from tests.support.fleet import (
    MINUTE_US,
    NOW_US,
    ROSTER,
    SCANNER,
    ban,
    ban_payload,
    banned,
    contact,
    receiver,
    refused,
    seen_payload,
    state_payload,
)

HOUR_US = 60 * MINUTE_US


def test_verified_evidence_of_one_host_bans() -> None:
    (change,) = receiver().take("ban", "web1", ban_payload(ban()), NOW_US)
    assert change == Change(True, ban(), ("web1",), NOW_US + 10 * MINUTE_US)


def test_verified_evidence_of_a_host_that_is_not_trusted_does_not() -> None:
    found = receiver(Fleet(trusted=("web2",)))
    assert found.take("ban", "web1", ban_payload(ban()), NOW_US) == []
    assert banned(found.take("ban", "web2", ban_payload(ban()), NOW_US)) == [SCANNER]


def test_unverified_evidence_needs_hosts_of_different_networks() -> None:
    found, payload = receiver(), ban_payload(ban(verified=False))
    assert found.take("ban", "web2", payload, NOW_US) == []
    assert found.take("ban", "web3", payload, NOW_US) == [], "of the same network"
    (change,) = found.take("ban", "web1", payload, NOW_US)
    assert change.hosts == ("web1", "web2", "web3")
    assert not change.ban.verified


def test_the_k_th_longest_report_ends_an_unverified_ban() -> None:
    found = receiver()
    for host, minutes in (("web1", 9), ("web2", 5)):
        changes = found.take(
            "ban", host, ban_payload(ban(verified=False, until_us=NOW_US + minutes * MINUTE_US)), NOW_US
        )
    assert changes[0].until_us == NOW_US + 5 * MINUTE_US
    assert found.tick(NOW_US + 6 * MINUTE_US) == []
    assert found.accepted == {}


def test_own_messages_come_back_and_mean_nothing() -> None:
    found = receiver()
    assert found.take("ban", "db1", b"x", NOW_US) == []
    assert refused(found) == {}


@pytest.mark.parametrize(
    ("address", "reason"),
    [("45.9.9.9", "resolver"), ("45.8.8.8", "friend"), ("2a00:1450::9", "gateway"), ("45.7.1.1", "ignore_list")],
)
def test_whom_this_host_never_bans_is_not_banned(address: str, reason: str) -> None:
    protection = Protection(
        [
            ("45.9.9.9", "resolver"),
            ("45.8.8.8", "friend"),
            ("2a00:1450::1", "gateway"),
            (ip_network("45.7.0.0/16"), "ignore_list"),
        ]
    )
    found = receiver(protection=protection)
    assert found.take("ban", "web1", ban_payload(ban(address)), NOW_US) == []
    assert refused(found) == {("web1", reason): 1}


def test_the_allowlist_of_the_fleet_and_its_hosts_beat_every_host() -> None:
    found = receiver(Fleet(site=(ip_network("0.0.0.0/0"),)))
    for number, address in enumerate(("9.9.9.9", "198.51.100.1", "192.0.2.4")):
        for host in ("web1", "web2"):
            assert found.take("ban", host, ban_payload(ban(address), NOW_US + number), NOW_US) == []
    assert set(refused(found)) == {("web1", "fleet_allowlist"), ("web2", "fleet_allowlist")}


@pytest.mark.parametrize("address", ["10.1.2.3", "0.0.0.0", "192.168.1.1", "224.0.0.1", "fd00::1", "fe80::1"])
def test_only_public_addresses_are_banned(address: str) -> None:
    found = receiver()
    assert found.take("ban", "web1", ban_payload(ban(address)), NOW_US) == []
    assert refused(found) == {("web1", "not_public"): 1}


def test_a_site_can_permit_its_private_networks() -> None:
    found = receiver(Fleet(site=(ip_network("10.0.0.0/8"),)))
    assert banned(found.take("ban", "web1", ban_payload(ban("10.1.2.3")), NOW_US)) == ["10.1.2.3"]


def test_a_ban_of_ten_years_ends_after_max_ban() -> None:
    found = receiver(Fleet(max_ban_seconds=3600))
    (change,) = found.take("ban", "web1", ban_payload(ban(until_us=NOW_US + 10 * 365 * 24 * HOUR_US)), NOW_US)
    assert change.until_us == NOW_US + HOUR_US
    assert refused(found) == {("web1", "capped"): 1}
    assert found.tick(NOW_US + HOUR_US) == []
    assert found.accepted == {}
    assert found.reporters["web1"].reports == {}


@pytest.mark.parametrize(
    ("issued_us", "until_us", "why"),
    [
        (NOW_US + TOLERANCE_US + 1, NOW_US + HOUR_US, "future"),
        (NOW_US - TOLERANCE_US - 1, NOW_US + HOUR_US, "old"),
        (NOW_US, NOW_US, "expired"),
        (NOW_US - 1, NOW_US - 1, "expired"),
    ],
)
def test_a_message_of_another_time_is_refused(issued_us: int, until_us: int, why: str) -> None:
    found = receiver()
    assert found.take("ban", "web1", ban_payload(ban(until_us=until_us), issued_us), NOW_US) == []
    assert found.accepted == {}
    assert refused(found) == {("web1", why): 1}


def test_a_replayed_message_is_refused() -> None:
    found, payload = receiver(), ban_payload(ban())
    assert found.take("ban", "web1", payload, NOW_US)
    found.take("state", "web1", state_payload(issued_us=NOW_US + 1), NOW_US + 1)
    assert found.accepted == {}
    assert found.take("ban", "web1", payload, NOW_US + 2) == []
    assert found.take("state", "web1", state_payload(ban()), NOW_US + 2) == []
    assert refused(found) == {("web1", "replayed"): 2}


def test_what_the_broker_kept_is_no_replay_and_may_have_been_heard() -> None:
    found, payload = receiver(), state_payload(ban(), issued_us=NOW_US - 9 * MINUTE_US)
    assert banned(found.take("state", "web1", payload, NOW_US, replay=True)) == [SCANNER]
    assert found.take("state", "web1", payload, NOW_US, replay=True) == []
    assert refused(found) == {}


def test_an_unban_travels() -> None:
    found = receiver()
    assert found.take("ban", "web1", ban_payload(ban()), NOW_US)
    (change,) = found.take("state", "web1", state_payload(issued_us=NOW_US + 1), NOW_US + 1)
    assert not change.bans
    assert change.ban.address == SCANNER


def test_a_host_cannot_lift_the_ban_of_another() -> None:
    found = receiver()
    assert found.take("ban", "web1", ban_payload(ban()), NOW_US)
    assert found.take("state", "web2", state_payload(issued_us=NOW_US + 1), NOW_US + 1) == []
    assert list(found.accepted) == [SCANNER]


def test_a_live_ban_outlives_a_list_from_before() -> None:
    found = receiver()
    assert found.take("ban", "web1", ban_payload(ban(), NOW_US + 5), NOW_US + 5)
    assert found.take("state", "web1", state_payload(issued_us=NOW_US), NOW_US + 6) == []
    assert list(found.accepted) == [SCANNER]


def test_a_ban_that_goes_on_is_written_again_when_the_jail_has_forgotten_it() -> None:
    found = receiver(Fleet(ban_seconds=600))
    assert found.take("ban", "web1", ban_payload(ban(until_us=NOW_US + 30 * MINUTE_US)), NOW_US)
    assert found.tick(NOW_US + 9 * MINUTE_US) == []
    assert banned(found.tick(NOW_US + 10 * MINUTE_US)) == [SCANNER]
    assert found.tick(NOW_US + 11 * MINUTE_US) == []


def test_a_quota_mutes_one_host_and_no_other() -> None:
    found = receiver(Fleet(new_per_minute=2))
    accepted = [
        source
        for number in range(100)
        for source in banned(found.take("ban", "web1", ban_payload(ban(f"45.1.1.{number}"), NOW_US + number), NOW_US))
    ]
    assert len(accepted) == 20
    assert refused(found) == {("web1", "quota_new"): 80}
    assert len(list(found.refusals.sentences())) == 1
    assert banned(found.take("ban", "web2", ban_payload(ban()), NOW_US)) == [SCANNER]
    assert banned(found.take("ban", "web1", ban_payload(ban("45.2.2.2"), NOW_US + MINUTE_US), NOW_US + MINUTE_US))


def test_a_host_has_so_many_active_bans_and_no_more() -> None:
    found = receiver(Fleet(new_per_minute=10_000, max_active=100))
    bans = [ban(f"45.{number // 250}.1.{number % 250}") for number in range(MOST_BANS)]
    assert len(found.take("state", "web1", state_payload(*bans), NOW_US, replay=True)) == 100
    assert refused(found) == {("web1", "quota_active"): 400}


def test_a_flood_of_messages_is_not_decoded() -> None:
    found = receiver()
    for _ in range(10_000):
        found.take("ban", "web1", b"junk", NOW_US)
    counts = refused(found)
    assert counts["web1", "flood"] > 7000
    assert counts["web1", "malformed"] + counts["web1", "flood"] == 10_000
    assert len(list(found.refusals.sentences())) == 2


def test_a_host_that_is_not_in_the_roster_is_nobody() -> None:
    found = receiver()
    for number in range(100):
        assert found.take("ban", f"x{number}", ban_payload(ban()), NOW_US) == []
    assert refused(found) == {("?", "unknown_host"): 100}
    assert found.reporters == {}


def test_a_host_that_the_operator_removes_takes_its_bans_along() -> None:
    found = receiver()
    assert found.take("ban", "web1", ban_payload(ban()), NOW_US)
    hosts = {name: address for name, address in ROSTER.hosts.items() if name != "web1"}
    (change,) = found.set_roster(replace(ROSTER, hosts=hosts), NOW_US + 1)
    assert not change.bans


def test_whom_this_host_protects_from_now_on_is_let_in() -> None:
    found = receiver()
    assert found.take("ban", "web1", ban_payload(ban()), NOW_US)
    (change,) = found.set_protection(Protection([(SCANNER, "ignore_list")]), NOW_US + 1)
    assert not change.bans


def test_the_offset_of_a_clock_is_known() -> None:
    found = receiver()
    found.take("ban", "web1", ban_payload(ban(), NOW_US + HOUR_US), NOW_US)
    assert found.reporters["web1"].offset_us == HOUR_US


def test_hosts_that_were_asked_in_vain_make_a_sweep_together() -> None:
    found = receiver(Fleet(sweep_hosts=3))
    assert found.take_own(contact(), NOW_US) == []
    assert found.take("seen", "web1", seen_payload(contact()), NOW_US) == []
    (change,) = found.take("seen", "web2", seen_payload(contact("45.1.1.1"), contact(port=80)), NOW_US)
    assert (change.ban.address, change.hosts, change.port, change.is_doubtful) == (
        SCANNER,
        ("db1", "web1", "web2"),
        80,
        True,
    )
    assert found.tick(NOW_US + 61 * MINUTE_US) == []
    assert found.sweeps.active == {}


def test_a_proof_counts_of_this_host_and_of_trusted_ones() -> None:
    found = receiver(Fleet(sweep_hosts=2, trusted=("web2",)))
    for host, source in (("web1", "45.1.1.1"), ("web2", "45.2.2.2"), ("db1", "45.3.3.3")):
        proof = contact(source, verified=True)
        if host == "db1":
            found.take_own(proof, NOW_US)
        else:
            found.take("seen", host, seen_payload(proof), NOW_US)
    others = seen_payload(*(contact(source) for source in ("45.1.1.1", "45.2.2.2", "45.3.3.3")))
    changes = found.take("seen", "web3", others, NOW_US)
    assert {change.ban.address: change.ban.verified for change in changes} == {
        "45.1.1.1": False,
        "45.2.2.2": True,
        "45.3.3.3": True,
    }


def test_whom_nobody_may_ban_is_no_contact_and_no_sweep() -> None:
    found = receiver(Fleet(sweep_hosts=2), Protection([("45.9.9.9", "ssh_session")]))
    for address in ("45.9.9.9", "9.9.9.9", "10.0.0.1", "198.51.100.1"):
        assert not found.counts(contact(address))
        found.take("seen", "web1", seen_payload(contact(address), issued_us=NOW_US), NOW_US)
    assert found.counts(contact())
    sources = [contact(address) for address in ("45.9.9.9", "9.9.9.9", "10.0.0.1", "198.51.100.1")]
    for number, host in enumerate(("web1", "web2")):
        assert found.take("seen", host, seen_payload(*sources, issued_us=NOW_US + 1 + number), NOW_US) == []
    assert {why for host, why in refused(found) if host == "*"} == {"ssh_session", "fleet_allowlist", "not_public"}


def test_without_sweeps_nothing_is_counted_and_nothing_read() -> None:
    found = receiver(Fleet(sweep_hosts=0))
    assert not found.counts(contact())
    assert found.take("seen", "web1", b"junk", NOW_US) == []
    assert refused(found) == {}


@pytest.mark.parametrize(
    ("issued_us", "why"),
    [(NOW_US + TOLERANCE_US + 1, "future"), (NOW_US - TOLERANCE_US - 1, "old"), (NOW_US - 9, "replayed")],
)
def test_contacts_of_another_time_are_refused(issued_us: int, why: str) -> None:
    found = receiver()
    if why == "replayed":
        found.take("seen", "web1", seen_payload(contact()), NOW_US)
    assert found.take("seen", "web1", seen_payload(contact(), issued_us=issued_us), NOW_US) == []
    assert refused(found) == {("web1", why): 1}


def test_a_host_that_reports_more_contacts_than_its_share_is_cut_off() -> None:
    found = receiver()
    for number in range(30):
        payload = seen_payload(
            *(contact(f"45.{number}.1.{one}") for one in range(100)), issued_us=NOW_US + number, left_out=3
        )
        found.take("seen", "web1", payload, NOW_US + number)
    assert len(found.sweeps.table) == 1200
    assert refused(found) == {("web1", "contacts"): 18}
    assert found.reporters["web1"].left_out == 90
    assert found.rank(contact("45.1.1.1")) == 1


def test_what_a_removed_host_reported_makes_no_sweep() -> None:
    found = receiver(Fleet(sweep_hosts=3, sweep_unverified="ban"))
    found.take_own(contact(), NOW_US)
    for host in ("web1", "web2"):
        found.take("seen", host, seen_payload(contact()), NOW_US)
    hosts = {name: address for name, address in ROSTER.hosts.items() if name != "web1"}
    (change,) = found.set_roster(replace(ROSTER, hosts=hosts), NOW_US + 1)
    assert not change.bans
    assert found.sweeps.active == {}


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.booleans())
def test_no_payload_of_contacts_breaks_anything(payload: bytes, is_list: bool) -> None:
    found = receiver(Fleet(sweep_hosts=2))
    whole = b'{"version":1,"issued_us":%d,"left_out":0,"contacts":[%s]}' % (NOW_US, payload) if is_list else payload
    assert found.take("seen", "web1", whole, NOW_US) == []
    assert found.sweeps.active == {}


steps = st.tuples(
    st.sampled_from(["ban", "state", "seen"]),
    st.sampled_from(["web1", "web2", "web3", "db1", "stranger"]),
    st.lists(
        st.sampled_from([SCANNER, "45.1.1.1", "9.9.9.9", "10.0.0.1", "2a00:1450::9"]),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    st.booleans(),
    st.integers(-3 * TOLERANCE_US, 3 * TOLERANCE_US),
    st.integers(-MINUTE_US, 100 * HOUR_US),
    st.integers(0, 20 * MINUTE_US),
    st.booleans() | st.binary(max_size=30),
)


@given(st.lists(steps, max_size=30))
def test_no_sequence_of_messages_breaks_a_rule(
    sequence: list[tuple[Kind, str, list[str], bool, int, int, int, bool | bytes]],
) -> None:
    settings = Fleet(max_active=2, sweep_hosts=2)
    found, now_us = receiver(settings), NOW_US
    for kind, host, addresses, verified, issued, length, pause, extra in sequence:
        now_us += pause
        bans = [ban(address, verified=verified, until_us=now_us + length) for address in addresses]
        contacts = [contact(address, verified=verified) for address in addresses]
        payload = {
            "ban": ban_payload(bans[0], now_us + issued),
            "state": state_payload(*bans, issued_us=now_us + issued),
            "seen": seen_payload(*contacts, issued_us=now_us + issued),
        }[kind]
        if isinstance(extra, bytes):
            payload = extra
        changes = [*found.take(kind, host, payload, now_us, replay=extra is True), *found.tick(now_us)]
        holds_the_rules(found, changes, now_us)


def holds_the_rules(found: Receiver, changes: list[Change], now_us: int) -> None:
    for change in [*changes, *(one.change for one in found.accepted.values())]:
        assert change.ban.source in {SCANNER, "45.1.1.1", "2a00:1450::/64"}
        assert set(change.hosts) <= {"web1", "web2", "web3"}
    for accepted in found.accepted.values():
        assert now_us < accepted.change.until_us <= now_us + TOLERANCE_US + 3600 * 1_000_000
        proves = accepted.change.ban.verified
        assert proves or len({str(ROSTER.network_of(host)) for host in accepted.change.hosts}) > 1
    assert all(len(reporter.reports) <= 2 for reporter in found.reporters.values())
