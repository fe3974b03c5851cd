"""A block of the state file, as arrays, for tests that change one thing in it."""

from typing import Any

from tests.support.build import HOST, SCANNER

ENDPOINT = [HOST, "tcp", 80]
ATTEMPT = [0, 1, 1, "syn", True, False]
SCAN = ["slow", "likelihood", "syn", True, True, *[1] * 6, 0, ["syn"]]
SOURCE = {
    "source": SCANNER,
    "direction": "inbound",
    "first_us": 1,
    "last_us": 1,
    "unserved": [ATTEMPT],
    "opened": [0],
    "proofs": [],
    "types": {"syn": 1},
    "tools": {},
    "stacks": {(64, 20): 1},
    "proven_stacks": [[64, 20]],
    "numbers": [1] * 5,
    "flags": [False] * 3,
    "scans": [SCAN],
}


def with_source(*, endpoint: Any = ENDPOINT, **changes: Any) -> list[Any]:
    *parts, numbers, flags, scans_of = {**SOURCE, **changes}.values()
    return [[endpoint], [[*parts, *numbers, *flags, scans_of]]]
