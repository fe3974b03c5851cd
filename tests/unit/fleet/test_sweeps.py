"""A source that many hosts see once is a sweep; one that can be forged is only watched."""

from collections.abc import Callable
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Fleet
from portsentry_py.events.model import Reason
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.contacts import HOUR_US
from portsentry_py.fleet.messages import Ban, Contact
from portsentry_py.fleet.refusals import FLEET, Refusal, Refusals
from portsentry_py.fleet.source_hash import hashed
from portsentry_py.fleet.sweeps import Sweeps
from tests.support.fleet import MINUTE_US, NOW_US, SCANNER, contact

KEY = bytes(32)


def sweeps(
    settings: Fleet | None = None,
    key: bytes = b"",
    why_not: Callable[[Ban], Reason | Refusal | None] = lambda _: None,
    refusals: Refusals | None = None,
) -> Sweeps:
    return Sweeps(settings or Fleet(), key, why_not, refusals or Refusals())


def add(
    found: Sweeps,
    host: int,
    one: Contact | None = None,
    now_us: int = NOW_US,
    *,
    trusts: bool = True,
    network: str = "",
) -> Change | None:
    name = f"web{host}"
    return found.add((name, network or name), one or contact(), now_us, trusts=trusts)


def swept(found: Sweeps, one: Contact | None = None, now_us: int = NOW_US, hosts: int = 5) -> Change | None:
    """What becomes a line when that many hosts report it."""
    changes = [add(found, number, one, now_us) for number in range(hosts)]
    assert changes[:-1] == [None] * (hosts - 1)
    return changes[-1]


def test_the_fifth_host_makes_it_a_sweep_that_is_watched() -> None:
    change = swept(sweeps())
    assert change is not None
    assert (change.bans, change.is_doubtful, change.ban.verified, change.port) == (True, True, False, 22)
    assert change.hosts == ("web0", "web1", "web2", "web3", "web4")
    assert (change.ban.evidence, change.ban.address) == ("sweep", SCANNER)
    assert change.until_us == NOW_US + 60 * MINUTE_US


def test_hosts_of_one_network_are_no_fleet() -> None:
    found = sweeps()
    assert not any(add(found, number, network="x") for number in range(9))
    assert add(found, 9, network="y")


def test_one_proof_at_a_trusted_host_bans_and_no_proof_elsewhere_does() -> None:
    found = sweeps()
    add(found, 0, contact(verified=True), trusts=False)
    change = swept(found)
    assert change is not None
    assert change.is_doubtful
    found = sweeps()
    add(found, 0, contact(verified=True), network="x")
    changes = [add(found, number, network="x") for number in range(5)]
    (change,) = filter(None, changes)
    assert (change.is_doubtful, change.ban.verified) == (False, True)


def test_an_operator_can_choose_to_ban_without_a_proof() -> None:
    change = swept(sweeps(Fleet(sweep_unverified="ban")))
    assert change is not None
    assert not change.is_doubtful


def test_a_sweep_has_a_line_again_when_its_ban_is_over_and_when_it_gets_a_proof() -> None:
    found = sweeps()
    swept(found)
    assert add(found, 6, now_us=NOW_US + MINUTE_US) is None
    change = add(found, 0, contact(verified=True), NOW_US + 2 * MINUTE_US)
    assert change is not None
    assert (change.is_doubtful, change.until_us) == (False, NOW_US + 12 * MINUTE_US)
    assert add(found, 7, now_us=NOW_US + 3 * MINUTE_US) is None
    later = NOW_US + 13 * MINUTE_US
    found.tick(later)
    assert found.active == {}
    assert add(found, 7, now_us=later)


def test_an_ipv6_sweep_is_the_network() -> None:
    found = sweeps()
    for number in range(4):
        add(found, number, contact(f"2a00:1450::{number + 1}"))
    change = add(found, 4, contact("2a00:1450::9"))
    assert change is not None
    assert (change.ban.source, change.ban.address) == ("2a00:1450::/64", "2a00:1450::9")


def test_of_a_hash_only_a_host_that_meets_the_source_learns_who_it_is() -> None:
    found, hidden = sweeps(key=KEY), Contact(hashed(KEY, SCANNER), 22, "syn", False)
    assert not any(add(found, number, hidden) for number in range(9))
    change = add(found, 9)
    assert change is not None
    assert change.ban.address == SCANNER


def test_whom_this_host_protects_is_no_finding_and_is_counted() -> None:
    refusals = Refusals()
    found = sweeps(why_not=lambda _: "ignore_list", refusals=refusals)
    assert swept(found) is None
    assert refusals.counts == {(FLEET, "ignore_list"): 1}


def test_a_sweep_whose_source_is_protected_since_is_withdrawn() -> None:
    protected: list[str] = []
    found = sweeps(why_not=lambda ban: "ignore_list" if ban.address in protected else None)
    swept(found, contact(verified=True))
    swept(found, contact("45.1.1.1"))
    assert found.recheck(set()) == []
    protected += [SCANNER, "45.1.1.1"]
    (change,) = found.recheck(set())
    assert (change.bans, change.ban.address) == (False, SCANNER), "nobody banned the one that was watched"
    assert found.active == {}


