"""The service is started, and left as it was when something fails."""

from contextlib import ExitStack

import pytest

from portsentry_py.deploy import unit
from portsentry_py.deploy.system import UNIT, System
from portsentry_py.errors import InstallError
from tests.support.deploy_tree import Tree
from tests.support.programs import write_program


@pytest.fixture
def system(tree: Tree) -> System:
    """The tree with a unit, as if it ran."""
    path = tree.root / "etc/systemd/system" / UNIT
    path.write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    return System(tree.root, running=True)


def test_it_starts_at_boot_until_that_is_undone(system: System) -> None:
    with ExitStack() as undo:
        unit.enable(system, undo)
        assert system.enabled()
    assert not system.enabled()


def test_a_service_that_starts_at_boot_already_goes_on_doing_so(system: System) -> None:
    unit.enable(system, ExitStack())
    with ExitStack() as undo:
        unit.enable(system, undo)
    assert system.enabled()


def test_a_service_that_did_not_run_is_stopped_again(tree: Tree) -> None:
    with ExitStack() as undo:
        unit.restart_later(undo)
        unit.restart(undo)
        assert tree.calls() == ["systemctl daemon-reload", f"systemctl restart {UNIT}"]
    assert tree.calls() == [f"systemctl stop {UNIT}", "systemctl daemon-reload"]


def test_a_service_that_ran_runs_again_with_its_old_files(tree: Tree) -> None:
    programs = tree.root.parent / "programs"
    write_program(programs / "systemctl", f'#!/bin/sh\necho "systemctl $*" >>{tree.calls_file}\n')
    with ExitStack() as undo:
        unit.restart_later(undo)
    assert tree.calls() == ["systemctl daemon-reload", f"systemctl restart {UNIT}"]


def test_it_is_stopped_disabled_and_forgotten(tree: Tree, system: System) -> None:
    unit.enable(system, ExitStack())
    unit.take_away(system)
    unit.forget()
    assert not system.enabled()
    calls = [f"systemctl --quiet cat {UNIT}", f"systemctl stop {UNIT}"]
    assert tree.calls() == [*calls, "systemctl daemon-reload", f"systemctl reset-failed {UNIT}"]


def test_a_service_that_does_not_start_is_an_error(tree: Tree) -> None:
    write_program(tree.root.parent / "programs/systemctl", "#!/bin/sh\necho Job failed. >&2\nexit 1\n")
    with pytest.raises(InstallError, match=r"systemctl daemon-reload failed \(Job failed\.\)"):
        unit.restart(ExitStack())
