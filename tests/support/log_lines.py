"""Logs for the tests of the report: lines of the scenarios, and lines that are not the sensor's."""

import json
from pathlib import Path

from tests.support.paths import CASES

SCENARIOS = sorted(CASES.glob("*/expected.jsonl"))
# Texts that a terminal, a page or a database may take for more than text.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "]]></style><!--",
    "[bold red]x[/]",
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31m\u202e\u2066",
    "'; DROP TABLE lines; --",
    "javascript:alert(1)",
    "{path}{by}$width",
    "=cmd|' /C calc'!A0",
    "x" * 60_000,
)
GOOD = {
    "timestamp": "2026-11-20T08:41:57.408980Z",
    "event_type": "scan",
    "verdict": "ban",
    "src_ip": "203.0.113.9",
    "source_verified": False,
    "scan_type": "syn",
    "technique": "port_scan",
    "direction": "inbound",
    "dest_ip": "192.0.2.1",
    "dest_port": 23,
    "proto": "tcp",
    "ports": 3,
    "ports_sample": [21, 22, 23],
    "first_seen": "2026-11-20T08:41:50.000000Z",
    "src_net": "203.0.113.0/24",
    "reason": "ports_in_window",
    "event_id": "0123456789abcdef",
    "schema": 1,
}
# Torn, of others, or with a wrong head.
BROKEN = (
    b'{"timestamp":"2026-11-20T08:41',
    b"Nov 20 08:41:57 host sshd[1]: Invalid user x",
    b"\xff\xfe\x00\x01",
    b"[1,2]",
    b"null",
    b"{}",
    b'{"timestamp":"' + b"x" * 300_000 + b'"}',
    json.dumps({**GOOD, "timestamp": "2026-13-45T99:99:99.000000Z"}).encode(),
    json.dumps({**GOOD, "timestamp": 5}).encode(),
    json.dumps({**GOOD, "src_ip": "<b>x</b>"}).encode(),
    json.dumps({**GOOD, "verdict": None}).encode(),
    json.dumps({**GOOD, "event_type": "\x1b[2J"}).encode(),
)


def line(**keys: object) -> bytes:
    """A `scan` line with other values for some keys."""
    return json.dumps({**GOOD, **keys}, separators=(",", ":")).encode()


def write(path: Path, *lines: bytes) -> Path:
    """Write a log of these lines."""
    path.write_bytes(b"".join(one + b"\n" for one in lines))
    return path


def scenario_log(path: Path) -> Path:
    """Write a log with the lines of all scenarios; scans of two scenarios have different ids."""
    lines = (
        one.replace(b'"event_id":"', b'"event_id":"%03d-' % number)
        for number, case in enumerate(SCENARIOS)
        for one in case.read_bytes().splitlines()
    )
    return write(path, *lines)


def hostile_log(path: Path) -> Path:
    """Write a log whose lines have hostile values in every key, one key at a time, and broken lines between them."""
    lines = [
        line(event_id=f"{key}{number}", **{key: value})
        for key in GOOD
        for number, value in enumerate((*HOSTILE, -1, 1e300, 2**70, True, None, {"a": [1]}, ["<b>"]))
        if key != "event_id"
    ]
    return write(path, *lines, *BROKEN, line(event_id=HOSTILE[0]), b"")
