"""Rights that are given up, by real processes that had them."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import portsentry_py
from tests.support.needs import do_without, require_root, require_tool

ROOT = Path(portsentry_py.__file__).parents[1]
NOBODY = 65534
# For command lines: what makes an ordinary user of root, and what lets such a user capture.
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
NET_RIGHTS = ("--inh-caps=+net_raw,+net_admin", "--ambient-caps=+net_raw,+net_admin")
NET_RAW_AND_ADMIN = 1 << 13 | 1 << 12


@cache
def python_for_all() -> str:
    """A Python that an ordinary user may run: ours may be in somebody's home."""
    require_root()
    require_tool("setpriv")
    # setpriv is still root when it starts the first one; that one starts the second.
    again = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'import ctypes, json'])"
    for python in (sys.executable, "/usr/bin/python3"):
        command = [*AS_NOBODY, python, "-I", "-S", "-c", again]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return python
    return do_without("there is no Python that everybody may run")


SAYS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from portsentry_py.privsep.capabilities import drop_privileges
print(drop_privileges())
print(open("/proc/self/status").read())
"""
RAW_SOCKET = """
import socket
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    print("raw socket:\\topened")
except PermissionError:
    print("raw socket:\\trefused")
"""


def status_of(text: str) -> dict[str, str]:
    """The lines of /proc/self/status by their names."""
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def after_dropping(*before: str) -> dict[str, str]:
    """What a process says of itself after it gave up its rights; `dropped` is what it was told."""
    command = [*before, python_for_all(), "-I", "-S", "-c", SAYS + RAW_SOCKET]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    dropped, _, status = done.stdout.partition("\n")
    return {"dropped": dropped, **status_of(status)}


def capabilities(status: dict[str, str]) -> list[int]:
    return [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb", "CapInh")]


def test_an_ordinary_user_with_rights_has_none_afterwards_and_gains_none() -> None:
    said = after_dropping(*AS_NOBODY, *NET_RIGHTS)
    assert said["dropped"] == "True"
    assert capabilities(said) == [0, 0, 0, 0]
    assert said["NoNewPrivs"] == "1"
    assert said["raw socket"] == "refused"


def test_it_had_them_before() -> None:
    """Else the test above would test nothing."""
    command = [*AS_NOBODY, *NET_RIGHTS, python_for_all(), "-I", "-S", "-c", RAW_SOCKET]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "raw socket:\topened\n"


def test_rights_that_are_only_permitted_are_given_up_too() -> None:
    """Not effective, but it would take one call to make them so."""
    sleeping = "import ctypes; h=(ctypes.c_uint32*2)(0x20080522, 0); d=(ctypes.c_uint32*6)(0, 1<<13, 0); "
    sleeping += "assert ctypes.CDLL(None).capset(h, d) == 0"
    command = [*AS_NOBODY, *NET_RIGHTS, python_for_all(), "-I", "-S", "-c", f"{sleeping}\n{SAYS}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    dropped, _, status = done.stdout.partition("\n")
    assert dropped == "True"
    assert capabilities(status_of(status)) == [0] * 4


def test_an_ordinary_user_without_rights_has_nothing_to_give_up() -> None:
    said = after_dropping(*AS_NOBODY)
    assert said["dropped"] == "False"
    assert capabilities(said) == [0, 0, 0, 0]


def test_root_keeps_its_rights() -> None:
    said = after_dropping()
    assert said["dropped"] == "False"
    assert int(said["CapEff"], 16) & NET_RAW_AND_ADMIN == NET_RAW_AND_ADMIN
    assert said["NoNewPrivs"] == "0"
    assert said["raw socket"] == "opened"


def test_children_have_none_either() -> None:
    spawn = "import os; print('child:', flush=True); os.execv('/bin/cat', ['cat', '/proc/self/status'])"
    command = [*AS_NOBODY, *NET_RIGHTS, python_for_all(), "-I", "-S", "-c", f"{SAYS}\n{spawn}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    status = done.stdout.partition("child:")[2]
    assert capabilities(status_of(status)) == [0] * 4


@pytest.mark.parametrize(("line", "rights"), [("CapPrm:\t0000000000003000\n", 0x3000), ("Name:\tx\n", 0)])
def test_what_a_kernel_says_is_read(monkeypatch: pytest.MonkeyPatch, line: str, rights: int) -> None:
    from portsentry_py.privsep import capabilities as privileges  # noqa: PLC0415

    monkeypatch.setattr(Path, "read_text", lambda _self, **_keywords: f"Name:\tcat\n{line}")
    assert privileges._capabilities() == rights
