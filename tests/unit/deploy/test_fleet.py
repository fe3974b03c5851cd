"""The services of the fleet get a secret that they can read, and are taken away."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from portsentry_py.deploy import fleet
from portsentry_py.deploy.service_files import FLEET_UNITS
from portsentry_py.deploy.system import System
from portsentry_py.errors import InstallError, OutputError
from tests.support.deploy_tree import Tree

CREDENTIALS = Path("/etc/fleet.json")


@pytest.fixture
def system(tree: Tree) -> System:
    """The tree with the user and the secret."""
    with (tree.root / "etc/passwd").open("a") as passwd:
        passwd.write("portsentry:x:990:991::/:/bin/false\n")
    (tree.root / "etc/fleet.json").write_text("secret")
    (tree.root / "etc/fleet.json").chmod(0o644)
    return System(tree.root, running=True)


def test_the_user_of_the_service_alone_can_read_the_secret_until_that_is_undone(system: System) -> None:
    path = system.root / "etc/fleet.json"
    with ExitStack() as undo:
        fleet.hand_over(system, CREDENTIALS, undo)
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (990, 991, 0o600)
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 0, 0o644)


def test_what_a_link_points_to_keeps_its_owner(system: System) -> None:
    path = system.root / "etc/fleet.json"
    victim = path.rename(path.with_name("victim"))
    path.symlink_to(victim)
    with pytest.raises(OutputError, match="cannot write it"):
        fleet.hand_over(system, CREDENTIALS, ExitStack())
    assert victim.stat().st_uid == 0


def test_without_a_file_or_a_user_nothing_is_handed_over(system: System) -> None:
    with pytest.raises(OutputError, match="No such file"):
        fleet.hand_over(system, Path("/etc/none.json"), ExitStack())
    (system.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nportsentry:x\n")
    with pytest.raises(InstallError, match="there is no user portsentry"):
        fleet.hand_over(system, CREDENTIALS, ExitStack())


@pytest.mark.parametrize("path", ["/root/fleet.json", "/home/me/fleet.json", "/tmp/fleet.json"])  # noqa: S108 - a name
def test_a_secret_that_services_do_not_see_is_refused(path: str) -> None:
    with pytest.raises(InstallError, match="move it to /etc/portsentry-py"):
        fleet.must_be_visible(Path(path))
    fleet.must_be_visible(CREDENTIALS)


def test_what_is_left_of_it_is_seen_and_removed(tree: Tree, system: System) -> None:
    assert not fleet.is_there(system)
    for name in FLEET_UNITS:
        unit = tree.root / "etc/systemd/system" / name
        unit.write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    before = tree.content()
    with ExitStack() as undo:
        fleet.enable(system, undo)
        assert system.enabled(FLEET_UNITS[1])
    assert tree.content() == before
    assert fleet.is_there(system)
    for name in FLEET_UNITS:
        (tree.root / "etc/systemd/system" / name).unlink()
    (tree.root / fleet.STATE).mkdir()
    assert fleet.is_there(system)
    tree.calls()
    fleet.take_away(system)
    assert not fleet.is_there(system)
    stopped = [call for call in tree.calls() if " stop " in call]
    assert stopped == [f"systemctl stop {name}" for name in reversed(FLEET_UNITS)]


def test_services_that_did_not_run_are_stopped_again(tree: Tree, system: System) -> None:
    with ExitStack() as undo:
        fleet.remember(system, undo)
        fleet.restart(undo)
        (tree.root / fleet.STATE).mkdir()
        tree.calls()
    assert tree.calls()[:2] == [f"systemctl stop {name}" for name in reversed(FLEET_UNITS)]
    assert not (tree.root / fleet.STATE).exists()
