"""What a reply, or silence, says about a port: the table of nmap(1), "Port scanning techniques", on RFC 9293.

Pure. RFC 9293 section 3.10.7: a closed port answers everything but a RST with RST, and an open one ignores a segment
without SYN, ACK and RST.
"""

from typing import Final

from portsentry_py.checks.scan.model import Method, State
from portsentry_py.checks.scan.replies import Reply
from portsentry_py.core.packet import ACK, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP

_SCTP_INIT_ACK, _SCTP_ABORT = 2, 6  # RFC 9260 section 3.2
_UNREACHABLE, _PORT_UNREACHABLE = 3, 3  # RFC 792
_FILTERED_CODES: Final = {0, 1, 2, 3, 9, 10, 13}  # RFC 792, RFC 1122, RFC 1812
_UNREACHABLE6, _PORT_UNREACHABLE6 = 1, 4  # RFC 4443
_FILTERED_CODES6: Final = {0, 1, 2, 3, 4, 5, 6}
_SILENCE: Final[dict[Method, State]] = {
    **dict.fromkeys(("connect", "syn", "ack", "window", "sctp-init"), "filtered"),
    **dict.fromkeys(("null", "fin", "xmas", "maimon", "udp"), "open|filtered"),
}
_BY_RESET: Final[dict[Method, State]] = {
    **dict.fromkeys(("syn", "null", "fin", "xmas", "maimon"), "closed"),
    "ack": "unfiltered",
}
_BY_CHUNK: Final[dict[int, State]] = {_SCTP_INIT_ACK: "open", _SCTP_ABORT: "closed"}


def silence(method: Method) -> State:
    """The state of a port that never answered."""
    return _SILENCE[method]


def state_of(method: Method, reply: Reply) -> State | None:
    """The state that a reply to a probe proves; None if it proves none."""
    if reply.protocol in {ICMP, ICMPV6}:
        return _by_error(method, reply)
    if method == "udp":
        return "open" if reply.protocol == UDP else None
    if method == "sctp-init":
        return _by_chunk(reply)
    return _by_segment(method, reply) if reply.protocol == TCP else None


def _by_segment(method: Method, reply: Reply) -> State | None:
    if reply.kind & RST:
        if method == "window":
            return "open" if reply.window else "closed"
        return _BY_RESET.get(method)
    return "open" if method == "syn" and reply.kind & (SYN | ACK) == SYN | ACK else None


def _by_chunk(reply: Reply) -> State | None:
    return _BY_CHUNK.get(reply.kind) if reply.protocol == SCTP else None


def _by_error(method: Method, reply: Reply) -> State | None:
    """Only the host itself can say that a UDP port of it is closed; a router that says so filters."""
    kind, code = divmod(reply.kind, 256)
    expected, codes, port_code = (
        (_UNREACHABLE, _FILTERED_CODES, _PORT_UNREACHABLE)
        if reply.protocol == ICMP
        else (_UNREACHABLE6, _FILTERED_CODES6, _PORT_UNREACHABLE6)
    )
    if kind != expected or code not in codes:
        return None
    return "closed" if method == "udp" and code == port_code and reply.sender == reply.host else "filtered"
