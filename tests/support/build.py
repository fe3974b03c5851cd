"""Builders of traffic, as lines of tshark and as frames of a capture file.

Everything has a default: a test names only what it is about.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

from hypothesis import settings as hypothesis_settings

from portsentry_py.capture.loss import LossAccounting
from portsentry_py.config.settings import Detectors, PortScan, Settings, Traps
from portsentry_py.core.columns import COLUMNS
from portsentry_py.core.decode import decode
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, ICMP, ICMPV6, PSH, RST, SYN, TCP, UDP, URG, Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import (
    ConnectionEvent,
    Event,
    EvidenceEvent,
    ScanEvent,
    StatusEvent,
    TrapEvent,
    to_record,
)
from portsentry_py.output.json_log import json_line
from portsentry_py.state.codec import encode
from tests.support import pcap

SCANNER = "203.0.113.9"
SCANNER6 = "2001:db8:bad::9"
FRIEND = "198.51.100.7"
HOST = "192.0.2.10"
HOST6 = "2001:db8:1::10"
US = HostState(own=frozenset({HOST, HOST6}))
# Two networks that count as ours.
HOME = HostState(own=US.own, home=(ip_network("192.0.2.0/24"), ip_network("2001:db8:1::/64")))
# A replay without `--home`.
NO_HOME = HostState(home_known=False)
START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000

# A test must not fail because the machine is busy.
no_deadline = hypothesis_settings(deadline=None)

# The options of an operating system's connect(): MSS, SACK permitted, timestamps, no-op, window scale.
STACK_OPTIONS = bytes.fromhex("020405b40402080a00000001000000000103030a")
MSS_OPTION = bytes.fromhex("020405b4")
_SHOWN_BYTES = 36


def micros(seconds: float) -> int:
    """A time in microseconds, from seconds after the start of the traffic."""
    return START_US + round(seconds * SECOND_US)


@dataclasses.dataclass(frozen=True)
class Sent:
    time_us: int
    src: str
    dst: str
    proto: int
    payload: bytes
    ttl: int = 64
    ip_id: int = 0
    vlan: int = 0
    iface: str = ""

    @property
    def src_port(self) -> int:
        return int.from_bytes(self.payload[:2], "big")

    @property
    def dest_port(self) -> int:
        return int.from_bytes(self.payload[2:4], "big")

    @property
    def seq(self) -> int:
        return int.from_bytes(self.payload[4:8], "big")

    def at(self, seconds: float) -> Sent:
        return dataclasses.replace(self, time_us=micros(seconds))

    def later(self, seconds: float) -> Sent:
        return dataclasses.replace(self, time_us=self.time_us + round(seconds * SECOND_US))

    @property
    def line(self) -> str:
        """The line that tshark prints."""
        shown = self.payload.hex()
        if len(self.payload) > _SHOWN_BYTES:
            shown = self.payload[:_SHOWN_BYTES].hex() + "…"
        family = {} if ":" in self.dst else {"id": f"0x{self.ip_id:04x}", "offset": "0", "more": "0"}
        return line(
            time=f"{self.time_us // SECOND_US}.{self.time_us % SECOND_US:06d}",
            src=self.src,
            data=shown,
            dst=self.dst,
            proto=str(self.proto),
            ttl=str(self.ttl),
            vlan=str(self.vlan or ""),
            iface=self.iface,
            **family,
        )

    @property
    def packet(self) -> Packet:
        packet = decode(self.line)
        assert isinstance(packet, Packet), packet
        return packet

    @property
    def frame(self) -> bytes:
        """The Ethernet frame; checksums are zero."""
        src, dst = ip_address(self.src).packed, ip_address(self.dst).packed
        ethertype = b"\x08\x00" if len(src) == len(ip_address(HOST).packed) else b"\x86\xdd"
        if ethertype == b"\x08\x00":
            size = 20 + len(self.payload)
            head = struct.pack("!BBHHHBBH", 0x45, 0, size, self.ip_id, 0, self.ttl, self.proto, 0)
        else:
            head = struct.pack("!IHBB", 0x60000000, len(self.payload), self.proto, self.ttl)
        tag = struct.pack("!HH", 0x8100, self.vlan) if self.vlan else b""
        macs = bytes.fromhex("020000000001020000000002")
        return macs + tag + ethertype + head + src + dst + self.payload


Traffic = Sent | str | Iterable["Traffic"]


def line(**cells: str) -> str:
    """A line of tshark's columns by their titles; columns that are not named are empty."""
    unknown = set(cells) - {title for title, _ in COLUMNS}
    assert not unknown, f"no such column: {unknown}"
    return "\t".join(cells.get(title, "") for title, _ in COLUMNS)


