"""A secret in every probe, so that nobody who does not see the probes can answer them."""

import struct
from hashlib import blake2b

from portsentry_py.checks.scan.model import Method
from portsentry_py.checks.scan.replies import Reply
from portsentry_py.core.packet import ACK, ICMP, ICMPV6, RST, SCTP, TCP

MAX_ATTEMPTS = 10
FIRST_SOURCE_PORT = 0x8000
_DIGEST = struct.Struct("!HI")
_PLACE = struct.Struct("!HB")
_WRAP = 0xFFFFFFFF
_WITH_ACK: frozenset[Method] = frozenset({"maimon", "ack", "window"})


class Cookies:
    """The source port and the number of each probe: a keyed hash of host, port and attempt.

    The number is TCP's sequence number, and its acknowledgement number where the method sets ACK, or SCTP's
    initiate tag. A forger who does not see the probe guesses 47 bits, with UDP 15.
    """

    def __init__(self, method: Method, secret: bytes) -> None:
        self._method = method
        self._secret = secret

    def of(self, host: bytes, port: int, attempt: int) -> tuple[int, int]:
        """The source port and the number of a probe."""
        digest = blake2b(host + _PLACE.pack(port, attempt), key=self._secret, digest_size=_DIGEST.size).digest()
        source_port, number = _DIGEST.unpack(digest)
        return FIRST_SOURCE_PORT | source_port, number or 1

    def attempt_of(self, reply: Reply) -> int | None:
        """Which probe of the port a reply answers; None if it answers none."""
        for attempt in range(MAX_ATTEMPTS):
            source_port, number = self.of(reply.host, reply.port, attempt)
            if reply.source_port == source_port:
                return attempt if self._proves(reply, number) else None
        return None

    def _proves(self, reply: Reply, number: int) -> bool:
        if reply.protocol in {ICMP, ICMPV6}:
            return reply.number in {None, number}
        if reply.protocol == SCTP:
            return reply.number == number
        if reply.protocol != TCP:
            return True
        if self._method in _WITH_ACK and reply.kind & RST and not reply.kind & ACK:
            return reply.number == number
        # SYN and FIN count as one byte; some stacks do not count a FIN.
        return bool(reply.kind & ACK) and (reply.acknowledged - number) & _WRAP <= 1
