"""Only a line that withdraws names a source to let in."""

import pytest

from portsentry_py.fleet.change import Change
from portsentry_py.fleet.line import line
from portsentry_py.fleet.withdrawn import withdrawn
from portsentry_py.output.json_log import json_line
from tests.support.fleet import NOW_US, ban


@pytest.mark.parametrize(
    ("address", "source"), [("45.33.32.156", "45.33.32.156"), ("2a00:1450:4001::9", "2a00:1450:4001::/64")]
)
def test_a_line_that_withdraws_names_its_source(address: str, source: str) -> None:
    for bans, found in ((False, source), (True, "")):
        text = json_line(line(Change(bans, ban(address), ("web1",), NOW_US), "ban", NOW_US))
        assert withdrawn(text.rstrip(b"\n")) == found


@pytest.mark.parametrize("text", [b"", b"{}", b'{"timestamp":"', b"\xff" * 99])
def test_any_other_line_names_nobody(text: bytes) -> None:
    assert withdrawn(text) == ""
