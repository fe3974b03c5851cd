"""The jail pack on disk, and its filter in the real fail2ban-regex."""

from __future__ import annotations

import configparser
import grp
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from portsentry_py.errors import CaptureError, OutputError, PermissionDenied, PortsentryError, UsageError
from portsentry_py.fail2ban import ban_test as pack_ban
from portsentry_py.fail2ban import installer as pack
from portsentry_py.fail2ban import samples as pack_samples
from tests.support.needs import require_tool

TARGETS = [
    "action.d/portsentry-py-command.conf",
    "action.d/portsentry-py-ipset-net.conf",
    "action.d/portsentry-py-nft-net.conf",
    "filter.d/portsentry-py.conf",
    "jail.d/portsentry-py.conf",
]
VERSION = "usr/lib/python3/dist-packages/fail2ban/version.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make the tree of a system that has fail2ban."""
    for folder in pack.FOLDERS:
        (tmp_path / "etc/fail2ban" / folder).mkdir(parents=True)
    (tmp_path / VERSION).parent.mkdir(parents=True)
    (tmp_path / VERSION).write_text('version = "1.0.2"\n')
    (tmp_path / "etc/fail2ban/action.d/nftables.conf").touch()
    for program in ("nft", "ipset"):
        (tmp_path / "usr/sbin" / program).parent.mkdir(exist_ok=True)
        (tmp_path / "usr/sbin" / program).touch()
    (tmp_path / "etc/fail2ban/jail.conf").write_text(
        "[DEFAULT]\nenabled = false\nbanaction_allports = nftables[type=allports]\n"
        "[portsentry]\nlogpath = /var/lib/portsentry/portsentry.history\n"
    )
    return tmp_path


def jail(root: Path) -> Path:
    return root / "etc/fail2ban/jail.d/portsentry-py.conf"


def fail2ban_filter(root: Path) -> Path:
    return root / "etc/fail2ban/filter.d/portsentry-py.conf"


def actions(outcomes: list[pack.Outcome]) -> dict[str, str]:
    return {outcome.path.parent.name: outcome.action for outcome in outcomes}


