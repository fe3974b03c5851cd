"""What a test needs from the machine it runs on."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require_tool(name: str) -> str:
    """Give the path of the program `name`; without it skip the test, or fail it under CI."""
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        do_without(f"{name} is not installed")
    return path


def require_root() -> None:
    """Skip the test for whoever is not root, or fail it under CI."""
    if os.geteuid() != 0:
        do_without("needs root")


def do_without(reason: str) -> NoReturn:
    """Skip the test, or fail it under CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
