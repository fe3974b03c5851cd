"""The unit runs a program that the service can reach."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from portsentry_py.deploy import program
from portsentry_py.deploy.program import COPY, LINK, Program, copy, find, link, take_away, tidy
from portsentry_py.deploy.system import System
from portsentry_py.errors import InstallError
from tests.support.deploy_tree import Tree
from tests.support.running import ran

HERE = System(Path("/"), running=False)


def test_a_tree_names_its_own_program(tree: Tree) -> None:
    system = System(tree.root, running=False)
    assert find(system) == Program(Path("/usr/bin/portsentry-py"))
    (tree.root / "usr/bin/portsentry-py").unlink()
    with pytest.raises(InstallError, match="there is no portsentry-py below"):
        find(system)


def test_an_environment_that_is_hidden_from_services_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/root/.local/share/pipx/venvs/portsentry-py")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert find(HERE) == Program(Path("/opt/portsentry-py/bin/portsentry-py"), copied=True)
    monkeypatch.setattr(sys, "base_prefix", "/root/.pyenv/versions/3.11")
    with pytest.raises(InstallError, match="hidden from services"):
        find(HERE)


def test_an_environment_that_only_root_changes_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/portsentry-py").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(program, "_PACKAGE", tmp_path / "lib/portsentry_py")
    monkeypatch.setattr(program, "_reachable", lambda _: True)
    assert find(HERE) == Program(tmp_path / "bin/portsentry-py")


def test_what_others_may_change_is_not_reachable(tmp_path: Path) -> None:
    assert program._reachable(Path("/usr/bin"))
    assert not program._reachable(tmp_path)


def test_a_copy_runs_and_comes_back_when_a_newer_one_is_undone(tree: Tree) -> None:
    system, place = System(tree.root, running=False), tree.root / COPY
    before = tree.content()
    copy(system, ExitStack())
    python = place / "bin/python"
    code = "from portsentry_py.shipped import shipped; print(shipped('config'))"
    done = ran(python, "-I", "-c", code, folder=tree.root)
    (site,) = place.glob("lib/*/site-packages")
    assert (done.stderr, done.stdout.strip()) == ("", str(site / "portsentry_py/data/config"))
    assert ran(python, "-I", "-m", "portsentry_py", "--help", folder=tree.root).returncode == 0
    assert not (site / "pytest").exists(), "what only developers need is not copied"

    mark = place / "older"
    mark.touch()
    with ExitStack() as undo:
        copy(system, undo)
        assert not mark.exists()
    assert mark.exists()
    tidy(system)
    assert take_away(system) == [place]
    assert tree.content() == before


def test_an_installation_that_is_not_ours_is_not_replaced(tree: Tree) -> None:
    (tree.root / COPY).mkdir(parents=True)
    with pytest.raises(InstallError, match="was not made by this command"):
        copy(System(tree.root, running=False), ExitStack())
    assert take_away(System(tree.root, running=False)) == []


def test_the_command_is_linked_unless_there_is_another(tree: Tree) -> None:
    system = System(tree.root, running=False)
    before = tree.content()
    with ExitStack() as undo:
        link(system, Program(Path("/opt/portsentry-py/bin/portsentry-py")), undo)
        assert (tree.root / LINK).is_symlink()
        assert take_away(system) == [tree.root / LINK]
    assert tree.content() == before
    (tree.root / LINK).write_text("mine")
    link(system, Program(Path("/opt/portsentry-py/bin/portsentry-py")), ExitStack())
    assert (tree.root / LINK).read_text() == "mine"


def test_the_extras_of_a_package_that_ours_asks_for_are_copied() -> None:
    names = {found.metadata["Name"].lower() for found in program._needed()}
    assert {"nats-py", "nkeys", "pynacl", "cryptography"} <= names
    assert names.isdisjoint({"pytest", "hypothesis", "aiohttp"})
