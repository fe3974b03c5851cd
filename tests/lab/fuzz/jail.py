"""Target `jail`: whatever the log holds, the filter bans the source of a line or a network of it, and nobody else.

fail2ban's own classes read the lines (jail_reader.py). No coverage: a regular expression has none.
"""

import json
import re
import subprocess
import tempfile
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import NamedTuple

from portsentry_py.fail2ban.pack import MODES, NETWORK_MODE, pack_files
from portsentry_py.fail2ban.samples import modes_for, samples
from tests.lab.fuzz.oracle import check_line
from tests.lab.fuzz.store import expected_lines
from tests.lab.fuzz.trial import CONTROLS, Raw

PYTHON = "/usr/bin/python3"  # fail2ban's own
# The frozen keys, written without fail2ban's own words. fail2ban is
# generous about times: without any, a line was written now.
_HEAD = re.compile(
    r'\{"timestamp":"[0-9T:.Z-]{0,40}","event_type":"(?P<event_type>scan|trap|fleet)",'
    r'"verdict":"(?P<verdict>ban|watch)","src_ip":"(?P<address>[0-9a-f:.]+)","source_verified":(?:true|false),'
    r'"scan_type":"\w+","technique":"(?P<technique>\w+)"[,}]',
    re.ASCII,
)
# No address to fail2ban, or an IPv4 address inside IPv6.
_NOBODY = re.compile(r"::$|[0:]*ffff:")
# Loopback and mapped addresses, a link, NAT64, Teredo: the addresses of such a network are different people.
_SHARED = tuple(ip_network(network) for network in ("::/64", "fe80::/10", "64:ff9b::/96", "2001::/32"))


class Found(NamedTuple):
    addresses: list[str]
    seconds: float


class JailReader:
    """fail2ban, reading lines in every mode."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="portsentry-py-")
        for file in pack_files():
            if file.target.startswith("filter.d"):
                path = Path(self._folder.name, file.target)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(file.content)
        self._process = subprocess.Popen(
            [PYTHON, str(Path(__file__).with_name("jail_reader.py")), self._folder.name, *MODES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="ascii",
        )
        self.patterns: list[list[str]] = self._answer()
        """The regular expressions of each mode, as fail2ban compiles them."""

    def read(self, lines: list[str]) -> dict[str, list[Found]]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(lines) + "\n")
        self._process.stdin.flush()
        return {mode: [Found(*one) for one in some] for mode, some in zip(MODES, self._answer(), strict=True)}

    def _answer(self) -> list[list[str]]:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "fail2ban's classes cannot be used"
        found: list[list[str]] = json.loads(answer)
        return found


@cache
def reader() -> JailReader:
    """One for all, while this process lives."""
    return JailReader()


def check(data: bytes) -> None:
    """Fail if the filter sees in these lines whom it must not see, or not whom it must."""
    lines = data.decode("utf-8", "replace").split("\n")
    for mode, some in reader().read(lines).items():
        for line, found in zip(lines, some, strict=True):
            addresses = set(found.addresses)
            assert addresses <= _may_be_seen(line, mode), (mode, line, addresses)
            assert addresses >= _must_be_seen(line, mode), (mode, line, addresses)


def _may_be_seen(line: str, mode: str) -> set[str]:
    """The own address and networks of a source, by the first keys of a line, whatever stands behind."""
    head = _HEAD.match(line)
    if head is None:
        return set()
    if '"direction":"outbound"' in line and _is_ours(line):
        return set()
    both = ({mode} & modes_for(head["event_type"], head["verdict"], True, head["technique"])) != set()
    if not both:
        return set()
    networks = _own_networks(head["address"], mode)
    return networks if mode == NETWORK_MODE else networks | {head["address"]}


def _must_be_seen(line: str, mode: str) -> set[str]:
    """The address or network that must be banned for a line that is the sensor's own."""
    if not _is_ours(line):
        return set()
    record = json.loads(line)
    is_inbound = record["event_type"] == "fleet" or record.get("direction") == "inbound"
    if not is_inbound or _NOBODY.match(record["src_ip"]):
        return set()
    words = (record[key] for key in ("event_type", "verdict", "source_verified", "technique"))
    if mode not in modes_for(*words):
        return set()
    networks = _own_networks(record["src_ip"], mode)
    if mode == NETWORK_MODE:
        return networks & {record.get("group_net", record["src_net"])}
    return networks & {record["src_net"]} or {record["src_ip"]}


