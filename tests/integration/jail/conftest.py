"""Hosts for the jails."""

import pytest

from tests.support.namespaces import Lab


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """Let the target answer UDP too."""
    lab.target.serve("echo")
    return lab
