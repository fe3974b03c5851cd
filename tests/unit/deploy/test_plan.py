"""Install changes what it says; a failure at any step changes nothing; uninstall leaves nothing."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from portsentry_py.deploy import plan, proof
from portsentry_py.deploy.program import Program
from portsentry_py.deploy.service_files import CONFIG, FLEET_TMPFILES, FLEET_UNITS
from portsentry_py.deploy.step import Step, carry_out
from portsentry_py.deploy.system import UNIT, System
from portsentry_py.errors import InstallError
from portsentry_py.fail2ban.firewall import NFTABLES, BanAction
from tests.support.deploy_tree import Tree

ACTION = BanAction(NFTABLES, "nftables")
STEPS = 14
FLEET_STEPS = STEPS + 7
CREDENTIALS = Path("/etc/portsentry-py/fleet.json")
FLEET_LOG = "var/log/portsentry-fleet.log"


def installing(tree: Tree, *, running: bool = True, credentials: Path | None = None) -> plan.Plan:
    program = Program(tree.root / "usr/bin/portsentry-py")
    return plan.install(System(tree.root, running), program, ACTION, credentials)


def secret(tree: Tree) -> Path:
    """The credentials that the operator has put there as root."""
    path = tree.root / CREDENTIALS.relative_to("/")
    path.parent.mkdir()
    path.touch(0o600)
    return path


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


@pytest.mark.parametrize("number", range(FLEET_STEPS))
def test_a_failure_at_any_step_with_a_fleet_changes_nothing(tree: Tree, number: int) -> None:
    secret(tree)
    before = tree.content()
    made = installing(tree, credentials=CREDENTIALS)
    assert len(made.steps) == FLEET_STEPS
    made.steps[number] = failing(made.steps[number], tree.root / "var/lib/portsentry-py/state")
    with pytest.raises(InstallError, match="seeded"):
        do(made)
    assert tree.content() == before


def test_the_fleet_comes_when_it_is_configured_and_goes_without_a_trace_but_its_log(tree: Tree) -> None:
    path = secret(tree)
    do(installing(tree))
    alone = tree.content()
    do(installing(tree, credentials=CREDENTIALS))
    together = tree.content()
    assert path.stat().st_uid == (tree.root / FLEET_LOG).stat().st_uid != 0
    assert "enabled = true" in (tree.root / "etc/fail2ban/jail.d/portsentry-py.fleet.conf").read_text()
    wants = tree.root / "etc/systemd/system/multi-user.target.wants/portsentry-py-fleet.service"
    assert wants.is_symlink()
    do(installing(tree, credentials=CREDENTIALS))
    assert tree.content() == together, "a second time changes nothing"
    state = tree.root / "var/lib/portsentry-py-fleet"
    state.mkdir()
    (state / "state.json").touch()
    tree.calls()
    done = installing(tree)
    assert done.steps[-1].text == "remove the services of the fleet, which is off in the configuration"
    do(done)
    calls = tree.calls()
    assert {f"systemctl stop {unit}" for unit in FLEET_UNITS} < set(calls)
    left = set(tree.content()) - set(alone)
    assert left == {FLEET_LOG}
    do(installing(tree))
    assert set(tree.content()) - set(alone) == {FLEET_LOG}


def test_uninstall_takes_the_fleet_too(tree: Tree) -> None:
    before = tree.content()
    folder = secret(tree).parent
    do(installing(tree, credentials=CREDENTIALS))
    (tree.root / "var/lib/portsentry-py-fleet").mkdir()
    removed(tree, purge=True)
    folder.rmdir()  # the operator made it
    assert tree.content() == before


def test_credentials_that_outlast_the_service_belong_to_root(tree: Tree) -> None:
    path = secret(tree)
    do(installing(tree, credentials=CREDENTIALS))
    removed(tree, purge=False)
    for kept in (path, tree.root / FLEET_LOG):
        assert kept.stat().st_uid == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_package_lacks_the_entry_that_makes_the_log_of_the_fleet_alone(tree: Tree) -> None:
    folder = tree.root / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    for name in (UNIT, *FLEET_UNITS):
        (folder / name).write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    for line in ("passwd:portsentry:x:990:990::/:/bin/false", "group:portsentry:x:990:"):
        name, _, text = line.partition(":")
        with (tree.root / "etc" / name).open("a") as file:
            file.write(f"{text}\n")
    secret(tree)
    before = tree.content()
    do(installing(tree, credentials=CREDENTIALS))
    assert (tree.root / FLEET_TMPFILES).exists()
    assert not (tree.root / "etc/systemd/system" / FLEET_UNITS[0]).exists()
    do(installing(tree))
    assert not [name for name in set(tree.content()) - set(before) if "fleet" in name and name != FLEET_LOG]


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
    (tree.root / FLEET_LOG).touch()
    removed(tree, purge=True)
    assert (tree.root / "var/log/portsentry.log").exists()
    assert not (tree.root / FLEET_LOG).exists()


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
