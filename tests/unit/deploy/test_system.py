"""Programs that change the system, and the sentence when one fails."""

from pathlib import Path

import pytest

from portsentry_py.deploy import system as module
from portsentry_py.deploy.system import UNIT, run, succeeds, system
from portsentry_py.errors import InstallError
from tests.support.deploy_tree import Tree


def test_a_program_must_succeed() -> None:
    assert run("printf", "%s", "said") == "said"
    with pytest.raises(InstallError, match=r"sh -c echo why; exit 3 failed \(why\); correct that and try again\."):
        run("sh", "-c", "echo why; exit 3")
    with pytest.raises(InstallError, match="no-such-program cannot be started"):
        run("no-such-program")


def test_a_program_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.05)
    with pytest.raises(InstallError, match="sleep did not end"):
        run("sleep", "60")
    assert not succeeds("sleep", "60")


def test_a_program_may_fail_where_that_is_an_answer() -> None:
    assert succeeds("true")
    assert not succeeds("false")
    assert not succeeds("no-such-program")


def test_a_tree_does_not_run(tree: Tree) -> None:
    found = system(tree.root)
    assert (found.running, found.here, found.packaged, found.enabled()) == (False, False, False, False)


def test_a_package_is_known_by_its_unit(tree: Tree) -> None:
    unit = tree.root / "usr/lib/systemd/system" / UNIT
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert system(tree.root).packaged


def test_this_system_is_here() -> None:
    assert system(Path("/")).here
