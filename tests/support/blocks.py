"""A block of the state file, as arrays, for tests that change one thing in it."""

from typing import Any

from tests.support.build import HOST, SCANNER

ENDPOINT = [HOST, "tcp", 80]
ATTEMPT = [0, 1, 1, "syn", True, False, False]
SCAN = ["slow", "likelihood", "syn", True, "", "ban", "likelihood", "ban", *[1] * 6, 0, ["syn"]]
PORT = [HOST, "port", 80, 1]
ACQUAINTANCE = [SCANNER, [19_675], [1], [[64, 20]]]
SOURCE = {
    "source": SCANNER,
    "direction": "inbound",
    "first_us": 1,
    "last_us": 1,
    "address": SCANNER,
    "unserved": [ATTEMPT],
    "opened": [0],
    "proofs": [],
    "checks": [],
    "types": {"syn": 1},
    "tools": {},
    "stacks": {(64, 20): 1},
    "proven_stacks": [[64, 20]],
    "attempts": 1,
    "probes": 1,
    "trap_touches": 1,
    "trap_answered": False,
    "scans": [SCAN],
}


def changed(row: list[Any], place: int, content: Any) -> list[Any]:
    """The row with other content in one place."""
    return [*row[:place], content, *row[place:][1:]]


def with_source(*, endpoint: Any = ENDPOINT, **changes: Any) -> list[Any]:
    return [[endpoint], [list({**SOURCE, **changes}.values())]]


def with_scan(place: int, content: Any) -> list[Any]:
    return with_source(scans=[changed(SCAN, place, content)])


def with_acquaintance(place: int, content: Any) -> list[Any]:
    return [[], [], [], [], [changed(ACQUAINTANCE, place, content)]]
