"""The user and groups that were made are removed, and no others."""

import os
from contextlib import ExitStack

import pytest

from portsentry_py.deploy.accounts import create, remove
from portsentry_py.deploy.service_files import place, service_files
from portsentry_py.deploy.system import System
from tests.support.deploy_tree import Tree


def names(tree: Tree, file: str) -> set[str]:
    return {line.split(":")[0] for line in (tree.root / "etc" / file).read_text().splitlines()}


@pytest.fixture
def system(tree: Tree) -> System:
    """The tree with the file that names the user."""
    system = System(tree.root, running=False)
    for file in service_files(tree.root / "usr/bin/portsentry-py"):
        place(system, file, ExitStack())
    return system


def add_group(tree: Tree, line: str) -> None:
    with (tree.root / "etc/group").open("a") as file:
        file.write(f"{line}\n")


def test_what_was_made_is_removed(tree: Tree, system: System) -> None:
    before = tree.content()
    create(system, ExitStack())
    create(system, ExitStack())
    assert names(tree, "passwd") == {"root", "portsentry"}
    assert names(tree, "group") == {"root", "adm", "portsentry", "wireshark"}

    remove(system)
    remove(system)
    after = tree.content()
    for key in [key for key in after if "portsentry-py-install" in key]:
        assert "accounts" in key or key in before
    assert (names(tree, "passwd"), names(tree, "group")) == ({"root"}, {"root", "adm"})


def test_what_was_made_is_undone(tree: Tree, system: System) -> None:
    before = tree.content()
    with ExitStack() as undo:
        create(system, undo)
    assert tree.content() == before


def test_a_group_that_was_there_stays(tree: Tree, system: System) -> None:
    add_group(tree, "wireshark:x:120:me")
    create(system, ExitStack())
    remove(system)
    assert "wireshark:x:120:me" in (tree.root / "etc/group").read_text()


@pytest.mark.parametrize("use", ["member", "dumpcap"])
def test_a_group_that_others_use_now_stays(tree: Tree, system: System, use: str) -> None:
    create(system, ExitStack())
    group = tree.root / "etc/group"
    if use == "member":
        group.write_text(group.read_text().replace("portsentry\n", "portsentry,me\n", 1))
    else:
        dumpcap = tree.root / "usr/bin/dumpcap"
        dumpcap.touch()
        number = next(line.split(":")[2] for line in group.read_text().splitlines() if line.startswith("wireshark"))
        os.chown(dumpcap, 0, int(number))
    remove(system)
    assert "wireshark" in names(tree, "group")
    assert "portsentry" not in names(tree, "passwd")
