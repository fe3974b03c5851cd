"""What the tests of the capture share."""

import pytest

from portsentry_py.capture.toolchain import Tools, find_tools
from tests.support.needs import require_tool


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The real tshark and dumpcap."""
    require_tool("tshark")
    return find_tools()
