"""Rights that are given up, by real processes that had them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.other_users import AS_NOBODY, NET_RIGHTS, python_for_all
from tests.support.paths import ROOT
from tests.support.processes import capabilities, status_of

NET_RAW_AND_ADMIN = 1 << 13 | 1 << 12


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


def after_dropping(*before: str) -> dict[str, str]:
    """What a process says of itself after it gave up its rights; `dropped` is what it was told."""
    command = [*before, python_for_all(), "-I", "-S", "-c", SAYS + RAW_SOCKET]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    dropped, _, status = done.stdout.partition("\n")
    return {"dropped": dropped, **status_of(status)}


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
