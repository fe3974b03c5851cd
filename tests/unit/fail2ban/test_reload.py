"""A running fail2ban reads the jails again, with all of their actions."""

from pathlib import Path

import pytest

from portsentry_py.errors import Fail2banError
from portsentry_py.fail2ban.reload import reload
from tests.support.programs import write_program

_CLIENT = """#!/bin/sh
echo "$*" >>{calls}
case "$*" in
-t) exit {test} ;;
status) echo "Jail list: portsentry, portsentry2" ;;
get*) [ -e {calls}.reloaded ] && echo "No actions for jail portsentry" || echo "nftables-tcp" ;;
reload) touch {calls}.reloaded ;;
esac
"""


def client(folder: Path, monkeypatch: pytest.MonkeyPatch, test: int) -> Path:
    """The record of what a stand-in for fail2ban-client is asked; its `-t` ends with `test`."""
    write_program(folder / "fail2ban-client", _CLIENT.format(calls=folder / "calls", test=test))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "calls"


def test_a_jail_whose_actions_a_reload_has_lost_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = client(tmp_path, monkeypatch, test=0)
    reload()
    assert calls.read_text(encoding="utf-8").splitlines()[-1] == "reload --restart --if-exists portsentry"


def test_a_wrong_configuration_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = client(tmp_path, monkeypatch, test=255)
    with pytest.raises(Fail2banError):
        reload()
    assert calls.read_text(encoding="utf-8") == "-t\n"
