"""Finds tshark and dumpcap, their version, and the interfaces that they know."""

import json
import os
import site
import subprocess
import sys
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from portsentry_py.capture.commands import environment
from portsentry_py.errors import CaptureError, PermissionDenied
from portsentry_py.privsep.sandbox import NOT_STARTED, sandboxed

OLDEST_TSHARK = (3, 6, 0)
INSTALL = "install it with: apt-get install tshark"
_DISCOVERY = Path(__file__).with_name("discovery.py")
_PRIVATE = Path(__file__).parents[2]


class Tools(NamedTuple):
    """The programs that capture and dissect."""

    tshark: str
    dumpcap: str
    version: str


class ToolSearch:
    """The search for tshark and dumpcap in PATH, which goes on while the caller does something else.

    Raises (on construction):
        CaptureError: Python cannot be started.
    """

    def __init__(self) -> None:
        self._discovery = _start_discovery()

    def result(self) -> Tools:
        """Wait for the end; call it once.

        Raises:
            CaptureError: one is missing, broken or too old.
            PermissionDenied: the user may not run tshark.
        """
        found = _finish(self._discovery)
        error = found.get("error")
        if error == "missing":
            raise CaptureError(f"tshark or dumpcap is not installed; {INSTALL}")
        if error == "forbidden":
            raise PermissionDenied(f"{found['tshark']}: you may not run it; run as root.")
        if error:
            raise CaptureError(f"{found['tshark']}: cannot tell its version; re{INSTALL}")
        tools = Tools(**found)
        if tuple(map(int, tools.version.split("."))) < OLDEST_TSHARK:
            oldest = ".".join(map(str, OLDEST_TSHARK))
            reason = f"version {tools.version} is too old, {oldest} is the oldest that works"
            raise CaptureError(f"{tools.tshark}: {reason}; {INSTALL}")
        return tools

    def close(self) -> None:
        """End it, if it still goes on."""
        self._discovery.kill()
        self._discovery.communicate()


def find_tools() -> Tools:
    """Find tshark and dumpcap in PATH.

    Raises:
        CaptureError, PermissionDenied: as `ToolSearch.result`.
    """
    with closing(ToolSearch()) as search:
        return search.result()


def interface_names(tools: Tools) -> list[str]:
    """The interfaces that tshark can capture on; empty where the user may not capture."""
    return list(_finish(_start_discovery(tools.tshark)))


def _python_environment() -> dict[str, str]:
    """Where Python finds pyshark: it may be installed for the user, or privately beside this package."""
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(_PRIVATE))))
    return {"PYTHONUSERBASE": site.getuserbase(), "PYTHONPATH": paths}


def pyshark_command(program: Path) -> list[str]:
    """The command line of a sandboxed program of ours that uses pyshark."""
    variables = [f"{name}={value}" for name, value in _python_environment().items()]
    return sandboxed(["/usr/bin/env", *variables, sys.executable, str(program)], _python_paths())


def _python_paths() -> set[str]:
    """What the interpreter and its packages need, and the programs in PATH."""
    folders = (*sys.path, *site.getsitepackages(), site.getusersitepackages(), sys.prefix, sys.base_prefix)
    named = (os.environ.get(name, "").split(os.pathsep) for name in ("PATH", "PYTHONPATH"))
    return {*filter(None, (*folders, *chain(*named))), str(_PRIVATE)}


def _start_discovery(*arguments: str) -> "subprocess.Popen[str]":
    """Let pyshark search, in a directory and with an environment of our choice; in the sandbox if it needs no rights.

    tshark would load plugins, with whatever rights it has.
    """
    command = [sys.executable, str(_DISCOVERY), *arguments]
    if not arguments:
        command = sandboxed(command, _python_paths())
    surroundings = {**environment(), **_python_environment()}
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, cwd="/", env=surroundings, stdout=pipe, stderr=pipe, text=True)
    except OSError as error:
        raise CaptureError(f"cannot start {sys.executable}: {error.strerror}; raise the limit.") from error


def _finish(discovery: "subprocess.Popen[str]") -> Any:
    """What pyshark has found."""
    output, errors = discovery.communicate()
    if discovery.returncode != 0:
        raise pyshark_failure(discovery.returncode, errors)
    return json.loads(output)


def pyshark_failure(code: int, errors: str) -> CaptureError:
    """Why a program of ours that uses pyshark has failed, from its exit code and its words."""
    reason = (errors.strip() or f"exit code {code}").splitlines()[-1]
    if code == NOT_STARTED:
        refused = reason.rsplit(f"{sys.executable}: ")[-1]
        return CaptureError(
            f"tshark cannot be confined ({refused}); let the container or the security policy allow it."
        )
    return CaptureError(f"pyshark does not run ({reason}); reinstall portsentry-py.")
