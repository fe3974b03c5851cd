"""The installed service proves itself."""

from pathlib import Path

import pytest

from portsentry_py.deploy import proof
from portsentry_py.errors import Fail2banError, InstallError
from tests.support.deploy_tree import Tree
from tests.support.programs import write_program


@pytest.mark.parametrize("code", [0, 1])
def test_a_check_without_errors_is_a_proof(tmp_path: Path, code: int) -> None:
    program = write_program(tmp_path / "program", f'#!/bin/sh\n[ "$*" = "check --live" ] && exit {code}\nexit 69\n')
    proof.sees(program)


def test_what_is_wrong_is_in_the_sentence(tmp_path: Path) -> None:
    script = "#!/bin/sh\necho 'ok      tshark: 4.0'\necho 'broken  sensor: no sensor reports.'\nexit 2\n"
    with pytest.raises(InstallError, match=r"^the service does not work: sensor: no sensor reports\.$"):
        proof.sees(write_program(tmp_path / "program", script))


def test_a_jail_that_is_not_loaded_is_no_proof(tree: Tree) -> None:
    refuse = "#!/bin/sh\necho \"the jail 'portsentry' does not exist\" >&2\nexit 1\n"
    write_program(tree.root.parent / "programs/fail2ban-client", refuse)
    with pytest.raises(Fail2banError, match="no jail portsentry"):
        proof.bans()
