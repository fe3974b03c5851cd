"""`uninstall`: what goes and what stays is printed."""

from tests.support.command import Command
from tests.support.deploy_tree import Tree


def test_what_was_installed_goes(command: Command, tree: Tree) -> None:
    before = tree.content()
    command("install", "--root", tree.root)
    installed = tree.content()
    done = command("uninstall", "--dry-run", "--root", tree.root)
    assert "would remove the jails" in done.out
    assert tree.content() == installed

    done = command("uninstall", "--root", tree.root, "--purge")
    assert (done.code, done.err) == (0, "")
    assert f"removed: {tree.root}/etc/systemd/system/portsentry-py.service" in done.out
    assert tree.content() == before


def test_what_stays_is_named(command: Command, tree: Tree) -> None:
    command("install", "--root", tree.root)
    config = tree.root / "etc/portsentry-py/portsentry.yaml"
    config.write_text("home: [192.0.2.0/24]\n")
    done = command("uninstall", "--root", tree.root)
    assert "keep the log /var/log/portsentry.log" in done.out
    assert f"kept: {config} (changed by the operator)" in done.out
