"""`install`: the steps are printed, done, and end with what the operator has to know."""

from pathlib import Path

import pytest

from portsentry_py.cli import install as module
from portsentry_py.deploy.system import System
from portsentry_py.errors import CaptureError
from tests.support.command import Command, fails
from tests.support.deploy_tree import Tree


def test_a_dry_run_names_each_step_and_does_none(command: Command, tree: Tree) -> None:
    before = tree.content()
    done = command("install", "--dry-run", "--root", tree.root)
    assert (done.code, done.err) == (0, "")
    assert "would write /etc/systemd/system/portsentry-py.service" in done.out
    assert tree.content() == before


def test_a_tree_that_does_not_run_is_said_to_be_one(command: Command, tree: Tree) -> None:
    done = command("install", "--root", tree.root)
    assert (done.code, done.err) == (0, "")
    first, *others = done.out.splitlines()[-4:]
    assert "nothing was started or reloaded" in first
    assert [line.split(":")[0] for line in others] == ["bans", "log", "let somebody back in"]
    assert command("uninstall", "--root", tree.root, "--purge").code == 0


def test_without_the_jail_nobody_is_banned(command: Command, tree: Tree) -> None:
    done = command("install", "--root", tree.root, "--no-jail")
    assert "bans: nobody" in done.out
    assert not list((tree.root / "etc/fail2ban/jail.d").iterdir())


def test_a_jail_of_our_name_that_is_not_ours_is_left_alone(command: Command, tree: Tree) -> None:
    path = tree.root / "etc/fail2ban/jail.d/portsentry.local"
    path.write_text("[portsentry]\nenabled = true\nfilter = portsentry\n")
    before = tree.content()
    done = command("install", "--root", tree.root)
    assert done.code == 69
    assert f"{path} gives [portsentry] another filter (portsentry); give that jail another name. Or" in done.err
    assert tree.content() == before
    assert command("install", "--root", tree.root, "--no-jail").code == 0


def test_without_fail2ban_it_says_what_is_missing(command: Command, tree: Tree) -> None:
    for path in (tree.root / "etc/fail2ban").iterdir():
        path.rename(tree.root / path.name)
    (tree.root / "etc/fail2ban").rmdir()
    done = command("install", "--root", tree.root)
    assert done.code == 0
    assert "note: fail2ban is not installed, so nobody is banned" in done.out


def test_a_kept_configuration_is_named(command: Command, tree: Tree) -> None:
    config = tree.root / "etc/portsentry-py/portsentry.yaml"
    config.parent.mkdir()
    config.write_text("home: [192.0.2.0/24]\n")
    done = command("install", "--root", tree.root)
    assert f"kept: {config} (changed by the operator)" in done.out


def configured(tree: Tree, credentials: Path) -> None:
    folder = tree.root / "etc/portsentry-py"
    folder.mkdir()
    (folder / "portsentry.yaml").write_text(f"fleet: {{credentials: {credentials}}}\n")
    (folder / "fleet.json").touch(0o600)


def test_a_configured_fleet_is_installed(command: Command, tree: Tree) -> None:
    configured(tree, Path("/etc/portsentry-py/fleet.json"))
    done = command("install", "--dry-run", "--root", tree.root)
    assert "would write /etc/systemd/system/portsentry-py-fleet.service" in done.out
    assert "would give /etc/portsentry-py/fleet.json to the user portsentry" in done.out
    done = command("install", "--root", tree.root)
    assert (done.code, done.err) == (0, "")
    assert "fleet: what other hosts ban is in /var/log/portsentry-fleet.log" in done.out
    (tree.root / "etc/portsentry-py/portsentry.yaml").write_text("")
    done = command("install", "--root", tree.root)
    assert "remove the services of the fleet, which is off in the configuration" in done.out
    assert not (tree.root / "etc/systemd/system/portsentry-py-fleet.service").exists()


def test_credentials_that_the_services_cannot_see_are_refused(command: Command, tree: Tree) -> None:
    configured(tree, Path("/root/fleet.json"))
    before = tree.content()
    fails(command("install", "--root", tree.root), 69, "/root/fleet.json: hidden from services; move it to")
    assert tree.content() == before


def test_credentials_that_are_none_are_refused_before_anything_is_changed(
    command: Command, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "system", lambda root: System(root, running=True))
    monkeypatch.setattr(module, "tried_tools", lambda: None)
    monkeypatch.setattr("portsentry_py.deploy.fleet.must_be_visible", lambda _: None)
    configured(tree, tmp_path / "fleet.json")
    before = tree.content()
    fails(command("install", "--root", tree.root), 78, "cannot read the credentials")
    (tmp_path / "fleet.json").touch(0o600)
    fails(command("install", "--root", tree.root), 78, "these are no credentials")
    assert tree.content() == before


def test_the_last_lines_of_a_running_service(command: Command, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "system", lambda root: System(root, running=True))
    monkeypatch.setattr(module, "tried_tools", lambda: None)
    monkeypatch.setattr("portsentry_py.deploy.proof.sees", lambda _: None)
    monkeypatch.setattr("portsentry_py.deploy.proof.bans", lambda: ())
    done = command("install", "--root", tree.root)
    assert done.err == ""
    assert [line.split(":")[0] for line in done.out.splitlines()[-5:]] == [
        "runs",
        "bans",
        "log",
        "let somebody back in",
        "see it work",
    ]


def test_only_root_changes_a_system(command: Command, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    fails(command("install", "--root", tree.root), 77, "run it as root")
    fails(command("uninstall", "--root", tree.root), 77, "run it as root")


def test_what_is_missing_is_said_before_anything_is_changed(
    command: Command, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_tshark() -> None:
        raise CaptureError("tshark is not installed.")

    before = tree.content()
    monkeypatch.setattr(module, "system", lambda root: System(root, running=True))
    monkeypatch.setattr(module, "tried_tools", no_tshark)
    fails(command("install", "--root", tree.root), 69, "tshark is not installed")
    assert tree.content() == before
    monkeypatch.setenv("PATH", str(Path("/nonexistent")))
    fails(command("install", "--root", tree.root), 69, "there is no systemd here")
