"""Each conflict is one sentence with the fix, and a plain system has none."""

from pathlib import Path

import pytest

from portsentry_py.fail2ban.client import NotInstalled
from portsentry_py.fail2ban.conflicts import _fail2ban_itself, conflicts
from portsentry_py.fail2ban.installer import install
from tests.support.programs import write_program

VERSION = "usr/lib/python3/dist-packages/fail2ban/version.py"
TOO_OLD = "fail2ban 0.10.2 is too old for the filter; install 0.11 or newer."


def test_no_conflicts_on_a_plain_system(root: Path) -> None:
    install(root)
    (root / "var/log/fail2ban.log").touch()
    (root / "etc/fail2ban/jail.local").write_text(
        "[DEFAULT]\nbackend = systemd\nmode = ddos\n[portsentry]\nmode = strict\nbantime = 1d\n"
        "logpath = %(known/logpath)s\n  /var/log/fail2ban.log\n"
    )

    assert conflicts(root) == []


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("jail.local", "[portsentry]\nfilter = portsentry\n", "another filter (portsentry)"),
        ("jail.d/zz.local", "[portsentry]\nlogpath = /var/log/fail2ban.log\n", "a logpath without"),
        ("jail.d/old.conf", "[portsentry]\nenabled = true\nfilter = portsentry\n", "another filter"),
        ("jail.local", "[portsentry]\nmode = agressive\n", "mode = agressive"),
        ("jail.local", "bantime = 1d\n", "cannot be read"),
        ("jail.d/portsentry.local", "[portsentry]\nfilter = portsentry \n", "another filter (portsentry)"),
        ("../../usr/sbin/portsentry", "", "another portsentry"),
        ("filter.d/portsentry-py.local", "", "overrides our portsentry-py.conf"),
        ("action.d/portsentry-py-command.local", "", "overrides our portsentry-py-command.conf"),
    ],
)
def test_each_conflict_is_one_sentence(root: Path, file: str, content: str, complaint: str) -> None:
    install(root)
    (root / "var/log/fail2ban.log").touch()
    path = root / "etc/fail2ban" / file
    path.resolve().parent.mkdir(parents=True, exist_ok=True)
    path.resolve().write_text(content)

    (sentence,) = conflicts(root)

    assert complaint in sentence
    assert str(path.resolve()) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_fail2ban_that_is_too_old_or_absent_is_a_conflict(root: Path) -> None:
    install(root)
    for version, found in (("0.11.2", []), ("0.10.2", [TOO_OLD])):
        (root / VERSION).write_text(f'version = "{version}"\n')
        assert conflicts(root) == found
    (root / VERSION).unlink()
    assert conflicts(root) == [str(NotInstalled(root=root))]


def test_on_this_host_the_server_is_asked_for_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(_fail2ban_itself(Path("/"))) == [str(NotInstalled("fail2ban-server"))]
    for version, found in (("1.0.2", []), ("0.10.2", [TOO_OLD])):
        write_program(tmp_path / "fail2ban-server", f"#!/bin/sh\necho 'Fail2Ban v{version}'\n")
        assert list(_fail2ban_itself(Path("/"))) == found


@pytest.mark.parametrize(
    ("local", "missing"),
    [
        ("[DEFAULT]\nbanaction_allports = nftable[type=allports]\n", "[portsentry] is nftable,"),
        ("[portsentry]\nbanaction = pf\n", "[portsentry] is pf,"),
        ("[portsentry]\nbanaction = %(mine)s\nmine = ufw\n", "[portsentry] is ufw,"),
        ("[portsentry-net]\nenabled = true\nbanaction = ipset-net\n", "[portsentry-net] is ipset-net,"),
        ("[portsentry-net]\nbanaction = ipset-net\n", ""),
        ("[portsentry]\nenabled = no\nbanaction = pf\n", ""),
        ("[portsentry]\nbanaction = portsentry-py-nft-net\n", ""),
        ("[portsentry]\nbanaction = nftables\n  nftables[type=allports]\n", ""),
        ("[portsentry]\nbanaction = iptables-ipset\n", "iptables-ipset, which needs `iptables`,"),
    ],
)
def test_a_banaction_that_is_not_there_is_a_conflict(root: Path, local: str, missing: str) -> None:
    install(root)
    (root / "etc/fail2ban/jail.local").write_text(local)
    (root / "etc/fail2ban/action.d/iptables-ipset.conf").touch()

    found = conflicts(root)

    assert len(found) == bool(missing)
    assert missing in "".join(found)


@pytest.mark.parametrize("place", ["[portsentry]\nbackend = systemd\n", "[mine]\n"])
def test_a_jail_on_our_log_that_reads_the_journal_is_a_conflict(root: Path, place: str) -> None:
    install(root)
    (root / "etc/fail2ban/jail.local").write_text(
        f"[DEFAULT]\nbackend = systemd\n{place}enabled = true\nfilter = portsentry-py[mode=trap]\n"
    )

    (sentence,) = conflicts(root)

    assert "is systemd, which never reads our log; set it to auto." in sentence


def test_a_missing_log_is_a_conflict_because_fail2ban_does_not_start(root: Path) -> None:
    install(root)
    (root / "var/log/portsentry.log").unlink()

    (sentence,) = conflicts(root)

    assert sentence.startswith(f"{root}/var/log/portsentry.log does not exist, and fail2ban before 1.1.1 starts no")


def test_bans_that_failed_since_fail2ban_started_are_a_conflict(root: Path) -> None:
    install(root)
    log = root / "var/log/fail2ban.log"
    failed = (
        "2026-11-20 08:00:00,000 fail2ban.actions [9]: ERROR   "
        "Failed to execute ban jail 'portsentry' action 'nftables-tcp' info ...\n"
    )
    log.write_text(3 * failed)
    (sentence,) = conflicts(root)
    assert "could not carry out 3 bans of [portsentry] by nftables-tcp" in sentence

    log.write_text(3 * failed + "2026-11-20 09:00:00,000 fail2ban.server [9]: INFO    Starting Fail2ban v1.0.2\n")
    assert conflicts(root) == []


@pytest.mark.parametrize(
    ("ignoreip", "ssh_connection", "named"),
    [
        ("", "198.51.100.7 50000 192.0.2.1 22", "198.51.100.7"),
        ("127.0.0.1/8 ::1", "2001:db8::7 50000 2001:db8::1 22", "2001:db8::7"),
        ("198.51.100.0/25", "::ffff:198.51.100.200 1 ::1 22", "198.51.100.200"),
        ("host.example", "198.51.100.7 50000 192.0.2.1 22", "198.51.100.7"),
        ("127.0.0.1/8, 198.51.100.0/24", "198.51.100.7 50000 192.0.2.1 22", ""),
        ("%(mine)s ::1", "198.51.100.7 50000 192.0.2.1 22", ""),
        ("fe80::/10", "fe80::7%eth0 50000 fe80::1%eth0 22", ""),
        ("", "", ""),
        ("", "nonsense", ""),
    ],
)
def test_an_ssh_address_outside_ignoreip_is_a_conflict(
    root: Path, ignoreip: str, ssh_connection: str, named: str
) -> None:
    install(root)
    (root / "etc/fail2ban/jail.local").write_text(f"[DEFAULT]\nmine = 198.51.100.7\nignoreip = {ignoreip}\n")

    found = conflicts(root, ssh_connection)

    assert [f"logged in from {named}," in sentence for sentence in found] == [True] * bool(named)
