"""A test ban is of a documentation address alone, and an error if the kernel shows no rule."""

import pytest

from portsentry_py.errors import Fail2banError, PermissionDenied, PortsentryError, UsageError
from portsentry_py.fail2ban import ban_test
from portsentry_py.fail2ban.ban_test import TEST_ADDRESS, ban_and_unban
from portsentry_py.fail2ban.client import JailNotLoaded, NotAnswering, NotInstalled
from tests.support.fake_fail2ban import FakeClient

ANSWERS = {
    "status portsentry": "Status",
    "set portsentry banip 192.0.2.1": "1",
    "set portsentry unbanip 192.0.2.1": "1",
}


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860::8", "scanner.example", "192.0.2.0/24"])
def test_only_a_documentation_address_is_banned(address: str) -> None:
    with pytest.raises(UsageError, match="not a documentation address"):
        ban_and_unban(FakeClient(), address)


@pytest.mark.parametrize(
    "error", [NotAnswering("silent."), PermissionDenied("only root."), JailNotLoaded("x"), NotInstalled()]
)
def test_nothing_is_banned_if_fail2ban_does_not_show_the_jail(error: PortsentryError) -> None:
    with pytest.raises(type(error)):
        ban_and_unban(FakeClient(answers={"status portsentry": error}), TEST_ADDRESS)


def test_without_a_program_that_lists_rules_nothing_is_banned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ban_test, "_LISTINGS", (("no-such-program",),))

    with pytest.raises(NotInstalled, match="nft is not installed; run `apt-get install nftables`"):
        ban_and_unban(FakeClient(answers=ANSWERS), TEST_ADDRESS)


def test_a_ban_without_a_rule_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ban_test, "_LISTINGS", (("true",),))
    monkeypatch.setattr(ban_test, "_BAN_SECONDS", 0.1)

    with pytest.raises(Fail2banError, match="the kernel has no rule about it") as caught:
        ban_and_unban(FakeClient(answers=ANSWERS), TEST_ADDRESS)
    assert caught.value.exit_code == 69


@pytest.mark.parametrize(("address", "found"), [("192.0.2.1", True), ("192.0.2.10", False), ("2.1", False)])
def test_an_address_that_is_blocked_is_left_alone(monkeypatch: pytest.MonkeyPatch, address: str, found: bool) -> None:
    monkeypatch.setattr(ban_test, "_LISTINGS", (("echo", f"ip saddr {address} drop"),))
    monkeypatch.setattr(ban_test, "_BAN_SECONDS", 0.1)

    with pytest.raises(Fail2banError, match="blocked already" if found else "no rule about it"):
        ban_and_unban(FakeClient(answers=ANSWERS), TEST_ADDRESS)
