"""Which rights this process holds, and how it gives them up. The launcher keeps what captures need."""

import ctypes
import os
from pathlib import Path

from portsentry_py.privsep.sandbox import without_capabilities

_PR_SET_NO_NEW_PRIVS = 38


def drop_privileges() -> bool:
    """Give up every capability for good, unless we are root; says whether there was one.

    Call it before any thread is started: capabilities are a thread's.
    """
    if os.geteuid() == 0 or not _capabilities():
        return False
    without_capabilities()
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return True


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "CapPrm":
            return int(value, 16)
    return 0
