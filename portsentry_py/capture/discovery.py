"""Prints, as JSON, what pyshark finds: `discovery.py` the tools, `discovery.py TSHARK` the interfaces.

A program of its own: pyshark obeys a `config.ini` of the current directory, and gives tshark its environment.
"""

import json
import subprocess
import sys

from pyshark.tshark import tshark as pyshark


def _tools() -> dict[str, str]:
    """`tshark` and `dumpcap`, their paths, and `version`; or `error`: `missing`, `forbidden`, `version`."""
    try:
        found = {name: pyshark.get_process_path(process_name=name) for name in ("tshark", "dumpcap")}
    except pyshark.TSharkNotFoundException:
        return {"error": "missing"}
    try:
        return {**found, "version": str(pyshark.get_tshark_version(found["tshark"]))}
    except PermissionError:
        return {**found, "error": "forbidden"}
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError, pyshark.TSharkVersionException):
        return {**found, "error": "version"}


def _interfaces(tshark: str) -> list[str]:
    """Their names; none where the user may not capture."""
    try:
        return list(pyshark.get_all_tshark_interfaces_names(tshark))
    except (OSError, subprocess.CalledProcessError):
        return []


if __name__ == "__main__":
    json.dump(_interfaces(sys.argv[1]) if sys.argv[1:] else _tools(), sys.stdout)
