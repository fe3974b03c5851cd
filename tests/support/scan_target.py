"""What answers scans on the lab's target: TCP and UDP servers, and the answers of an SCTP stack.

scan_target.py OPEN CLOSED    the port that is open, and the one that an SCTP stack refuses

The kernel may lack SCTP, so raw sockets answer: INIT ACK from the open port, ABORT from the closed one (RFC 9260).
"""

import selectors
import socket
import struct
import sys
from collections.abc import Callable

from scapy.layers.sctp import SCTP, SCTPChunkAbort, SCTPChunkInit, SCTPChunkInitAck

DNS_PORT = 53
_MOST_BYTES = 4096
_DNS_HEAD = struct.Struct("!HHHHHH")


def main(open_port: int, closed_port: int) -> None:
    """Serve until the end."""
    selector = selectors.DefaultSelector()
    for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        listener = socket.create_server((anywhere, open_port), family=family, backlog=512)
        selector.register(listener, selectors.EVENT_READ, lambda one=listener: one.accept()[0].close())
        for port, answer in ((open_port, _echoed), (DNS_PORT, _dns_answer)):
            server = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((anywhere, port))
            selector.register(server, selectors.EVENT_READ, _datagrams(server, answer))
        raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        selector.register(raw, selectors.EVENT_READ, _inits(raw, open_port, closed_port))
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            key.data()


def _echoed(data: bytes) -> bytes:
    return data or b"x"


def _dns_answer(data: bytes) -> bytes | None:
    """Only to a question, as a name server."""
    if len(data) < _DNS_HEAD.size or _DNS_HEAD.unpack_from(data)[2] == 0:
        return None
    return data[:2] + b"\x84\x05" + data[4:]  # an answer: refused


def _datagrams(server: socket.socket, answer: Callable[[bytes], bytes | None]) -> Callable[[], None]:
    def serve() -> None:
        data, peer = server.recvfrom(_MOST_BYTES)
        found = answer(data)
        if found is not None:
            server.sendto(found, peer)

    return serve


def _inits(raw: socket.socket, open_port: int, closed_port: int) -> Callable[[], None]:
    def serve() -> None:
        data, peer = raw.recvfrom(_MOST_BYTES)
        packet = SCTP(data[(data[0] & 15) * 4 :] if raw.family == socket.AF_INET else data)
        if not packet.haslayer(SCTPChunkInit) or packet.dport not in {open_port, closed_port}:
            return
        tag = packet[SCTPChunkInit].init_tag
        chunk = SCTPChunkInitAck(init_tag=7, a_rwnd=9000) if packet.dport == open_port else SCTPChunkAbort()
        answer = SCTP(sport=packet.dport, dport=packet.sport, tag=tag) / chunk
        raw.sendto(bytes(answer), (peer[0], 0, *peer[2:]))

    return serve


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
