"""Finds tshark and dumpcap, their version, and the interfaces that dumpcap knows."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from portsentry_py.capture.commands import environment, version_command
from portsentry_py.errors import CaptureError, PermissionDenied
from portsentry_py.privsep.sandbox import NOT_STARTED

OLDEST_TSHARK = (3, 6, 0)
INSTALL = "install it with: apt-get install tshark"
_REFUSED = "cannot confine"  # of the sandbox
_VERSION = re.compile(r"\S+ (?:\(Wireshark\) )?(\d+\.\d+\.\d+)")
_INTERFACE = re.compile(r"^\d+\. (\S+)", re.MULTILINE)


class Tools(NamedTuple):
    """The programs that capture and dissect."""

    tshark: str
    dumpcap: str
    version: str


def find_tools() -> Tools:
    """Find tshark and dumpcap in PATH. tshark itself is not tried.

    Where both lie in one folder, they come from one package, and dumpcap tells the version: tshark takes forty times
    as long, because it sets up all its dissectors first.

    Raises:
        CaptureError: one is missing, broken or too old.
        PermissionDenied: the user may not run tshark.
    """
    tshark, dumpcap = map(_in_path, ("tshark", "dumpcap"))
    if tshark is None or dumpcap is None:
        raise CaptureError(f"tshark or dumpcap is not installed; {INSTALL}")
    if not os.access(tshark, os.X_OK):
        raise PermissionDenied(f"{tshark}: you may not run it; run as root.")
    together = Path(tshark).parent == Path(dumpcap).parent
    version = _version(_output([dumpcap, "-v"])) if together else ""
    version = version or _version(_output(version_command(tshark)))
    return _new_enough(Tools(tshark, dumpcap, version))


class TsharkTrial:
    """tshark tells its version in the sandbox: whether it runs at all, while the caller does something else.

    Raises (on construction):
        CaptureError: Python cannot be started.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        command = version_command(tools.tshark)
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, cwd="/", env=environment(), stdout=pipe, stderr=pipe, text=True, errors="replace"
            )
        except OSError as error:
            raise CaptureError(f"cannot start {command[0]}: {error.strerror}; raise the limit.") from error

    def result(self) -> Tools:
        """Wait for the end; call it once.

        Raises:
            CaptureError: tshark is broken or too old, or cannot be confined.
        """
        output, errors = self._process.communicate()
        if self._process.returncode == NOT_STARTED and errors.startswith(_REFUSED):
            raise not_confined(errors)
        return _new_enough(self._tools._replace(version="" if self._process.returncode else _version(output)))

    def close(self) -> None:
        """End it, if it still goes on."""
        self._process.kill()
        self._process.communicate()


def tried_tools() -> Tools:
    """Find tshark and dumpcap in PATH, and try tshark.

    Raises:
        CaptureError, PermissionDenied: as `find_tools` and `TsharkTrial`.
    """
    return try_tshark(find_tools())


def try_tshark(tools: Tools) -> Tools:
    """Let tshark tell its version in the sandbox.

    Raises:
        CaptureError: as `TsharkTrial`.
    """
    with closing(TsharkTrial(tools)) as trial:
        return trial.result()


def not_confined(errors: str) -> CaptureError:
    """What it means that the sandbox has started nothing, from its words."""
    reason = re.sub(rf"{_REFUSED} \S+: ", "", errors.strip() or "no reason given", count=1)
    return CaptureError(f"tshark cannot be confined ({reason}); let the container or the security policy allow it.")


def interface_names(tools: Tools) -> list[str]:
    """The interfaces that dumpcap can capture on; empty where the user may not capture."""
    return _INTERFACE.findall(_output([tools.dumpcap, "-D"]))


def _in_path(name: str) -> str | None:
    """The first file of that name, runnable or not: a user who may not run dumpcap can still replay."""
    folders = (folder for folder in os.get_exec_path() if folder.startswith("/"))
    return shutil.which(name, os.F_OK, os.pathsep.join(folders))


def _output(command: Sequence[str]) -> str:
    """What a program prints; empty if it fails."""
    try:
        done = subprocess.run(
            command, cwd="/", env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _version(output: str) -> str:
    found = _VERSION.match(output)
    return found[1] if found else ""


def _new_enough(tools: Tools) -> Tools:
    if not tools.version:
        raise CaptureError(f"{tools.tshark}: cannot tell its version; re{INSTALL}")
    if tuple(map(int, tools.version.split("."))) < OLDEST_TSHARK:
        oldest = ".".join(map(str, OLDEST_TSHARK))
        reason = f"version {tools.version} is too old, {oldest} is the oldest that works"
        raise CaptureError(f"{tools.tshark}: {reason}; {INSTALL}")
    return tools
