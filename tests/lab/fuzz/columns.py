"""Target `columns`: lines from tshark's pipe, through gate, decoder and all tables, to the event line.

An input is one line, or a few. The engine goes on from input to input, as it does live, and is a new one,
with other settings, after `_INPUTS`. A mutation knows the columns, and what stands in them; one in eight
knows nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network
from random import Random

from portsentry_py.capture.file import replay_lines
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config.settings import Limits, Settings
from portsentry_py.core.columns import COLUMNS
from portsentry_py.core.decode import Discard, decode
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, RST, SYN, Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.sighting import Sighting
from portsentry_py.events.model import to_record
from portsentry_py.sensor.status_reporter import status_event
from tests.lab.fuzz.oracle import check_line, is_canonical, line_of
from tests.lab.fuzz.trial import Raw, Trial
from tests.scenarios.families import SCENARIOS
from tests.support.bounds import held_within
from tests.support.build import FRIEND, HOME, HOST, HOST6, NO_HOME, SCANNER, SCANNER6, START_US, US, strict
from tests.support.paths import CASES

_INPUTS = 5_000
_MOST_SEEDS = 150
_SMALL = Limits(max_sources=16, max_flows=64, max_attempts=64, max_held=64, new_sources_per_second=1)
_SITUATIONS: tuple[tuple[Settings, HostState], ...] = (
    (strict(connections="all", limits=_SMALL), HOME),
    (Settings(limits=replace(_SMALL, new_sources_per_second=100)), US),
    (strict(connections="all", limits=Limits(max_sources=64, max_flows=128, max_attempts=256)), NO_HOME),
    (
        strict(profile="psad", ignore=(ip_network(f"{FRIEND}/32"),), limits=replace(_SMALL, memory_hours=1)),
        HostState(
            own=US.own,
            listening_tcp=frozenset({80, 443}),
            listening_udp=frozenset({53}),
            open_traps=frozenset({23}),
            protected={SCANNER: "gateway"},
            peers=frozenset({SCANNER6}),
        ),
    ),
)
_FIELDS = {title: nth for nth, (title, _) in enumerate(COLUMNS)}
_FIELD_LIMITS = tuple(
    {
        "time_us": 253_402_300_799_000_000,
        "header_bytes": 60,
        "vlan": 4095,
        **dict.fromkeys(("proto", "flags", "ttl"), 255),
        **dict.fromkeys(("src_port", "dest_port", "window"), 65_535),
        **dict.fromkeys(("seq", "ack"), (1 << 32) - 1),
    }.get(name)
    for name in Packet._fields
)


class Sensor:
    """An engine, and the inputs that brought it where it is."""

    def __init__(self, situation: int = 0) -> None:
        self._situation = situation
        settings, host = _SITUATIONS[situation % len(_SITUATIONS)]
        self._limits = settings.limits
        self._engine = Pipeline(settings, host)
        observe = self._engine._protocols.observe

        def watched(packet: Packet) -> Sequence[Sighting]:
            _check_packet(packet)
            return observe(packet)

        self._engine._protocols.observe = watched  # type: ignore[method-assign] # to see each packet
        self.inputs: list[bytes] = []

    def check(self, data: bytes) -> None:
        """Fail if what is said about these lines is not as it must be."""
        self.inputs.append(data)
        for event in self._engine.feed(data.decode("latin-1").split("\n")):
            check_line(line_of(event))

    def end(self) -> None:
        """The input ends: fail if the tables hold too much, or the last lines are not as they must be."""
        held_within(self._engine, self._limits)
        admission = self._engine._admission
        assert len(admission._newer) + len(admission._older) <= self._limits.max_held
        assert self._engine._suppressed.ports <= self._limits.max_held
        for event in self._engine.finish():
            check_line(line_of(event))
        counts = status_event(self._engine, self._engine.last_us, "stopped", "end_of_input")
        assert min(count for count in to_record(counts).values() if isinstance(count, int)) >= 0
        check_line(line_of(counts))

    def next(self) -> Sensor:
        """Another one, in another situation."""
        return Sensor(self._situation + 1)


class Columns(Trial):
    """Inputs that go to one sensor, one after the other."""

    def __init__(self) -> None:
        super().__init__(check)
        self._sensor = Sensor()

    def __call__(self, data: bytes) -> None:
        self._sensor.check(data)
        if len(self._sensor.inputs) >= _INPUTS:
            done, self._sensor = self._sensor, self._sensor.next()
            done.end()

    def reproduction(self) -> bytes:
        """The inputs that led to a failure, as few as they can be, as one; starts again."""
        failed, self._sensor = self._sensor, self._sensor.next()
        inputs = failed.inputs[:]
        size = max(1, len(inputs) // 2)
        while size:
            at = 0
            while at < len(inputs):
                fewer = inputs[:at] + inputs[at + size :]
                if fails(b"\n".join(fewer), failed._situation):
                    inputs = fewer
                else:
                    at += size
            size //= 2
        return b"\n".join(inputs)


def fails(data: bytes, situation: int) -> bool:
    """Whether an input by itself makes a sensor fail."""
    sensor = Sensor(situation)
    try:
        sensor.check(data)
        sensor.end()
    except Exception:  # noqa: BLE001 - whatever it is
        return True
    return False


def check(data: bytes) -> None:
    """An input by itself, in every situation."""
    for situation in range(len(_SITUATIONS)):
        sensor = Sensor(situation)
        sensor.check(data)
        sensor.end()


def _check_packet(packet: Packet) -> None:
    for content, most in zip(packet, _FIELD_LIMITS, strict=True):
        assert most is None or (isinstance(content, int) and 0 <= content <= most), packet
    assert is_canonical(packet.src), packet
    assert is_canonical(packet.dst), packet


# What stands in the columns, and what could.
_ADDRESSES = (SCANNER, SCANNER6, FRIEND, HOST, HOST6, "192.0.2.77", "2001:db8:1::77", "203.0.113.10", "10.0.0.1")
_ODD_ADDRESSES = (
    *("255.255.255.255", "224.0.0.1", "0.0.0.0", "127.0.0.1", "169.254.1.1", "::", "::1", "ff02::1"),
    *("fe80::1", "fe80::1%eth0", "::ffff:192.0.2.10", "::FFFF:203.0.113.9", "2001:DB8:BAD::9", "192.0.2.010"),
    *("02:00:00:00:00:01", "Broadcast", "", "203.0.113.9,192.0.2.1", "203.0.113.9\x1b[31m", "64:ff9b::1"),
)
_PROTOS = (
    *("6", "17", "1", "58", "132", "47", "4,6", "41,58", "0,6", "44,17", "47,6", "50", "255", "256", "-6", ""),
    # as tshark 3.6 prints them
    *("TCP", "UDP", "IPIP,TCP", "Destination Options for IPv6,ICMPv6", "Unassigned"),
)
_MORE_VALUES = ("", "0", "1", "False", "True", "Not set", "Set", "No", "Yes", "0,0", "0,1", "185", "1480")
_PORTS = (0, 1, 7, 11, 19, 22, 23, 53, 67, 80, 123, 443, 1023, 1024, 8080, 32_768, 33_434, 40_000, 65_535)
_TTLS = ("64", "1", "0", "255", "256", "", "64,1", "-1", "x")
_INTERFACES = ("eth0", "", "br-1@if2", "eth0,eth1", 'a"b', "\x1b[31m", "x" * 65, "é")
_NUMBERS = ("", "0", "7", "4095", "4096", "7,8", "1_0", "+1", "0x10", "٣".encode().decode("latin-1"))
_IDS = ("0x0000", "0xd431", "0xd431 (54321)", "", "0x1,0x2", "-0x1", "y", "0xfffff")
_TIMES = ("", "0", "-1.5", "1.5.5", "nan", "inf", "1e300", "9999999999.999999", "253402300799.999999", "1_0.0")
_FLAGS = (SYN, SYN, SYN | ACK, RST, RST | ACK, FIN, FIN | ACK, 0, 0x29, 0xFF, ACK, SYN | FIN)
_CUTS = ("\xe2\x80\xa6", ",", " ", "..", "zz", "…".encode().decode("latin-1"))


def mutated(data: bytes, random: Random, raw: Raw) -> bytes:
    """Another input made of one; `raw` makes another of any bytes."""
    if random.random() < 1 / 8:
        return raw(data)
    line = random.choice(data.split(b"\n")).decode("latin-1")
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        cells = _probe(random)
    _clock[0] += random.choice((0, 1, 1000, 200_000, 1_100_000, 3_100_000, 61_000_000, -5))
    cells[0] = f"{_clock[0] // 1_000_000}.{_clock[0] % 1_000_000:06d}"
    change = random.choice(_CHANGES)
    return "\n".join("\t".join(some) for some in change(cells, random, raw)).encode("latin-1", "replace")


_clock = [START_US]


def _probe(random: Random) -> list[str]:
    """The cells of a plain packet."""
    cells = [""] * len(COLUMNS)
    cells[_FIELDS["src"]], cells[_FIELDS["dst"]] = random.choice(_ADDRESSES), random.choice((HOST, HOST6))
    cells[_FIELDS["proto"]], cells[_FIELDS["ttl"]] = random.choice(_PROTOS[:5]), "64"
    cells[_FIELDS["data"]] = _segment(random, random.choice(_PORTS), random.choice(_PORTS))
    return cells


def _segment(random: Random, src_port: int, dest_port: int) -> str:
    words, flags = random.choice((5, 5, 6, 7, 10, 4, 15)), random.choice(_FLAGS)
    window = random.choice((0, 512, 1024, 16_384, 65_535))
    numbers = random.choice((0, 1, 5001, 0xC000020A)), random.choice((0, 1001, 5002))
    head = struct.pack("!HHIIBBHHH", src_port, dest_port, *numbers, words << 4, flags, window, 0, 0)
    return head.hex() + random.choice(("", "020405b4", "020405b40402080a00000001000000000103030a"))


def _new(_cells: list[str], random: Random, _raw: object) -> Iterable[list[str]]:
    fresh = _probe(random)
    fresh[0] = _cells[0]
    return [fresh]


def _other_cell(cells: list[str], random: Random, raw: Raw) -> Iterable[list[str]]:
    at = random.randrange(len(cells))
    pools = {
        "time": _TIMES,
        "src": _ADDRESSES if random.random() < 1 / 2 else _ODD_ADDRESSES,
        "dst": _ADDRESSES if random.random() < 1 / 2 else _ODD_ADDRESSES,
        "proto": _PROTOS,
        "ttl": _TTLS,
        "iface": _INTERFACES,
        "vlan": _NUMBERS,
        "id": _IDS,
        **dict.fromkeys(("offset", "more", "whole"), _MORE_VALUES),
    }
    title = COLUMNS[at][0]
    if title == "data":
        return _other_data(cells, random, raw)
    if random.random() < 1 / 8:
        cells[at] = raw(cells[at].encode("latin-1", "replace")).decode("latin-1").replace("\n", "")
    else:
        cells[at] = random.choice(pools[title])
    return [cells]


def _other_data(cells: list[str], random: Random, raw: Raw) -> Iterable[list[str]]:
    text = cells[_FIELDS["data"]]
    kind = random.randrange(6)
    if kind == 0:
        text = raw(text.encode("latin-1", "replace")).decode("latin-1").replace("\n", "").replace("\t", "")
    elif kind == 1:
        text = text[: random.randrange(len(text) + 1)] + random.choice(("", *_CUTS))
    elif kind == 2:  # as tshark 4.4 prints it
        text = ":".join(text[at : at + 2] for at in range(0, len(text), 2))
    elif kind == 3:
        text = raw(bytes.fromhex(text) if _is_hex(text) else b"").hex()
    elif kind == 4:
        text = _quotation(cells, random)
    else:
        text = _segment(random, random.choice(_PORTS), random.choice(_PORTS))
    cells[_FIELDS["data"]] = text
    return [cells]


def _quotation(cells: list[str], random: Random) -> str:
    """An ICMP error about a packet of the other side."""
    src, dst = cells[_FIELDS["dst"]], cells[_FIELDS["src"]]
    version = 6 if ":" in dst else 4
    cells[_FIELDS["proto"]] = "58" if version == 6 else "1"
    head = bytes([random.choice((1, 3, 4, 5, 11, 12, 8, 128)), random.randrange(16), 0, 0, 0, 0, 0, 0])
    inner = bytes.fromhex(_segment(random, random.choice(_PORTS), random.choice(_PORTS)))
    if version == 6:
        around = struct.pack("!IHBB", 6 << 28, len(inner), random.choice((6, 17, 58)), 64)
    else:
        first = random.choice((0x45, 0x46, 0x4F, 0x40))
        around = struct.pack("!BBHHHBBH", first, 0, 0, 0, 0, 64, random.choice((6, 17, 1, 132)), 0)
    return (head + around + _packed(dst) + _packed(src) + inner).hex()[: 2 * random.choice((36, 36, 60, 400))]


def _packed(address: str) -> bytes:
    from ipaddress import ip_address  # noqa: PLC0415 - one use

    try:
        return ip_address(address).packed
    except ValueError:
        return bytes(4)


def _answer(cells: list[str], random: Random, _raw: object) -> Iterable[list[str]]:
    """The packet, and one back."""
    src, dst, data = _FIELDS["src"], _FIELDS["dst"], cells[_FIELDS["data"]]
    back = [*cells]
    back[src], back[dst] = cells[dst], cells[src]
    if _is_hex(data) and len(data) >= 28:
        flags = f"{random.choice((SYN | ACK, RST | ACK, RST, FIN | ACK)):02x}"
        back[_FIELDS["data"]] = data[4:8] + data[:4] + data[8:26] + flags + data[28:]
    return [cells, back] if random.random() < 3 / 4 else [back]


def _burst(cells: list[str], random: Random, _raw: object) -> Iterator[list[str]]:
    """The packet to one port after the other, or from one source after the other."""
    first, step = random.choice(_PORTS), random.choice((0, 1, 1, 7))
    sources = random.choice((False, False, True))
    for nth in range(random.choice((3, 4, 9))):
        one = [*cells]
        port = (first + nth * step) & 0xFFFF
        one[_FIELDS["data"]] = f"{cells[_FIELDS['data']][:4]:0<4}{port:04x}{cells[_FIELDS['data']][8:]}"
        if sources:
            one[_FIELDS["src"]] = f"203.0.113.{random.randrange(256)}"
        yield one


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True


_CHANGES = (_new, _other_cell, _other_cell, _other_cell, _other_data, _other_data, _answer, _burst)


def seeds() -> list[bytes]:
    """Lines of the repository's own captures, as tshark prints them: one of each shape."""
    shapes: dict[tuple[object, ...], str] = {}
    tools = find_tools()
    for name in sorted(name for name, made in SCENARIOS.items() if made.committed):
        for lines in replay_lines(tools, CASES / name / "capture.pcap"):
            for line in lines:
                shapes.setdefault(_shape(line), line)
    return [line.encode("latin-1") for line in list(shapes.values())[:_MOST_SEEDS]]


def _shape(line: str) -> tuple[object, ...]:
    packet = decode(line)
    if isinstance(packet, Discard):
        return (packet,)
    return (packet.proto, packet.flags, packet.src_port < 1024, packet.header_bytes, ":" in packet.src, packet.vlan)
