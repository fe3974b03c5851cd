"""Install changes what it says; a failure at any step changes nothing; uninstall leaves nothing."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from portsentry_py.deploy import plan, proof
from portsentry_py.deploy.program import Program
from portsentry_py.deploy.service_files import CONFIG
from portsentry_py.deploy.step import Step, carry_out
from portsentry_py.deploy.system import UNIT, System
from portsentry_py.errors import InstallError
from portsentry_py.fail2ban.firewall import NFTABLES, BanAction
from tests.support.deploy_tree import Tree

ACTION = BanAction(NFTABLES, "nftables")
STEPS = 14


def installing(tree: Tree, *, running: bool = True) -> plan.Plan:
    program = Program(tree.root / "usr/bin/portsentry-py")
    return plan.install(System(tree.root, running), program, ACTION)


def do(made: plan.Plan) -> None:
    carry_out(made.steps, lambda _: None)


def removed(tree: Tree, *, purge: bool) -> None:
    do(plan.uninstall(System(tree.root, running=True), purge=purge))


@pytest.fixture(autouse=True)
def no_real_ban(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "bans", lambda: ())


def failing(step: Step, state: Path) -> Step:
    """Does it, as the service does that writes its state, and fails."""

    def do(undo: ExitStack) -> None:
        step.do(undo)
        if step.text == "start the service":
            state.touch()
        raise InstallError("seeded.")

    return Step(step.text, do)


@pytest.mark.parametrize("number", range(STEPS))
def test_a_failure_at_any_step_changes_nothing(tree: Tree, number: int) -> None:
    before = tree.content()
    made = installing(tree)
    assert len(made.steps) == STEPS
    made.steps[number] = failing(made.steps[number], tree.root / "var/lib/portsentry-py/state")
    with pytest.raises(InstallError, match="seeded"):
        do(made)
    assert tree.content() == before


@pytest.mark.parametrize("number", range(STEPS))
def test_a_failed_upgrade_leaves_the_old_installation(tree: Tree, number: int) -> None:
    do(installing(tree))
    for path in ("etc/logrotate.d/portsentry-py", f"etc/systemd/system/{UNIT}", CONFIG):
        (tree.root / path).write_text("# of the operator\n")
    before = tree.content()
    made = installing(tree)
    made.steps[number] = failing(made.steps[number], tree.root / "var/lib/portsentry-py/state")
    (tree.root / "var/lib/portsentry-py/state").touch()
    before = tree.content()
    with pytest.raises(InstallError):
        do(made)
    assert tree.content() == before


def test_a_second_install_changes_no_file(tree: Tree) -> None:
    do(installing(tree))
    before = tree.content()
    do(installing(tree))
    assert tree.content() == before


def test_uninstall_with_purge_leaves_what_was_there_before(tree: Tree) -> None:
    before = tree.content()
    do(installing(tree))
    (tree.root / CONFIG).write_text("home: [192.0.2.0/24]\n")
    (tree.root / "var/log/portsentry.log.1.gz").touch()
    removed(tree, purge=True)
    assert tree.content() == before


def test_uninstall_keeps_a_changed_configuration_and_the_log(tree: Tree) -> None:
    before = tree.content()
    do(installing(tree))
    (tree.root / CONFIG).write_text("home: [192.0.2.0/24]\n")
    (tree.root / "var/log/portsentry.log").write_text("a line\n")
    removed(tree, purge=False)
    after = tree.content()
    assert set(after) - set(before) == {str(Path(CONFIG).parent), CONFIG, "var/log/portsentry.log"}
    log = (tree.root / "var/log/portsentry.log").stat()
    assert (log.st_uid, log.st_gid, log.st_mode & 0o777) == (0, 4, 0o640)


def test_a_log_that_the_jail_of_another_program_reads_outlasts_a_purge(tree: Tree) -> None:
    (tree.root / "etc/fail2ban/jail.d/portsentry.local").write_text(
        "[portsentry2]\nlogpath = /var/log/portsentry.log\n"
    )
    do(installing(tree))
    removed(tree, purge=True)
    assert (tree.root / "var/log/portsentry.log").exists()


def test_jail_files_that_stay_keep_their_log_and_manifest(tree: Tree) -> None:
    do(installing(tree))
    with (tree.root / "etc/fail2ban/jail.d/portsentry-py.conf").open("a") as file:
        file.write("bantime = 1d\n")
    (tree.root / "var/lib/portsentry-py/state").touch()
    removed(tree, purge=True)
    assert (tree.root / "var/log/portsentry.log").exists()
    assert [path.name for path in (tree.root / "var/lib/portsentry-py").iterdir()] == ["fail2ban.sha256"]


def test_a_tree_that_does_not_run_gets_the_files_alone(tree: Tree) -> None:
    do(installing(tree, running=False))
    assert tree.calls() == []
    assert (tree.root / "etc/systemd/system/multi-user.target.wants" / UNIT).is_symlink()


def test_a_package_brings_its_own_files_and_is_removed_as_a_package(tree: Tree) -> None:
    unit = tree.root / "usr/lib/systemd/system" / UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    do(installing(tree))
    assert not (tree.root / "etc/systemd/system" / UNIT).exists()
    assert not (tree.root / CONFIG).exists()
    with pytest.raises(InstallError, match="apt-get remove portsentry-py"):
        removed(tree, purge=True)
