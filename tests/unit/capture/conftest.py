"""What the tests of the capture share."""

import time

import pytest

from portsentry_py.capture.toolchain import Tools, find_tools
from tests.support.build import START_US
from tests.support.needs import require_tool
from tests.support.played_network import Network


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The real tshark and dumpcap."""
    require_tool("tshark")
    return find_tools()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network whose clock goes on with its packets."""
    made = Network()
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    monkeypatch.setattr(time, "time", lambda: START_US / 1e6 + made.now)
    return made
