"""Runs a command to which the kernel refuses system calls: `refused_calls.py RULE... -- COMMAND`.

A rule is `NAME:ERRNO` or `NAME:ARGUMENT=VALUE:ERRNO`, `!=` instead of `=` for any other value; with several
conditions, all must hold. A seccomp filter does it, which stays in force for all that the command starts.
"""

import ctypes
import errno
import os
import re
import sys
from collections.abc import Sequence

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # libseccomp's seccomp.h
_OPERATORS = {"=": 4, "!=": 1}


def refusing(command: Sequence[str], *rules: str) -> list[str]:
    """The command line that runs `command` without these calls."""
    return [sys.executable, "-I", "-S", __file__, *rules, "--", *command]


class _Condition(ctypes.Structure):
    """libseccomp's struct scmp_arg_cmp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("operand", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
    )


def _main(words: list[str]) -> None:
    end = words.index("--")
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    for rule in words[:end]:
        name, *conditions, code = rule.split(":")
        parsed = [re.fullmatch(r"(\d)(!?=)(\d+)", condition) for condition in conditions]
        terms = [_Condition(int(one[1]), _OPERATORS[one[2]], int(one[3]), 0) for one in parsed if one]
        array = (_Condition * len(terms))(*terms)
        number = library.seccomp_syscall_resolve_name(name.encode())
        action = _ERRNO | getattr(errno, code)
        assert library.seccomp_rule_add_array(context, action, number, len(array), array) == 0, rule
    assert library.seccomp_load(context) == 0
    os.execv(words[end + 1], words[end + 1 :])  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    _main(sys.argv[1:])