def cells(line: str) -> dict[str, str]:
    """The cells of a line by their titles."""
    return dict(zip((title for title, _ in COLUMNS), line.split("\t"), strict=True))


def with_cells(given: str, **others: str) -> str:
    return line(**{**cells(given), **others})


def tcp(
    src: str,
    dst: str,
    src_port: int,
    dest_port: int,
    flags: int,
    *,
    at: float = 0.0,
    seq: int = 1000,
    ack: int = 0,
    options: bytes = b"",
    data: bytes = b"",
    vlan: int = 0,
    ttl: int = 64,
) -> Sent:
    words = (20 + len(options)) // 4
    head = struct.pack("!HHIIBBHHH", src_port, dest_port, seq, ack, words << 4, flags, 1024, 0, 0)
    return Sent(micros(at), src, dst, TCP, head + options + data, ttl=ttl, vlan=vlan)


def syn(
    src: str,
    *ports: int,
    dst: str = "",
    src_port: int = 40_000,
    at: float = 0.0,
    every: float = 0.01,
    options: bytes = MSS_OPTION,
    flags: int = SYN,
    seq: int = 1000,
    vlan: int = 0,
) -> list[Sent]:
    """One raw SYN to each port of the host, as a SYN scanner sends them."""
    target = dst or (HOST6 if ":" in src else HOST)
    return [
        tcp(src, target, src_port, port, flags, at=at + nth * every, seq=seq, options=options, vlan=vlan)
        for nth, port in enumerate(ports)
    ]


def home_hosts(count: int, *, family: int = 4) -> list[str]:
    """Addresses in HOME."""
    return [f"192.0.2.{20 + nth}" if family == 4 else f"2001:db8:1::{20 + nth:x}" for nth in range(count)]


def across(
    src: str, hosts: Iterable[str], *ports: int, at: float = 0.0, every: float = 0.01, ttl: int = 64
) -> list[Sent]:
    """A SYN to each port of each host, as an operating system sends it."""
    pairs = [(host, port) for host in hosts for port in ports]
    return [
        tcp(src, host, 41_000 + nth, port, SYN, at=at + nth * every, seq=7 + nth, options=STACK_OPTIONS, ttl=ttl)
        for nth, (host, port) in enumerate(pairs)
    ]


def connect(src: str, *ports: int, dst: str = "", at: float = 0.0, every: float = 0.01) -> list[Sent]:
    """A SYN to each port, with the options of an operating system and from a port of its own."""
    return [
        packet
        for nth, port in enumerate(ports)
        for packet in syn(src, port, dst=dst, src_port=50_000 + nth, at=at + nth * every, options=STACK_OPTIONS)
    ]


def syn_ack(asked: Sent, *, after: float = 0.001, seq: int = 5000) -> Sent:
    """The answer of a port that is served."""
    return _reply(asked, SYN | ACK, after, seq=seq, ack=asked.seq + 1)


def rst(asked: Sent, *, after: float = 0.001) -> Sent:
    """The answer of a closed port."""
    return _reply(asked, RST | ACK, after, seq=0, ack=asked.seq + 1)


def fin_ack(asked: Sent, *, ack: int = 5001, after: float = 0.01) -> Sent:
    """The initiator closes the session that `asked` opened; the default acknowledges `syn_ack`."""
    return _again(asked, FIN | ACK, after, ack)


def rst_ack(asked: Sent, *, ack: int = 5001, after: float = 0.01) -> Sent:
    """The initiator resets the session, as a connect scanner does."""
    return _again(asked, RST | ACK, after, ack)


def visit(src: str, *ports: int, dst: str = "", at: float = 0.0, every: float = 0.05) -> list[Sent]:
    """Ordinary sessions with served ports: SYN, SYN-ACK, FIN from both sides."""
    return [
        packet
        for asked in connect(src, *ports, dst=dst, at=at, every=every)
        for packet in (
            asked,
            syn_ack(asked),
            fin_ack(asked, after=0.02),
            _reply(asked, FIN | ACK, 0.021, seq=5001, ack=1002),
        )
    ]


def refused(*probes: list[Sent]) -> list[Sent]:
    """Each probe with the RST that a closed port answers."""
    return [packet for some in probes for probe in some for packet in (probe, rst(probe))]