def everything_below(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_pack_ships_the_filter_before_the_jail_that_needs_it() -> None:
    assert [file.target for file in pack.pack_files()] == TARGETS


def test_fresh_install_writes_log_and_files_with_the_right_modes(root: Path) -> None:
    old_umask = os.umask(0o077)
    try:
        outcomes = pack.install(root)
    finally:
        os.umask(old_umask)

    assert actions(outcomes) == {
        "log": "created",
        "action.d": "installed",
        "filter.d": "installed",
        "jail.d": "installed",
    }
    for file in pack.pack_files():
        path = root / "etc/fail2ban" / file.target
        assert path.read_bytes() == file.content
        assert path.stat().st_mode & 0o777 == 0o644
    log = root / "var/log/portsentry.log"
    assert log.read_bytes() == b""
    assert log.stat().st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert log.stat().st_gid == grp.getgrnam("adm").gr_gid


def test_second_install_changes_nothing(root: Path) -> None:
    pack.install(root)
    (root / "var/log/portsentry.log").write_bytes(b"a line\n")
    before = everything_below(root)

    outcomes = pack.install(root)

    assert set(actions(outcomes).values()) == {"unchanged"}
    assert everything_below(root) == before


def test_a_file_that_the_operator_changed_is_kept_and_shown(root: Path) -> None:
    pack.install(root)
    changed = jail(root).read_text() + "bantime = 1d\n"
    jail(root).write_text(changed)

    outcome = pack.install(root)[-1]

    assert outcome.action == "kept"
    assert "-bantime = 1d" in outcome.diff
    assert jail(root).read_text() == changed


def test_a_file_that_was_there_before_us_is_kept(root: Path) -> None:
    jail(root).write_text("[portsentry]\n")

    assert pack.install(root)[-1].action == "kept"
    assert jail(root).read_text() == "[portsentry]\n"


def test_a_link_that_the_operator_made_is_kept(root: Path) -> None:
    jail(root).symlink_to("elsewhere.conf")

    assert pack.install(root)[-1].action == "kept"
    assert jail(root).is_symlink()


def install_an_older_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = [pack.PackFile(file.target, b"# older\n") for file in pack.pack_files()]
    with monkeypatch.context() as patch:
        patch.setattr(pack, "pack_files", lambda: older)
        pack.install(root)


def test_an_older_file_of_ours_is_upgraded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_an_older_version(root, monkeypatch)

    assert actions(pack.install(root)) == {
        "log": "unchanged",
        "action.d": "upgraded",
        "filter.d": "upgraded",
        "jail.d": "upgraded",
    }
    assert b"[portsentry]" in jail(root).read_bytes()


def test_the_manifest_can_be_checked_with_sha256sum_and_remembers_every_version(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_an_older_version(root, monkeypatch)
    pack.install(root)
    older = hashlib.sha256(b"# older\n").hexdigest()
    newer = hashlib.sha256(jail(root).read_bytes()).hexdigest()

    lines = (root / pack.MANIFEST).read_text().splitlines()

    assert f"{older}  jail.d/portsentry-py.conf" in lines
    assert f"{newer}  jail.d/portsentry-py.conf" in lines


def test_an_older_file_is_recognized_after_an_install_that_kept_it_from_being_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_an_older_version(root, monkeypatch)
    pack.install(root)
    jail(root).write_bytes(b"# older\n")

    assert actions(pack.install(root))["jail.d"] == "upgraded"


def test_uninstall_leaves_only_the_log(root: Path) -> None:
    before = set(everything_below(root))
    pack.install(root)

    assert set(actions(pack.uninstall(root)).values()) == {"removed"}
    assert set(everything_below(root)) - before == {root / "var/log/portsentry.log"}


def test_uninstall_keeps_a_changed_jail_and_the_filter_that_it_needs(root: Path) -> None:
    pack.install(root)
    with jail(root).open("a") as file:
        file.write("bantime = 1d\n")

    outcomes = {outcome.path.name: outcome for outcome in pack.uninstall(root)[1:]}

    for name in ("portsentry-py.conf", "portsentry-py-nft-net.conf"):
        assert outcomes[name].action == "kept"
    assert str(jail(root)) in outcomes["portsentry-py.conf"].note
    assert outcomes["portsentry-py-command.conf"].action == "removed"
    assert fail2ban_filter(root).exists()


def test_uninstall_shows_what_was_changed(root: Path) -> None:
    pack.install(root)
    with jail(root).open("a") as file:
        file.write("bantime = 1d\n")

    changed = pack.uninstall(root)[0]

    assert changed.action == "kept"
    assert "-bantime = 1d" in changed.diff


def test_uninstall_keeps_the_filter_that_the_operators_own_jail_uses(root: Path) -> None:
    pack.install(root)
    (root / "etc/fail2ban/jail.local").write_text("[mine]\nfilter = portsentry-py[mode=strict]\n")

    assert actions(pack.uninstall(root)) == {"jail.d": "removed", "filter.d": "kept", "action.d": "removed"}


def test_a_mere_comment_about_the_filter_does_not_keep_it(root: Path) -> None:
    pack.install(root)
    (root / "etc/fail2ban/jail.local").write_text("# portsentry-py was here\n[sshd]\nenabled = true\n")

    assert set(actions(pack.uninstall(root)).values()) == {"removed"}


def test_uninstall_of_nothing_reports_nothing(root: Path) -> None:
    assert pack.uninstall(root) == []


def test_without_fail2ban_the_error_names_cause_and_fix(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"etc/fail2ban does not exist: install fail2ban first"):
        pack.install(tmp_path)
    assert everything_below(tmp_path) == {}


def test_a_failed_install_leaves_no_half_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack.install(root)
    jail(root).unlink()
    before = everything_below(root)

    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OutputError, match=r"jail\.d/portsentry-py\.conf: No space left on device; correct"):
        pack.install(root)
    assert everything_below(root) == before


def test_without_permission_the_error_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As root nothing is refused, so the refusal is played.
    def refuse(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDenied, match=r"portsentry\.log: permission denied; run this as root"):
        pack.install(root)


def test_no_conflicts_on_a_plain_system(root: Path) -> None:
    pack.install(root)
    (root / "var/log/fail2ban.log").touch()
    (root / "etc/fail2ban/jail.local").write_text(
        "[DEFAULT]\nbackend = systemd\nmode = ddos\n[portsentry]\nmode = strict\nbantime = 1d\n"
        "logpath = %(known/logpath)s\n  /var/log/fail2ban.log\n"
    )

    assert pack.conflicts(root) == []


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("jail.local", "[portsentry]\nfilter = portsentry\n", "another filter (portsentry)"),
        ("jail.d/zz.local", "[portsentry]\nlogpath = /var/log/fail2ban.log\n", "a logpath without"),
        ("jail.d/old.conf", "[portsentry]\nenabled = true\nfilter = portsentry\n", "another filter"),
        ("jail.local", "[portsentry]\nmode = agressive\n", "mode = agressive"),
        ("jail.local", "bantime = 1d\n", "cannot be read"),
        ("jail.d/portsentry.local", "[portsentry]\nfilter = portsentry\n", "belongs to portsentry 2.x"),
        ("../../usr/sbin/portsentry", "", "another portsentry"),
        ("filter.d/portsentry-py.local", "", "overrides our portsentry-py.conf"),
        ("action.d/portsentry-py-command.local", "", "overrides our portsentry-py-command.conf"),
    ],
)
def test_each_conflict_is_one_sentence(root: Path, file: str, content: str, complaint: str) -> None:
    pack.install(root)
    (root / "var/log/fail2ban.log").touch()
    path = root / "etc/fail2ban" / file
    path.resolve().parent.mkdir(parents=True, exist_ok=True)
    path.resolve().write_text(content)

    (sentence,) = pack.conflicts(root)

    assert complaint in sentence
    assert str(path.resolve()) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_fail2ban_that_is_too_old_or_absent_is_a_conflict(root: Path) -> None:
    pack.install(root)
    (root / VERSION).write_text('version = "0.10.2"\n')

    (sentence,) = pack.conflicts(root)
    assert sentence.startswith("fail2ban 0.10.2 is too old for the filter")
    (root / VERSION).write_text('version = "0.11.2"\n')
    assert pack.conflicts(root) == []
    (root / VERSION).unlink()
    (sentence,) = pack.conflicts(root)
    assert sentence.startswith("fail2ban is not installed below")


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
    pack.install(root)
    (root / "etc/fail2ban/jail.local").write_text(local)
    (root / "etc/fail2ban/action.d/iptables-ipset.conf").touch()

    found = pack.conflicts(root)

    assert len(found) == bool(missing)
    assert missing in "".join(found)


