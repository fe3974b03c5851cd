"""The bounds of the state file: msgspec refuses what the sensor itself would never write."""

import pytest
from msgspec import ValidationError, msgpack

from portsentry_py.state.snapshot import Block
from tests.support.blocks import ATTEMPT, SCAN, with_source
from tests.support.build import HOST


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (5, "Expected `array`"),
        ([[], [], [], [], [], []], "at most length 5"),
        (with_source(source=b"\xff"), "Expected `str`"),
        (with_source(source="0" * 46), "length <= 45"),
        (with_source(endpoint=[HOST, "TCP", 80]), "Invalid enum value"),
        (with_source(endpoint=[HOST, "tcp", 65_536]), "<= 65535"),
        (with_source(first_us=-1), ">= 0"),
        (with_source(last_us=1 << 60), "<= "),
        (with_source(first_us=True), "Expected `int`"),
        (with_source(first_us=1.0), "Expected `int`"),
        (with_source(types={"new": 1}), "Invalid enum value"),
        (with_source(stacks={(256, 20): 1}), "<= 255"),
        (with_source(unserved=[ATTEMPT] * 129), "length <= 128"),
        (with_source(opened=[-1]), ">= 0"),
        (with_source(flags=[False] * 2), "at least length 20"),
        (with_source(flags=[False] * 4), "Expected `array`"),
        (with_source(scans=[SCAN] * 3), "length <= 2"),
        (with_source(scans=[["fast", *SCAN[1:]]]), "Invalid enum value"),
        ([[], [], [], [[HOST, "tcp", 80, 1]]], "Invalid enum value"),
        ([[], [], [], [], [[HOST, "friend"]]], "Invalid enum value"),
    ],
)
def test_what_is_out_of_bounds_is_refused(block: object, reason: str) -> None:
    msgpack.decode(msgpack.encode(with_source()), type=Block)
    with pytest.raises(ValidationError, match=reason):
        msgpack.decode(msgpack.encode(block), type=Block)