def udp(
    src: str,
    *ports: int,
    dst: str = "",
    src_port: int = 40_000,
    at: float = 0.0,
    every: float = 0.01,
    data: bytes = b"\0" * 8,
) -> list[Sent]:
    """One datagram to each port of the host."""
    target = dst or (HOST6 if ":" in src else HOST)
    return [
        Sent(micros(at + nth * every), src, target, UDP, struct.pack("!HHHH", src_port, port, 8 + len(data), 0) + data)
        for nth, port in enumerate(ports)
    ]


def udp_reply(asked: Sent, *, after: float = 0.001) -> Sent:
    payload = struct.pack("!HHHH", asked.dest_port, asked.src_port, 12, 0) + b"okay"
    return dataclasses.replace(_turned(asked, after), payload=payload)


def icmp_unreachable(asked: Sent, *, code: int = 3, router: str = "", after: float = 0.001) -> Sent:
    """The ICMP (or ICMPv6) error that quotes `asked`; from the host itself or a router before it."""
    src, dst = ip_address(asked.src).packed, ip_address(asked.dst).packed
    if ":" in asked.src:
        quoted = struct.pack("!IHBB", 0x60000000, len(asked.payload), asked.proto, 64) + src + dst
        proto, kind = ICMPV6, 1
    else:
        quoted = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(asked.payload), 0, 0, 64, asked.proto, 0)
        quoted += src + dst
        proto, kind = ICMP, 3
    payload = bytes([kind, code, 0, 0, 0, 0, 0, 0]) + quoted + asked.payload[:8]
    turned = _turned(asked, after)
    return dataclasses.replace(turned, src=router or asked.dst, proto=proto, payload=payload)


def null(src: str, *ports: int, at: float = 0.0) -> list[Sent]:
    """Segments without any flag."""
    return syn(src, *ports, at=at, flags=0)


def fin(src: str, *ports: int, at: float = 0.0) -> list[Sent]:
    """FIN alone."""
    return syn(src, *ports, at=at, flags=FIN)


def xmas(src: str, *ports: int, at: float = 0.0) -> list[Sent]:
    """FIN, PSH and URG."""
    return syn(src, *ports, at=at, flags=FIN | PSH | URG)


def watch(watcher: Pipeline | Settings, *traffic: Traffic) -> list[Event]:
    """The events of the traffic.

    With settings, a new pipeline on HOST and HOST6 takes the traffic to its end; a pipeline goes on from
    where it is, and its input does not end.
    """
    pipeline = watcher if isinstance(watcher, Pipeline) else Pipeline(watcher, US)
    events = list(pipeline.feed(lines(*traffic)))
    if pipeline is not watcher:
        events += pipeline.finish()
    return events


def watch_as(host: HostState, *traffic: Traffic, settings: Settings | None = None) -> list[Event]:
    """The events of the traffic to its end on that host, with the default settings if none are given."""
    pipeline = Pipeline(settings or Settings(), host)
    return [*watch(pipeline, *traffic), *pipeline.finish()]


def lines(*traffic: Traffic) -> list[str]:
    """The lines of the traffic, in the order given."""
    found: list[str] = []
    for some in traffic:
        if isinstance(some, Sent):
            found.append(some.line)
        elif isinstance(some, str):
            found.append(some)
        else:
            found += lines(*some)
    return found


def in_time(*traffic: list[Sent]) -> list[Sent]:
    return sorted((packet for some in traffic for packet in some), key=lambda packet: packet.time_us)


def evidence(events: Iterable[Event]) -> list[EvidenceEvent]:
    """The `scan` and `trap` lines."""
    return [event for event in events if isinstance(event, EvidenceEvent)]


def scans(events: Iterable[Event], technique: str = "") -> list[ScanEvent]:
    """The `scan` lines, of one technique alone if it is named: other detectors may report the same traffic."""
    return [one for one in events if isinstance(one, ScanEvent) and technique in {"", one.technique}]


def traps(events: Iterable[Event]) -> list[TrapEvent]:
    return [event for event in events if isinstance(event, TrapEvent)]


def connections(events: Iterable[Event]) -> list[ConnectionEvent]:
    return [event for event in events if isinstance(event, ConnectionEvent)]


def connection_events(count: int = 3) -> list[ConnectionEvent]:
    """So many `connection` lines, each about another port."""
    found = connections(watch(strict(), refused(syn(SCANNER, *range(100, 100 + count)))))
    assert len(found) == count
    return found


def statuses(events: Iterable[Event]) -> list[StatusEvent]:
    return [event for event in events if isinstance(event, StatusEvent)]


