"""Target `status`: whatever the log holds and fail2ban answers, what is shown of it is plain text.

An input is the log, then, each behind a separator, fail2ban-client's answers to `status`, to `status JAIL`
and to `get JAIL banip`.
"""

import io
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from random import Random

from rich.console import Console

from portsentry_py.fail2ban.jails import read_jails
from portsentry_py.report.log_reader import read_tail
from portsentry_py.report.overview import overview
from portsentry_py.report.terminal import render
from tests.lab.fuzz.oracle import check_text
from tests.lab.fuzz.store import expected_lines
from tests.lab.fuzz.trial import CONTROLS, Raw
from tests.support.build import START_US
from tests.support.fake_fail2ban import FakeClient

SEPARATOR = b"\xff\xfe\xff"
_LIST = b"Status\n|- Number of jail:\t1\n`- Jail list:\tportsentry\n"
_JAIL = b"""Status for the jail: portsentry
|- Filter
|  |- Currently failed:\t0
|  |- Total failed:\t1
|  `- File list:\t/var/log/portsentry.log
`- Actions
   |- Currently banned:\t1
   |- Total banned:\t1
   `- Banned IP list:\t203.0.113.9
"""
_BANS = b"203.0.113.9 \t2026-11-20 08:41:57 + 600 = 2026-11-20 08:51:57\n"


def check(data: bytes) -> None:
    """Fail if this raises, or what is shown is more than text."""
    parts = data.split(SEPARATOR)[:4]
    log, *texts = parts + [b"", _LIST, _JAIL, _BANS][len(parts) :]
    listed, jail, bans = (text.decode("utf-8", "replace") for text in texts)
    client = FakeClient(answers=defaultdict(lambda: bans, {"status": listed, "status portsentry": jail}))
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        path = Path(folder, "x.log")
        path.write_bytes(log)
        found = overview(read_tail(path), read_jails(client, START_US), START_US)
    assert found.log.lines_unreadable <= found.log.lines_read
    assert len(found.sources) <= 10
    check_text(found.to_json())
    output = io.StringIO()
    console = Console(file=output, width=140, highlight=False, soft_wrap=True)
    for part in render(found):
        console.print(part)
    check_text(output.getvalue())


_VALUES: tuple[object, ...] = (
    *("", "ban", "ignore", "203.0.113.9", "fe80::1%\x1b[31m", "0.0.0.0/0", "9999-12-31T23:59:59.999999Z"),
    *("0000-00-00T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z", "2026-11-20T24:00:00.000000Z", "x" * 41),
    *(0, -1, 1 << 63, 1.5, 1e308, True, None, [], [1, "a"], {}, {"src_ip": "192.0.2.1"}, [[[]]]),
    *CONTROLS,
)


def mutated(data: bytes, random: Random, raw: Raw) -> bytes:
    """A line of the log with another value, or a piece of it elsewhere; one in four without regard."""
    if random.random() < 1 / 4:
        return raw(data)
    log, *rest = data.split(SEPARATOR)
    lines = log.split(b"\n")
    at = random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        lines[at] = _other_value(lines[at], random)
    elif kind == 1:
        lines.insert(at, lines[at][random.randrange(len(lines[at]) + 1) :])
    elif kind == 2:
        lines.insert(random.randrange(len(lines)), lines[at][: random.randrange(len(lines[at]) + 1)])
    elif not rest:
        rest = [_LIST, _JAIL, _BANS]
    else:
        nth = random.randrange(len(rest))
        rest[nth] = raw(rest[nth])
    return SEPARATOR.join([b"\n".join(lines), *rest])


def _other_value(line: bytes, random: Random) -> bytes:
    try:
        record = json.loads(line)
        key = random.choice(list(record))
    except (ValueError, LookupError, TypeError):
        return line + line
    record[key] = random.choice(_VALUES)
    if random.random() < 1 / 8:
        record[f"{random.choice(CONTROLS)}{key}"] = record.pop(key)
    return json.dumps(record, separators=(",", ":"), ensure_ascii=random.random() < 1 / 2).encode("utf-8", "replace")


def seeds() -> list[bytes]:
    """A few lines of each kind, and fail2ban's answers."""
    some = expected_lines("event_type", "verdict", "technique", "proto", "state")[:40]
    return [b"\n".join(some[at : at + 4]) for at in range(0, len(some), 4)] + [
        SEPARATOR.join([some[0], _LIST, _JAIL, _BANS])
    ]
