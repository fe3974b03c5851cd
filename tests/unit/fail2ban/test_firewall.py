"""The jails get a ban action that this host can carry out."""

from pathlib import Path

import pytest

from portsentry_py.errors import UsageError
from portsentry_py.fail2ban.client import NotInstalled
from portsentry_py.fail2ban.firewall import IPTABLES, NFTABLES, choose, firewall_file
from portsentry_py.fail2ban.installer import install, uninstall

FILE = "etc/fail2ban/jail.d/portsentry-py.firewall.conf"


def host(root: Path, default: str, *programs: str) -> Path:
    """A tree whose fail2ban bans with `default`, and which has only these programs."""
    (root / "etc/fail2ban/jail.conf").write_text(
        f"[DEFAULT]\nbanaction = iptables-multiport\nbanaction_allports = {default}\n"
    )
    for program in ("nft", "ipset"):
        (root / "usr/sbin" / program).unlink()
    for program in programs:
        (root / "usr/sbin" / program).touch()
    return root


@pytest.mark.parametrize(
    ("default", "programs", "setting"),
    [
        (NFTABLES, ("nft", "iptables"), ""),
        (NFTABLES, ("iptables",), IPTABLES),
        ("iptables-allports", ("nft",), NFTABLES),
        ("iptables-allports", ("nft", "iptables"), IPTABLES),
        ("iptables-ipset-proto6-allports", ("ipset", "iptables"), ""),
        ("iptables-ipset-proto6-allports", ("nft",), NFTABLES),
        ("ufw", ("ufw", "iptables"), ""),
        ("firewallcmd-ipset", ("nft",), NFTABLES),
        ("my-own", ("nft",), ""),
    ],
)
def test_the_ban_action_is_one_whose_program_is_there(
    root: Path, default: str, programs: tuple[str, ...], setting: str
) -> None:
    choice = choose(host(root, default, *programs))
    assert choice.setting == setting
    assert (setting or default) in choice.reason

    install(root, choice.setting)
    assert choose(root) == choice, "its own file must not count as the operator's choice"


def test_a_host_without_a_firewall_program_bans_nobody(root: Path) -> None:
    with pytest.raises(NotInstalled, match="apt-get install nftables"):
        choose(host(root, "iptables-allports"))


def test_the_operators_choice_for_the_jail_is_kept(root: Path) -> None:
    (root / "etc/fail2ban/jail.local").write_text("[portsentry]\nbanaction = route\n")
    install(root)
    assert choose(host(root, "iptables-allports", "nft")).setting == ""


def test_the_operator_can_ask_for_an_action(root: Path) -> None:
    assert choose(root, "ufw[application=x]").setting == "ufw[application=x]"
    with pytest.raises(UsageError, match="is no ban action"):
        choose(root, "ufw\n[sshd]")


def test_the_choice_is_written_changed_and_removed(root: Path) -> None:
    install(root, IPTABLES)
    assert (root / FILE).read_bytes() == firewall_file(IPTABLES).content
    install(root, NFTABLES)
    assert NFTABLES in (root / FILE).read_text()
    install(root)
    assert not (root / FILE).exists()
    install(root, NFTABLES)
    uninstall(root)
    assert not (root / FILE).exists()


def test_a_choice_that_the_operator_edited_is_kept(root: Path) -> None:
    install(root, IPTABLES)
    (root / FILE).write_text("[portsentry]\nbanaction = route\n")
    assert install(root)[-1].action == "kept"
    assert uninstall(root)[0].action == "kept"
