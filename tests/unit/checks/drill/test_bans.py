"""The bans of the drill's sources go, and nobody else's."""

import time

import pytest

from portsentry_py.checks.drill import bans as module
from portsentry_py.checks.drill.bans import SourceBans
from portsentry_py.errors import Fail2banError
from portsentry_py.fail2ban.client import NotAnswering
from portsentry_py.fail2ban.unban import JailEntry
from tests.support.drill_rows import SOURCE, SOURCE6, banned
from tests.support.fake_fail2ban import FakeClient, JailsClient

_HELD = {"portsentry": {SOURCE, "2001:db8:7:7::/64", "203.0.113.9"}, "sshd": {"198.0.0.0/8", "8.8.8.8"}}


@pytest.fixture
def client() -> JailsClient:
    return JailsClient(held={name: set(held) for name, held in _HELD.items()})


def test_the_bans_of_the_sources_are_lifted_and_no_others(client: JailsClient) -> None:
    bans = SourceBans(client, [SOURCE, SOURCE6])
    assert set(bans.held()) == {JailEntry("portsentry", SOURCE), JailEntry("portsentry", "2001:db8:7:7::/64")}
    bans.lift()
    assert client.held == {"portsentry": {"203.0.113.9"}, "sshd": {"198.0.0.0/8", "8.8.8.8"}}


def test_each_row_gets_its_ban(client: JailsClient) -> None:
    rows = [banned(SOURCE), banned(SOURCE6), banned("192.0.2.77")]
    found = [(row.source, entry.address) for row, entry in SourceBans(client, [SOURCE, SOURCE6]).by_row(rows)]
    assert sorted(found) == [(SOURCE, SOURCE), (SOURCE6, "2001:db8:7:7::/64")]


def test_a_ban_that_comes_late_is_lifted_too(client: JailsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CARRIED_OUT_SECONDS", 0.001)
    looks = 0

    def is_over() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            client.held["portsentry"].add(SOURCE)
        return looks >= 2

    SourceBans(client, [SOURCE]).lift_until(is_over)
    assert SOURCE not in client.held["portsentry"]


def test_a_ban_can_come_where_a_jail_of_ours_runs(client: JailsClient) -> None:
    assert SourceBans(client, [SOURCE]).can_come()
    assert not SourceBans(JailsClient(held={"sshd": set()}), [SOURCE]).can_come()


def test_a_lifted_ban_is_remembered(client: JailsClient) -> None:
    bans = SourceBans(client, [SOURCE, SOURCE6])
    assert not bans.was_lifted(banned(SOURCE6))
    bans.lift()
    assert bans.was_lifted(banned(SOURCE6))
    assert not bans.was_lifted(banned("192.0.2.77"))


def test_a_ban_is_lifted_only_when_it_can_be_carried_out(client: JailsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else fail2ban makes its rule after the unban, and nothing removes that."""
    moments = iter([0.0, 1.0, 2.9, 3.0, 4.0])
    held: list[bool] = []
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(time, "sleep", lambda _: held.append(SOURCE in client.held["portsentry"]))
    SourceBans(client, [SOURCE]).lift_until(lambda: True)
    assert held == [True, True, True, False]


def test_without_sources_fail2ban_is_not_asked() -> None:
    SourceBans(FakeClient(answers={}), []).lift_until(lambda: True)


def test_a_server_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(Fail2banError):
        SourceBans(FakeClient(answers={"status": NotAnswering("no")}), [SOURCE]).lift()