def test_what_removed_hosts_reported_ends() -> None:
    found = sweeps()
    swept(found, contact(verified=True))
    (change,) = found.recheck({"web2"})
    assert not change.bans
    assert add(found, 3) is None


def test_quotas_bound_forgeries_and_leave_room_for_proofs() -> None:
    refusals = Refusals()
    found = sweeps(Fleet(new_per_minute=2, sweep_unverified="ban"), refusals=refusals)
    changes = [swept(found, contact(f"45.1.1.{number}")) for number in range(100)]
    assert sum(change is not None for change in changes) == 10
    assert refusals.counts == {(FLEET, "quota_new"): 90}
    assert swept(found, contact("45.2.2.2", verified=True))
    found = sweeps(Fleet(new_per_minute=10_000, max_active=3, sweep_unverified="ban"), refusals=refusals)
    changes = [swept(found, contact(f"45.1.1.{number}")) for number in range(10)]
    assert sum(change is not None for change in changes) == 2
    assert refusals.counts[FLEET, "quota_active"] == 8


def test_what_is_only_watched_has_ten_times_the_quota() -> None:
    found = sweeps(Fleet(new_per_minute=1, max_active=5))
    changes = [swept(found, contact(f"45.1.1.{number}")) for number in range(100)]
    assert sum(change is not None for change in changes) == 25
    swept(found, contact("45.2.2.2"))
    assert found.rank(contact("45.2.2.2"), "web9") == 5, "another host may find room for it"


def test_a_wide_sweep_comes_through_when_the_noise_has_used_its_half() -> None:
    found = sweeps(Fleet(new_per_minute=1))
    for number in range(100):
        swept(found, contact(f"45.1.1.{number}"))
    changes = [add(found, number) for number in range(20)]
    assert changes[:-1] == [None] * 19
    assert changes[-1]
    for number in range(20):
        add(found, number, contact("45.1.1.99"))
    found.active.clear()
    assert found.rank(contact("45.1.1.99"), "web99") is None, "more than enough"


def test_a_host_need_not_report_what_enough_others_did() -> None:
    found = sweeps()
    assert found.rank(contact(), "web9") == 0
    for number in range(5):
        assert found.rank(contact(), "web9") == number
        add(found, number)
    assert found.rank(contact(), "web9") is None
    assert found.rank(contact(), "web3") == 4, "the others may have heard of four alone"
    assert found.rank(contact(verified=True), "web9") == 5
    add(found, 6, contact(verified=True))
    assert found.rank(contact(verified=True), "web9") is None
    found.table.add(SCANNER, ("web1", "web1"), contact(), NOW_US + HOUR_US, proven=False)
    assert found.rank(contact(), "web9") == 1, "in this hour"
    for number in range(9):
        add(found, number, contact("45.1.1.1"), network="x")
    assert found.rank(contact("45.1.1.1"), "web9") == 9, "a host of another network is news"


def test_hashed_sources_need_no_more_hosts_than_others() -> None:
    found, hidden = sweeps(key=KEY), Contact(hashed(KEY, SCANNER), 22, "syn", False)
    for number in range(5):
        add(found, number, hidden)
    assert found.rank(contact(), "web9") is None


steps = st.tuples(
    st.integers(0, 9),
    st.integers(0, 3),
    st.sampled_from([SCANNER, "45.1.1.1", "2a00:1450::9", "9.9.9.9", hashed(KEY, SCANNER), "0" * 32]),
    st.booleans(),
    st.booleans(),
    st.integers(0, HOUR_US),
)


@given(st.lists(steps, max_size=60), st.sampled_from([b"", KEY]), st.sampled_from(["watch", "ban"]))
def test_no_sequence_breaks_a_rule(
    sequence: list[tuple[int, int, str, bool, bool, int]], key: bytes, unverified: str
) -> None:
    settings = Fleet(sweep_hosts=3, max_active=2, sweep_unverified="ban" if unverified == "ban" else "watch")
    allowed = ip_network("9.9.9.0/24")
    found, now_us = sweeps(settings, key, lambda ban: "ignore_list" if ban.address.startswith("9.") else None), NOW_US
    proofs: set[str] = set()
    for host, network, address, verified, trusts, pause in sequence:
        now_us += pause
        one = contact(address, verified=verified)
        change = found.add((f"h{host}", f"n{network}"), one, now_us, trusts=trusts)
        proofs |= {"any"} if trusts and verified else set()
        found.tick(now_us)
        assert len(found.active) <= 2 + 20
        if change is None:
            continue
        assert 3 <= len(change.hosts) <= 10
        assert change.ban.address in {SCANNER, "45.1.1.1", "2a00:1450::9"}
        assert change.ban.address not in map(str, allowed)
        assert change.ban.verified <= bool(proofs)
        assert change.is_doubtful == (not change.ban.verified and unverified == "watch")
