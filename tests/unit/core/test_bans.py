"""How many new sources are banned, and which of them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Bans
from portsentry_py.core import bans as module
from portsentry_py.core.bans import BanBudget, owner_of
from portsentry_py.core.source_record import Counts, SourceRecord, StackFingerprint
from tests.support.build import SCANNER, SCANNER6, START_US, micros, no_deadline

WIDE = Bans(unverified_per_minute=100_000, network_per_minute=100_000, verified_per_minute=100_000)


def record(address: str = SCANNER, *, probes: int = 8, ttl: int = 64, verified: bool = False) -> SourceRecord:
    one = SourceRecord(address, "inbound", START_US, START_US, address, probes=probes, trap_answered=verified)
    one.stacks = Counts({StackFingerprint(ttl, 24): probes})
    return one


def banned(budget: BanBudget, *records: SourceRecord, at: float = 0) -> int:
    """How many of the sources may be banned; the others are over the budget."""
    refusals = [budget.refusal(one, micros(at)) for one in records]
    assert set(refusals) <= {None, "ban_budget"}
    return refusals.count(None)


def strangers(count: int, *, probes: int = 8, first: int = 0) -> list[SourceRecord]:
    """Sources of a network and a distance of their own each."""
    return [
        record(f"{10 + nth // 250}.{nth % 250}.0.1", probes=probes, ttl=nth % 250)
        for nth in range(first, first + count)
    ]


def neighbours(count: int, *, probes: int = 8, verified: bool = False) -> list[SourceRecord]:
    return [record(f"203.0.113.{nth}", probes=probes, verified=verified) for nth in range(count)]


def test_unverified_sources_share_ten_minutes_of_bans_at_once() -> None:
    budget = BanBudget(Bans(unverified_per_minute=2))
    assert banned(budget, *strangers(100, probes=64)) == 20
    assert banned(budget, *strangers(100, probes=64), at=60) == 2
    assert banned(budget, *strangers(100, probes=64), at=3600) == 20


def test_a_quarter_of_the_bans_is_kept_for_sources_of_many_probes() -> None:
    budget = BanBudget(Bans(unverified_per_minute=2))
    assert banned(budget, *strangers(100, probes=63)) == 16
    assert banned(budget, *strangers(100, probes=64)) == 4


def test_one_network_has_ten_minutes_of_bans_at_once() -> None:
    budget = BanBudget(Bans(network_per_minute=2))
    assert banned(budget, *neighbours(100)) == 20
    assert banned(budget, *neighbours(100), at=60) == 2
    assert banned(budget, record("203.0.255.1")) == 0, "it is in the same /16"
    assert banned(budget, record("203.1.113.9")) == 1


def test_a_network_over_its_budget_leaves_the_others_theirs() -> None:
    budget = BanBudget(Bans(unverified_per_minute=2, network_per_minute=1))
    banned(budget, *neighbours(250, probes=64))
    assert banned(budget, *strangers(10, probes=64)) == 10


def test_a_source_that_is_refused_may_be_banned_later() -> None:
    budget = BanBudget(Bans(network_per_minute=2))
    banned(budget, *neighbours(20))
    assert banned(budget, record()) == 0
    assert banned(budget, record(), at=30) == 1


def test_verified_sources_are_limited_within_one_owners_network_alone() -> None:
    budget = BanBudget(Bans(unverified_per_minute=1, network_per_minute=1, verified_per_minute=2))
    assert banned(budget, *neighbours(100, verified=True)) == 20
    assert banned(budget, record("203.0.114.9", verified=True)) == 1
    assert banned(budget, *strangers(300, probes=64)) == 10, "verified sources take nothing from the others"


def test_the_wide_network_around_verified_sources_has_four_times_as_much() -> None:
    budget = BanBudget(Bans(verified_per_minute=2))
    assert banned(budget, *(record(f"198.51.{nth}.7", verified=True) for nth in range(250))) == 80
    assert banned(budget, *(record(f"198.51.{nth}.7", verified=True) for nth in range(250)), at=60) == 8
    assert banned(budget, record("198.52.0.7", verified=True), at=60) == 1
    six = (record(f"2001:db8:{nth:x}::7", verified=True) for nth in range(250))
    assert banned(budget, *six) == 80


def test_a_network_over_its_budget_takes_nothing_from_the_wide_one() -> None:
    budget = BanBudget(Bans(verified_per_minute=2))
    banned(budget, *neighbours(250, verified=True))
    assert banned(budget, *(record(f"203.0.{nth}.7", verified=True) for nth in range(250))) == 60


@pytest.mark.parametrize(
    ("address", "network"), [(SCANNER, "203.0.113.0/24"), (SCANNER6, "2001:db8:bad::/48"), ("::1", "::/48")]
)
def test_one_owner_has_a_24_or_a_48(address: str, network: str) -> None:
    assert owner_of(address) == network


def alike(count: int, *, first: int = 0) -> list[SourceRecord]:
    """Sources of unrelated networks with one stack at one distance."""
    return [record(f"10.{nth}.0.1") for nth in range(first, first + count)]


def test_sources_of_32_networks_that_look_like_one_sender_are_watched() -> None:
    budget = BanBudget(WIDE)
    refusals = [budget.refusal(one, START_US) for one in alike(40)]
    assert refusals == [None] * 31 + ["one_sender"] * 9
    assert budget.refusal(record(ttl=51), START_US) is None
    assert budget.refusal(record(verified=True), START_US) is None


def test_sources_of_one_network_are_no_reason_to_think_of_one_sender() -> None:
    assert banned(BanBudget(WIDE), *neighbours(250)) == 250


def test_most_probes_tell_the_sender() -> None:
    budget, mixed = BanBudget(WIDE), record()
    mixed.stacks = Counts({**mixed.stacks, StackFingerprint(51, 40): 7})
    banned(budget, *alike(31))
    assert budget.refusal(mixed, START_US) == "one_sender"
    mixed.stacks = Counts({**mixed.stacks, StackFingerprint(51, 40): 9})
    assert budget.refusal(mixed, START_US) is None


def test_a_source_whose_record_was_evicted_looks_like_no_sender() -> None:
    evicted = record()
    evicted.evict()
    assert banned(BanBudget(WIDE), *alike(31), evicted) == 32


def test_networks_look_like_one_sender_within_ten_minutes() -> None:
    budget = BanBudget(WIDE)
    banned(budget, *alike(31))
    assert budget.refusal(record(), micros(600)) == "one_sender"
    later = BanBudget(WIDE)
    banned(later, *alike(31))
    assert later.refusal(record(), micros(601)) is None


def test_a_network_that_comes_again_stays_among_the_networks_of_the_sender() -> None:
    budget = BanBudget(WIDE)
    banned(budget, *alike(31))
    banned(budget, *alike(30), at=600)
    assert banned(budget, record(), at=601) == 1
    assert budget.refusal(record("198.51.100.7"), micros(601)) == "one_sender"


def test_stacks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_STACKS", 2)
    budget = BanBudget(WIDE)
    banned(budget, *alike(31), record(ttl=51), record(ttl=52))
    assert budget.refusal(record("198.51.100.7"), START_US) is None, "its stack was forgotten"


sources = st.builds(
    record,
    st.ip_addresses().map(str),
    probes=st.integers(1, 200),
    ttl=st.sampled_from([51, 64]),
    verified=st.booleans(),
)


@no_deadline
@given(st.lists(st.tuples(sources, st.integers(-1000, 5000)), max_size=200))
def test_no_order_of_sources_and_times_bans_more_than_the_budget(requests: list[tuple[SourceRecord, int]]) -> None:
    budget = BanBudget(Bans(unverified_per_minute=1, network_per_minute=1))
    refusals = [(one.verified, budget.refusal(one, micros(at))) for one, at in requests]
    assert {refusal for _, refusal in refusals} <= {None, "ban_budget", "one_sender"}
    forward = sum(max(0, after - before) for (_, before), (_, after) in pairwise(requests))
    assert refusals.count((False, None)) <= 10 + forward / 60


def test_what_is_left_of_the_budget_can_be_looked_at_without_a_change() -> None:
    budget = BanBudget(WIDE)
    full = budget.level(START_US)
    assert banned(budget, record()) == 1
    assert budget.level(START_US) == full - 1
    assert budget.level(START_US + 60_000_000) == full
    assert budget.level(START_US) == full - 1
