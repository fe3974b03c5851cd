"""Hosts for the jails."""

from __future__ import annotations

import pytest

from tests.support.ban_chain import start_echo
from tests.support.namespaces import Lab


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """Let the target answer UDP too."""
    start_echo(lab)
    return lab
