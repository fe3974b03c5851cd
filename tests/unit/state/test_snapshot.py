"""The bounds of the state file: msgspec refuses what the sensor itself would never write."""

import pytest
from msgspec import ValidationError, msgpack

from portsentry_py.state.snapshot import Block
from tests.support.blocks import ACQUAINTANCE, ATTEMPT, PORT, SCAN, SOURCE, with_acquaintance, with_scan, with_source
from tests.support.build import HOST


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (5, "Expected `array`"),
        ([[], [], [], [], [], []], "at most length 5"),
        (with_source(source=b"\xff"), "Expected `str`"),
        (with_source(source="0" * 50), "length <= 49"),
        (with_source(address="0" * 46), "length <= 45"),
        (with_source(endpoint=[HOST, "TCP", 80]), "Invalid enum value"),
        (with_source(endpoint=[HOST, "tcp", 65_536]), "<= 65535"),
        (with_source(first_us=-1), ">= 0"),
        (with_source(last_us=1 << 60), "<= "),
        (with_source(first_us=True), "Expected `int`"),
        (with_source(first_us=1.0), "Expected `int`"),
        (with_source(types={"new": 1}), "Invalid enum value"),
        (with_source(stacks={(256, 20): 1}), "<= 255"),
        (with_source(stacks={(ttl, 20): 1 for ttl in range(9)}), "length <= 8"),
        (with_source(proven_stacks=[[64, 20]] * 9), "length <= 8"),
        (with_source(unserved=[ATTEMPT] * 129), "length <= 128"),
        (with_source(opened=[-1]), ">= 0"),
        (with_source(proofs=[0] * 9), "length <= 8"),
        (with_source(trap_answered=1), "Expected `bool`"),
        ([[], [list(SOURCE.values())[:-1]]], "at least length 18"),
        ([[], [[*SOURCE.values(), 1]]], "at most length 18"),
        (with_source(scans=[SCAN] * 3), "length <= 2"),
        (with_scan(0, "fast"), "Invalid enum value"),
        (with_scan(4, "0" * 50), "length <= 49"),
        (with_scan(5, "maybe"), "Invalid enum value"),
        (with_scan(6, "because"), "Invalid enum value"),
        (with_source(unserved=[ATTEMPT[:-1]]), "at least length 7"),
        ([[], [], [], [[HOST, "tcp", 80, 1]]], "Invalid enum value"),
        (with_acquaintance(1, [1] * 9), "length <= 8"),
        (with_acquaintance(2, []), "length >= 1"),
        (with_acquaintance(2, [1] * 6), "length <= 5"),
        (with_acquaintance(3, [[64, 20]] * 9), "length <= 8"),
        (with_acquaintance(3, [[64]]), "length 2"),
    ],
)
def test_what_is_out_of_bounds_is_refused(block: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        msgpack.decode(msgpack.encode(block), type=Block)


def test_what_is_within_bounds_is_read() -> None:
    msgpack.decode(msgpack.encode([*with_source(), [], [PORT], [ACQUAINTANCE]]), type=Block)
