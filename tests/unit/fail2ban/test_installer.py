"""The installer writes and removes the pack, and keeps what the operator changed."""

import grp
import hashlib
import os
from pathlib import Path

import pytest

from portsentry_py.errors import OutputError, PermissionDenied
from portsentry_py.fail2ban import installer
from portsentry_py.fail2ban.client import NotInstalled
from portsentry_py.fail2ban.installer import MANIFEST, install, uninstall
from portsentry_py.fail2ban.pack import PackFile, pack_files
from portsentry_py.fail2ban.placing import Outcome


def jail(root: Path) -> Path:
    return root / "etc/fail2ban/jail.d/portsentry-py.conf"


def fail2ban_filter(root: Path) -> Path:
    return root / "etc/fail2ban/filter.d/portsentry-py.conf"


def actions(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.path.parent.name: outcome.action for outcome in outcomes}


def everything_below(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_fresh_install_writes_log_and_files_with_the_right_modes(root: Path) -> None:
    old_umask = os.umask(0o077)
    try:
        outcomes = install(root)
    finally:
        os.umask(old_umask)

    assert actions(outcomes) == {"log": "created", **dict.fromkeys(("action.d", "filter.d", "jail.d"), "installed")}
    for file in pack_files():
        path = root / "etc/fail2ban" / file.target
        assert path.read_bytes() == file.content
        assert path.stat().st_mode & 0o777 == 0o644
    log = root / "var/log/portsentry.log"
    assert log.read_bytes() == b""
    assert log.stat().st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert log.stat().st_gid == grp.getgrnam("adm").gr_gid


def test_second_install_changes_nothing(root: Path) -> None:
    install(root)
    (root / "var/log/portsentry.log").write_bytes(b"a line\n")
    before = everything_below(root)

    outcomes = install(root)

    assert set(actions(outcomes).values()) == {"unchanged"}
    assert everything_below(root) == before


def test_a_file_that_the_operator_changed_is_kept_and_shown(root: Path) -> None:
    install(root)
    changed = jail(root).read_text() + "bantime = 1d\n"
    jail(root).write_text(changed)

    outcome = install(root)[-1]

    assert outcome.action == "kept"
    assert "-bantime = 1d" in outcome.diff
    assert jail(root).read_text() == changed


def test_a_file_from_before_the_first_install_is_kept(root: Path) -> None:
    jail(root).write_text("[portsentry]\n")

    assert install(root)[-1].action == "kept"
    assert jail(root).read_text() == "[portsentry]\n"


def test_a_link_that_the_operator_made_is_kept(root: Path) -> None:
    jail(root).symlink_to("elsewhere.conf")

    assert install(root)[-1].action == "kept"
    assert jail(root).is_symlink()


def install_an_older_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = [PackFile(file.target, b"# older\n") for file in pack_files()]
    with monkeypatch.context() as patch:
        patch.setattr(installer, "pack_files", lambda: older)
        install(root)


def test_an_older_file_of_ours_is_upgraded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_an_older_version(root, monkeypatch)

    upgraded = dict.fromkeys(("action.d", "filter.d", "jail.d"), "upgraded")
    assert actions(install(root)) == {"log": "unchanged", **upgraded}
    assert b"[portsentry]" in jail(root).read_bytes()


def test_the_manifest_can_be_checked_with_sha256sum_and_remembers_every_version(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_an_older_version(root, monkeypatch)
    install(root)
    older = hashlib.sha256(b"# older\n").hexdigest()
    newer = hashlib.sha256(jail(root).read_bytes()).hexdigest()

    lines = (root / MANIFEST).read_text().splitlines()

    assert f"{older}  jail.d/portsentry-py.conf" in lines
    assert f"{newer}  jail.d/portsentry-py.conf" in lines


def test_every_version_that_was_installed_is_recognized_later(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_an_older_version(root, monkeypatch)
    install(root)
    jail(root).write_bytes(b"# older\n")

    assert actions(install(root))["jail.d"] == "upgraded"


def test_uninstall_leaves_only_the_log(root: Path) -> None:
    before = set(everything_below(root))
    install(root)

    assert set(actions(uninstall(root)).values()) == {"removed"}
    assert set(everything_below(root)) - before == {root / "var/log/portsentry.log"}


def test_uninstall_keeps_a_changed_jail_and_the_filter_that_it_needs(root: Path) -> None:
    install(root)
    with jail(root).open("a") as file:
        file.write("bantime = 1d\n")

    outcomes = {outcome.path.name: outcome for outcome in uninstall(root)[1:]}

    for name in ("portsentry-py.conf", "portsentry-py-nft-net.conf"):
        assert outcomes[name].action == "kept"
    assert str(jail(root)) in outcomes["portsentry-py.conf"].note
    assert outcomes["portsentry-py-command.conf"].action == "removed"
    assert fail2ban_filter(root).exists()


def test_uninstall_shows_the_changes_of_the_operator(root: Path) -> None:
    install(root)
    with jail(root).open("a") as file:
        file.write("bantime = 1d\n")

    changed = uninstall(root)[0]

    assert changed.action == "kept"
    assert "-bantime = 1d" in changed.diff


def test_uninstall_keeps_the_filter_that_the_operators_own_jail_uses(root: Path) -> None:
    install(root)
    (root / "etc/fail2ban/jail.local").write_text("[mine]\nfilter = portsentry-py[mode=strict]\n")

    assert actions(uninstall(root)) == {"jail.d": "removed", "filter.d": "kept", "action.d": "removed"}


def test_a_comment_about_the_filter_does_not_keep_it(root: Path) -> None:
    install(root)
    (root / "etc/fail2ban/jail.local").write_text("# portsentry-py was here\n[sshd]\nenabled = true\n")

    assert set(actions(uninstall(root)).values()) == {"removed"}


def test_uninstall_of_nothing_reports_nothing(root: Path) -> None:
    assert uninstall(root) == []


def test_without_fail2ban_nothing_is_installed(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=r"fail2ban is not installed below .*; run `apt-get install"):
        install(tmp_path)
    assert everything_below(tmp_path) == {}


def test_a_failed_install_leaves_no_half_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(root)
    jail(root).unlink()
    before = everything_below(root)

    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(
        OutputError, match=r"jail\.d/portsentry-py\.conf: cannot write it \(No space left on device\); correct"
    ):
        install(root)
    assert everything_below(root) == before


def test_a_write_that_is_not_permitted_is_an_error_with_the_fix(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everything, so the refusal is simulated.
    def refuse(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        PermissionDenied, match=r"portsentry\.log: cannot write it \(permission denied\); run this as root"
    ):
        install(root)


def test_the_jail_of_the_fleet_comes_and_goes_with_it(root: Path) -> None:
    path = root / "etc/fail2ban/jail.d/portsentry-py.fleet.conf"
    install(root)
    assert not path.exists()
    assert install(root, fleet=True)[-1] == Outcome(path, "installed")
    install(root)
    assert path.exists(), "nothing was said about it"
    assert install(root, fleet=False)[-1] == Outcome(path, "removed")
    install(root, fleet=True)
    uninstall(root)
    assert not path.exists()


def test_a_jail_of_the_fleet_that_the_operator_changed_is_kept(root: Path) -> None:
    path = root / "etc/fail2ban/jail.d/portsentry-py.fleet.conf"
    install(root, fleet=True)
    path.write_text("[portsentry-fleet]\nenabled = true\nbantime = 1h\n")
    assert install(root, fleet=False)[-1].action == "kept"
