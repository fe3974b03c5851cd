"""A flow: the first packet between two endpoints, and how it was answered."""

import enum

from portsentry_py.core.packet import ICMP, ICMPV6, Packet, Quoted
from portsentry_py.events.model import Direction, ScanType

FlowKey = tuple[int, str, int, str, int]
"""Protocol, source, its port, target, its port."""


class FlowState(enum.IntEnum):
    """How a flow's first packet was answered. Numbers, because they are looked up for each packet."""

    PENDING = enum.auto()
    ANSWERED = enum.auto()
    REFUSED = enum.auto()
    SILENT = enum.auto()
    SERVED = enum.auto()  # its port is known to be served, so an answer tells nothing new
    EXPECTED = enum.auto()  # we asked for it over another channel, so nothing that becomes of it is evidence


ANSWERED_STATES = frozenset({FlowState.ANSWERED, FlowState.SERVED})
UNANSWERED_STATES = frozenset({FlowState.PENDING, FlowState.SILENT})


class Flow:
    """An attempt: its first packet, and how it was answered."""

    __slots__ = (
        "answered_us",
        "answers",
        "direction",
        "has_ended",
        "is_repeated",
        "our_seq",
        "probe",
        "repeats",
        "scan_type",
        "state",
    )

    def __init__(self, probe: Packet, scan_type: ScanType, direction: Direction) -> None:
        self.probe = probe
        self.scan_type = scan_type
        self.direction = direction
        self.state = FlowState.PENDING
        self.our_seq: int | None = None  # of our SYN-ACK
        self.answered_us = 0  # when the first SYN-ACK was sent
        self.is_repeated = False  # the SYN-ACK was sent again: the first one was not acknowledged
        self.has_ended = False  # by a FIN or RST
        self.repeats = 0  # of the probe, while nobody answers
        self.answers = 0  # to a probe of ours


def key_of(packet: Packet) -> FlowKey:
    """The flow that a packet of its initiator belongs to."""
    return (packet.proto, packet.src, packet.src_port, packet.dst, packet.dest_port)


def reverse_key_of(packet: Packet) -> FlowKey:
    """The flow that a packet of its responder belongs to."""
    return (packet.proto, packet.dst, packet.dest_port, packet.src, packet.src_port)


def quoted_key_of(quoted: Quoted, has_ports: bool) -> FlowKey:
    """The flow that a quoted packet belongs to; ICMP's type, else the protocol, takes the place of a port."""
    if has_ports:
        return (quoted.proto, quoted.src, quoted.src_port, quoted.dst, quoted.dest_port)
    number = quoted.src_port >> 8 if quoted.proto in {ICMP, ICMPV6} else quoted.proto
    return (quoted.proto, quoted.src, 0, quoted.dst, number)
