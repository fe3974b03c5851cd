"""Segments whose first bytes tell enough: they need not be decoded if their flow is known."""

from portsentry_py.core.columns import (
    ACCEPTING_FLAGS,
    ACK_NUMBER,
    DEST_PORT,
    ENDS,
    FLAGS,
    HEADER_WORDS,
    SEQ_NUMBER,
    SRC_PORT,
    Head,
)
from portsentry_py.core.flow import UNANSWERED_STATES, Flow
from portsentry_py.core.flows import FlowTable
from portsentry_py.core.packet import TCP

_LEAST_WORDS = "5"  # of a TCP header, RFC 9293; as hex digits sort


class FlowHeads:
    """Looks up the flow of a segment by its head.

    Args:
        flows: the flows that are known.
    """

    def __init__(self, flows: FlowTable) -> None:
        self._flows = flows
        self._served = flows.served
        self._home = flows.home

    def is_own_end(self, head: Head) -> bool:
        """Whether a FIN with ACK is a server's of this host: it tells nothing, and the kernel's filter drops it live.

        Of a port that is known to have answered; the end of a connection that this host opened from there is another.
        """
        _, src, digits, dst, proto = head
        try:
            port, dest_port = int(digits[SRC_PORT], 16), int(digits[DEST_PORT], 16)
        except ValueError:
            return False
        if proto != "tcp" or port not in self._served.numbers or not self._served.has_answered((src, "port", port)):
            return False
        return not self._flows.outbound.holds((TCP, src, port, dst, dest_port))

    def ending(self, head: Head) -> tuple[Flow, int] | None:
        """The flow that its initiator's FIN with ACK ends, and what it acknowledges; None if it has to be decoded.

        Where the flow came from outside and had an answer or a refusal, the head tells all: the addresses and ports are
        those of a packet that was decoded.
        """
        _, src, digits, dst, _ = head
        try:
            ports, ack = int(digits[ENDS], 16), int(digits[ACK_NUMBER], 16)
        except ValueError:
            return None
        key = (TCP, src, ports >> 16, dst, ports & 0xFFFF)
        flow = self._flows.inbound.peek(key)
        if flow is None or flow.state in UNANSWERED_STATES or digits[HEADER_WORDS] < _LEAST_WORDS:
            return None
        self._flows.inbound.renew(key)
        return flow, ack

    def accepting(self, head: Head) -> tuple[Flow, int] | None:
        """The flow that a SYN-ACK accepts, and its sequence number; None if it has to be decoded.

        Where the flow came from outside to a served port, its head tells all, as that of an end does.
        """
        _, src, digits, dst, _ = head
        try:
            ports, seq = int(digits[ENDS], 16), int(digits[SEQ_NUMBER], 16)
        except ValueError:
            return None
        key = (TCP, dst, ports & 0xFFFF, src, ports >> 16)
        flow = self._flows.inbound.peek(key)
        if flow is None or flow.state in UNANSWERED_STATES or digits[HEADER_WORDS] < _LEAST_WORDS:
            return None
        if flow.scan_type == "unseen" or (flow.our_seq is not None and flow.our_seq != seq):
            return None  # perhaps it answers another first segment, which was not seen
        self._flows.inbound.renew(key)
        return flow, seq

    def answers_unseen(self, head: Head) -> bool:
        """Whether a SYN-ACK or RST of ours answers a segment that was not seen."""
        _, src, digits, dst, _ = head
        try:
            ports = int(digits[ENDS], 16)
            port, dest_port = ports >> 16, ports & 0xFFFF
            if self._flows.inbound.holds((TCP, dst, dest_port, src, port)):
                return False
            accepts = digits[FLAGS] in ACCEPTING_FLAGS
            if self._served.is_open_trap("tcp", port) if accepts else self._home.has(dst):
                return False
            return self._flows.is_answer(src, port, dst, dest_port)
        except ValueError:  # no ports, or no address
            return False