@pytest.mark.parametrize("place", ["[portsentry]\nbackend = systemd\n", "[mine]\n"])
def test_a_jail_on_our_log_that_reads_the_journal_is_a_conflict(root: Path, place: str) -> None:
    pack.install(root)
    (root / "etc/fail2ban/jail.local").write_text(
        f"[DEFAULT]\nbackend = systemd\n{place}enabled = true\nfilter = portsentry-py[mode=trap]\n"
    )

    (sentence,) = pack.conflicts(root)

    assert "is systemd, which never reads our log: set it to auto." in sentence


def test_a_missing_log_is_a_conflict_because_fail2ban_does_not_start(root: Path) -> None:
    pack.install(root)
    (root / "var/log/portsentry.log").unlink()

    (sentence,) = pack.conflicts(root)

    assert sentence.startswith(
        f"{root}/var/log/portsentry.log does not exist, and fail2ban before 1.1.1 starts no"
    )


def test_bans_that_failed_since_fail2ban_started_are_a_conflict(root: Path) -> None:
    pack.install(root)
    log = root / "var/log/fail2ban.log"
    failed = (
        "2026-11-20 08:00:00,000 fail2ban.actions [9]: ERROR   "
        "Failed to execute ban jail 'portsentry' action 'nftables-tcp' info ...\n"
    )
    log.write_text(3 * failed)
    (sentence,) = pack.conflicts(root)
    assert "could not carry out 3 bans of [portsentry] by nftables-tcp" in sentence

    log.write_text(
        3 * failed + "2026-11-20 09:00:00,000 fail2ban.server [9]: INFO    Starting Fail2ban v1.0.2\n"
    )
    assert pack.conflicts(root) == []


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
def test_whoever_is_logged_in_should_be_in_ignoreip(
    root: Path, ignoreip: str, ssh_connection: str, named: str
) -> None:
    pack.install(root)
    (root / "etc/fail2ban/jail.local").write_text(f"[DEFAULT]\nmine = 198.51.100.7\nignoreip = {ignoreip}\n")

    found = pack.conflicts(root, ssh_connection)

    assert [f"logged in from {named}," in sentence for sentence in found] == [True] * bool(named)