def records(events: Iterable[Event], *without: str) -> list[dict[str, object]]:
    """The lines as mappings, without some keys."""
    return [{key: content for key, content in to_record(event).items() if key not in without} for event in events]


def log_lines(events: Iterable[Event]) -> list[bytes]:
    """The lines as the log has them, each with its end of line."""
    return [json_line(event) for event in events]


def strict(**changes: object) -> Settings:
    """Settings with a port scan of four ports in ten seconds and few traps, for short tests."""
    settings = Settings(
        state="off",
        traps=Traps(tcp=frozenset({11, 23}), udp=frozenset({19})),
        detectors=Detectors(port_scan=PortScan(min_ports=4, window_seconds=10)),
    )
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type] # fields of any type


def write_pcap(path: Path, *traffic: list[Sent]) -> Path:
    """A pcap file of Ethernet frames, in the order given."""
    return pcap.write(path, ((packet.time_us, packet.frame) for some in traffic for packet in some))


def write_pcapng(path: Path, interface: str, *traffic: list[Sent]) -> Path:
    """A pcapng file whose packets came through one interface of that name."""
    name = interface.encode()
    option = struct.pack("<HH", 2, len(name)) + _padded(name) + struct.pack("<HH", 0, 0)
    parts = [
        _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)),
        _block(1, struct.pack("<HHI", 1, 0, 65_535) + option),
    ]
    for packet in (packet for some in traffic for packet in some):
        high, low = divmod(packet.time_us, 1 << 32)
        size = len(packet.frame)
        parts.append(_block(6, struct.pack("<IIIII", 0, high, low, size, size) + _padded(packet.frame)))
    path.write_bytes(b"".join(parts))
    return path


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)


def _turned(asked: Sent, after: float) -> Sent:
    return dataclasses.replace(asked.later(after), src=asked.dst, dst=asked.src)


def _reply(asked: Sent, flags: int, after: float, *, seq: int, ack: int) -> Sent:
    segment = tcp(asked.dst, asked.src, asked.dest_port, asked.src_port, flags, seq=seq, ack=ack)
    return dataclasses.replace(segment, time_us=asked.later(after).time_us, vlan=asked.vlan)


def _again(asked: Sent, flags: int, after: float, ack: int) -> Sent:
    segment = tcp(asked.src, asked.dst, asked.src_port, asked.dest_port, flags, seq=asked.seq + 1, ack=ack)
    return dataclasses.replace(segment, time_us=asked.later(after).time_us, ttl=asked.ttl)


def ping(src: str, dst: str, *, at: float = 0.0, number: int = 1) -> Sent:
    return Sent(micros(at), src, dst, ICMP, struct.pack("!BBHHH", 8, 0, 0, 77, number) + b"\0" * 8)


def pong(asked: Sent, *, after: float = 0.001) -> Sent:
    return dataclasses.replace(_turned(asked, after), payload=b"\0" + asked.payload[1:])


def in_tunnel(inner: Sent, src: str, dst: str = HOST) -> Sent:
    """The packet inside an IP-in-IP tunnel between two addresses."""
    return Sent(inner.time_us, src, dst, 4, inner.frame[14:])


@dataclasses.dataclass(frozen=True)
class Fragment(Sent):
    """A fragment of an IPv4 packet; its frame is meaningful, its line is not."""

    offset: int = 0
    more: bool = False

    @property
    def frame(self) -> bytes:
        """The Ethernet frame of the fragment; untagged."""
        whole = super().frame
        return whole[:20] + struct.pack("!H", self.more << 13 | self.offset // 8) + whole[22:]


def fragments(whole: Sent, *, ip_id: int, size: int = 8) -> list[Sent]:
    """The packet in fragments of `size` bytes, as `nmap -f` cuts it."""
    cuts = range(0, len(whole.payload), size)
    return [
        Fragment(
            *(whole.time_us + nth, whole.src, whole.dst, whole.proto, whole.payload[at : at + size]),
            ttl=whole.ttl,
            ip_id=ip_id,
            offset=at,
            more=at != cuts[-1],
        )
        for nth, at in enumerate(cuts)
    ]


def lost(dropped: int) -> LossAccounting:
    """The accounts of a capture that lost so many packets."""
    accounts = LossAccounting()
    accounts.dropped = dropped
    return accounts


def encoded(pipeline: Pipeline) -> Iterator[bytes]:
    """The state of a pipeline, as the checkpoint writes it."""
    return encode(pipeline.state(), pipeline.settled_us)