def _own_networks(address: str, mode: str) -> set[str]:
    """The networks around an address that a mode can ban; none that strangers share."""
    if address.startswith("::"):
        return set()
    lengths = [48, 56, 64] if ":" in address else [24]
    if mode != NETWORK_MODE:
        lengths = [length for length in lengths if length == 64]
    try:
        networks = [ip_network(f"{address}/{length}", strict=False) for length in lengths]
    except ValueError:
        return set()
    return {str(network) for network in networks if not any(map(network.overlaps, _SHARED))}


def _is_ours(line: str) -> bool:
    """Whether the sensor could have written it."""
    try:
        check_line(line.encode("ascii") + b"\n")
    except (AssertionError, ValueError, LookupError, TypeError):
        return False
    return True


_VALUES: tuple[object, ...] = (
    *("ban", "watch", "none", "inbound", "outbound", "distributed", "trap", "192.0.2.66", "2001:db8:66::1"),
    *("::ffff:192.0.2.66", "192.0.2.0/24", "2001:db8:66::/64"),
    *("0.0.0.0/0", "x" * 81, "scan", "", "192.0.2.66,192.0.2.67"),
    *(0, 1, -1, 1 << 62, True, False, None, [], list(range(16)), ["192.0.2.66"], {"src_ip": "192.0.2.66"}),
    *CONTROLS,
)


def mutated(data: bytes, random: Random, raw: Raw) -> bytes:
    """Lines with other values, cut, joined or one within another; 16 at once, for speed."""
    lines = data.decode("utf-8", "replace").split("\n")
    return "\n".join(_other(lines, random, raw) for _ in range(16)).encode("utf-8", "replace")


def _other(lines: list[str], random: Random, raw: Raw) -> str:
    one, two = random.choice(lines), random.choice(lines)
    kind = random.randrange(7)
    if kind == 0:
        return one[: random.randrange(len(one) + 1)] + two
    if kind == 1:
        return one[: random.randrange(len(one) + 1)] + two[random.randrange(len(two) + 1) :]
    if kind == 2:
        return one + random.choice(("", "\t", " ", "\x00", "\r", "\u2028", ",")) + two
    if kind == 3:
        return raw(one.encode()).decode("utf-8", "replace").replace("\n", "")
    try:
        record = json.loads(one)
        key = random.choice(list(record))
    except (ValueError, LookupError, TypeError):
        return one
    if not isinstance(record, dict):
        return one
    record[key] = two if kind == 4 else random.choice(_VALUES)
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    # Without its escapes, as no JSON writer would leave it.
    return text.replace('\\"', '"').replace("\n", "") if kind == 5 else text.replace("\n", "")


def seeds() -> list[bytes]:
    """A line of each kind that the scenarios have, and the samples that are made to deceive."""
    hostile = [sample.line.encode() for sample in samples() if not sample.modes]
    some = [*expected_lines("event_type", "verdict", "technique", "source_verified"), *hostile[-40:]]
    return [b"\n".join(some[at : at + 8]) for at in range(0, len(some), 8)]


def adversarial(size: int) -> list[str]:
    """Lines of about this size with as many beginnings of a match as possible."""
    lines = {":" in one.address: one for one in samples() if NETWORK_MODE in one.modes}
    return [line for sample in lines.values() for line in _stretched(sample.line, size)]


def _stretched(line: str, size: int) -> list[str]:
    record = json.loads(line)
    head, address = line.partition(',"state"')[0], record["src_ip"]
    tail = f',"dest_port":23,"src_net":"{record["src_net"]}","schema":1}}'
    units = (',"a":1', ',"a":"x"', ',"a":[1]', ',"dest_port":1', ',"a":"', '"', ",", "a", '{"timestamp":"', ",[")
    addresses = ("1", "1.", ":", "f:", "0:", "::ffff:", "1.1.1.1:")
    years = ("2026-", "2", '{"timestamp":"2026')

    def long(unit: str) -> str:
        return unit * (size // len(unit))

    return [
        *(head + long(unit) + end for unit in units for end in ("", tail, "\\")),
        *(line.replace(address, long(unit)) for unit in addresses),
        *(line.replace("2026", long(unit)) for unit in years),
    ]


def growth(size: int = 160_000) -> list[tuple[str, float]]:
    """How many times longer such lines take when they are eight times as long, in each mode."""
    short, long = (_seconds(adversarial(times * size)) for times in (1, 8))
    return [(mode, long[mode] / short[mode]) for mode in MODES]


def _seconds(lines: list[str]) -> dict[str, float]:
    """The time that the lines take each mode; of five runs the shortest counts, for each line."""
    runs = [reader().read(lines) for _ in range(5)]
    return {
        mode: sum(min(one.seconds for one in same) for same in zip(*(run[mode] for run in runs), strict=True))
        for mode in MODES
    }