def shipped() -> list[tuple[str, bytes]]:
    return [
        (file.target, file.content) for file in pack.pack_files() if not file.target.startswith("action.d")
    ]


def test_every_mode_of_the_filter_matches_exactly_what_it_must() -> None:
    require_tool("fail2ban-regex")

    report = pack.test()

    assert [result.mode for result in report.results] == list(pack_samples.MODES)
    assert [(result.missed, result.wrong) for result in report.results] == [((), ())] * 8
    assert report.ok
    assert all(result.matched and result.unmatched for result in report.results)


def test_the_four_parts_share_out_what_normal_matches() -> None:
    require_tool("fail2ban-regex")
    by_mode = {result.mode: result.matched for result in pack.test().results}

    parts = [name for mode in ("scan", "trap", "sweep", "slow") for name in by_mode[mode]]

    assert sorted(parts) == sorted(by_mode["normal"])


@pytest.mark.parametrize("mode", ["agressive", "", "normal-"])
def test_a_misspelled_mode_matches_nothing(mode: str) -> None:
    require_tool("fail2ban-regex")

    assert pack_samples.run(mode, shipped(), pack_samples.samples()).matched == ()


@pytest.mark.parametrize(
    ("kept", "lost"),
    [
        (r"failregex = ^\{", r"failregex = \{"),
        ('%(_canonical)s[\\da-f.:]+"', '[\\w.:/]+"'),
        ("(?![0:]*ffff:)", ""),
        (r"(?=[\da-f.:]{2,39}\")(?![0:]*ffff:)".replace('\\"', '"'), "(?!::ffff:)"),
        ("%(_no_technique_of_ours)s", ""),
        ("%(_not_from_us)s", ""),
        ('"verdict":"<_verdict-<mode>>"', '"verdict":"<_verdict-<mode>>\\w*"'),
        ("<_verdict-<mode>>", r"\w+"),
        ('"source_verified":<_verified-<mode>>', '"source_verified":\\w+'),
        ("(?:scan|trap)", r"\w+"),
        ("%(_one_net)s", ""),
        ("_technique-network    = distributed", r"_technique-network = \w+"),
        ("%%z", ""),
        (r'\{"timestamp":"",', r"\{.*"),
    ],
)
def test_the_samples_notice_a_weaker_filter(kept: str, lost: str) -> None:
    require_tool("fail2ban-regex")
    filter_text = shipped()[0][1].decode()
    assert kept in filter_text

    weaker = [(shipped()[0][0], filter_text.replace(kept, lost).encode())]

    lines = pack_samples.samples()
    results = [
        pack_samples.run(mode, weaker, lines) for mode in ("normal", "aggressive", "strict", "network")
    ]
    assert any(not result.ok for result in results)


