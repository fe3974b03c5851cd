"""The jails are placed in a running fail2ban, and taken out of it."""

from contextlib import ExitStack

import pytest

from portsentry_py.deploy import jail
from portsentry_py.deploy.system import System
from portsentry_py.errors import Fail2banError
from portsentry_py.fail2ban.firewall import NFTABLES
from tests.support.deploy_tree import Tree
from tests.support.programs import write_program

CALLS = [f"fail2ban-client {words}" for words in ("-t", "status", "reload", "status")]


def test_fail2ban_reads_the_jails(tree: Tree) -> None:
    jail.place(System(tree.root, running=True), NFTABLES, ExitStack())
    assert tree.calls() == CALLS
    assert (tree.root / "etc/fail2ban/jail.d/portsentry-py.conf").exists()
    jail.take_away(System(tree.root, running=True))
    assert tree.calls() == CALLS
    assert not list((tree.root / "etc/fail2ban/jail.d").iterdir())


def test_a_tree_that_does_not_run_is_not_reloaded(tree: Tree) -> None:
    with ExitStack() as undo:
        jail.place(System(tree.root, running=False), "", undo)
    assert tree.calls() == []


def test_a_configuration_that_fail2ban_refuses_is_taken_back(tree: Tree) -> None:
    before = tree.content()
    client = f"""#!/bin/sh
echo "fail2ban-client $*" >>{tree.calls_file}
[ "$1" != -t ] || [ ! -e {tree.root}/etc/fail2ban/jail.d/portsentry-py.conf ] || exit 255
"""
    write_program(tree.root.parent / "programs/fail2ban-client", client)
    with pytest.raises(Fail2banError), ExitStack() as undo:
        jail.place(System(tree.root, running=True), NFTABLES, undo)
    assert tree.content() == before
    assert tree.calls() == ["fail2ban-client -t", *CALLS], "the old configuration is read again"


def test_without_an_answer_the_other_way_is_named(tree: Tree) -> None:
    jail.answers()
    silent = "#!/bin/sh\necho Unable to contact server >&2\nexit 1\n"
    write_program(tree.root.parent / "programs/fail2ban-client", silent)
    with pytest.raises(Fail2banError, match=r"does not answer.* Or install without the jail: --no-jail"):
        jail.answers()
