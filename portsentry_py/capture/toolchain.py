"""Finds tshark, dumpcap and the interfaces on this machine. The only importer of pyshark."""

import os
import subprocess
from typing import Any, NamedTuple

from portsentry_py.capture.commands import NO_EXTCAP
from portsentry_py.errors import CaptureError, PermissionDenied

OLDEST_TSHARK = (3, 6, 0)
INSTALL = "install it with: apt-get install tshark"


class Tools(NamedTuple):
    """The programs that capture and dissect."""

    tshark: str
    dumpcap: str
    version: str


def find_tools() -> Tools:
    """Find tshark and dumpcap.

    Raises:
        CaptureError: one is missing or too old.
    """
    pyshark_tshark = _pyshark_tshark()
    try:
        tshark = pyshark_tshark.get_process_path()
        dumpcap = pyshark_tshark.get_process_path(process_name="dumpcap")
    except pyshark_tshark.TSharkNotFoundException as error:
        raise CaptureError(f"tshark or dumpcap is not installed; {INSTALL}") from error
    try:
        version = pyshark_tshark.get_tshark_version(tshark)
    except PermissionError as error:
        raise PermissionDenied(f"{tshark}: you may not run it; run as root.") from error
    except (
        OSError,
        ValueError,
        IndexError,
        subprocess.CalledProcessError,
        pyshark_tshark.TSharkVersionException,
    ) as error:
        raise CaptureError(f"{tshark}: cannot tell its version; re{INSTALL}") from error
    if version.release < OLDEST_TSHARK:
        oldest = ".".join(map(str, OLDEST_TSHARK))
        raise CaptureError(
            f"{tshark}: version {version} is too old, {oldest} is the oldest that works; {INSTALL}"
        )
    return Tools(tshark, dumpcap, str(version))


def interface_names(tools: Tools) -> list[str]:
    """The interfaces that tshark can capture on; empty where the user may not capture."""
    try:
        return [str(name) for name in _pyshark_tshark().get_all_tshark_interfaces_names(tools.tshark)]
    except (OSError, subprocess.CalledProcessError):
        return []


def _pyshark_tshark() -> Any:
    """The finder of tools that pyshark has, imported late because it costs a third of a second."""
    from pyshark.tshark import tshark  # noqa: PLC0415

    # pyshark would take the path of tshark from a config.ini in the current directory: as root, a way to run
    # somebody else's program.
    tshark.get_config = lambda: None
    os.environ.update(NO_EXTCAP)  # it gives its own environment to tshark
    return tshark