def test_the_lines_begin_as_the_contract_says() -> None:
    line = pack_samples.event_line("203.0.113.9")

    assert list(json.loads(line))[:7] == [
        "timestamp",
        "event_type",
        "verdict",
        "src_ip",
        "source_verified",
        "scan_type",
        "technique",
    ]


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860::8", "scanner.example", "192.0.2.0/24"])
def test_nobody_is_banned_for_a_test(address: str) -> None:
    with pytest.raises(UsageError, match="not a documentation address"):
        pack_ban.ban_and_unban(address)


def fake_client(folder: Path, said: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "fail2ban-client"
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("said", "error", "sentence"),
    [
        ("Failed to access socket path: x. Is fail2ban running?", CaptureError, "systemctl start fail2ban"),
        ("Permission denied to socket: x, (you must be root)", PermissionDenied, "run this as root"),
    ],
)
def test_a_server_that_does_not_answer_has_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[PortsentryError], sentence: str
) -> None:
    fake_client(tmp_path, said, 255, monkeypatch)

    with pytest.raises(error, match=sentence):
        pack_ban.ban_and_unban()


def test_without_fail2ban_client_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(CaptureError, match="apt-get install fail2ban"):
        pack_ban.ban_and_unban()


def test_a_ban_without_a_rule_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(tmp_path, "", 0, monkeypatch)
    monkeypatch.setattr(pack_ban, "LISTINGS", (("fail2ban-client",),))
    monkeypatch.setattr(pack_ban, "BAN_SECONDS", 0.1)

    with pytest.raises(PortsentryError, match="the kernel has no rule about it"):
        pack_ban.ban_and_unban()


def test_without_fail2ban_regex_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(CaptureError, match="apt-get install fail2ban"):
        pack.test()


def test_a_filter_that_fail2ban_cannot_read_is_an_error() -> None:
    require_tool("fail2ban-regex")
    broken = [("filter.d/portsentry-py.conf", b"[Definition]\nfailregex = ^(<ADDR>\n")]

    with pytest.raises(CaptureError, match="failed"):
        pack_samples.run("normal", broken, pack_samples.samples())


def test_every_jail_states_what_the_operators_defaults_must_not_change(tmp_path: Path) -> None:
    client = require_tool("fail2ban-client")
    etc = tmp_path / "etc/fail2ban"
    shutil.copytree("/etc/fail2ban", etc)
    pack.install(tmp_path)
    log = tmp_path / "var/log/portsentry.log"
    jails = [f"portsentry-{part}" for part in ("trap", "sweep", "slow", "strict", "net")]
    (etc / "jail.local").write_text(
        f"[DEFAULT]\nbackend = systemd\nmode = ddos\nmaxretry = 9\n[portsentry]\nlogpath = {log}\n"
        + "".join(f"[{name}]\nenabled = true\n" for name in jails)
    )

    dump = subprocess.run(
        [client, "-c", str(etc), "-d"], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    for name in ["portsentry", *jails]:
        assert f"['add', '{name}', 'auto']" in dump
        assert f"['set', '{name}', 'maxretry', 1]" in dump
        assert f"['set', '{name}', 'addlogpath', '{log}', 'head']" in dump
        for protocol in ("tcp", "udp"):
            assert f"['name', '{name}-{protocol}']" in dump
            assert f"['protocol', '{protocol}']" in dump


def test_only_the_jail_portsentry_is_enabled_as_shipped() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(pack.pack_files()[-1].content.decode())

    assert {name: parser[name]["enabled"] for name in parser.sections()} == {
        "portsentry": "true",
        "portsentry-trap": "false",
        "portsentry-sweep": "false",
        "portsentry-slow": "false",
        "portsentry-strict": "false",
        "portsentry-net": "false",
    }
    forbidden = {"bantime", "findtime", "ignoreip", "action"}
    assert not any(forbidden & set(parser[name]) for name in parser.sections())
