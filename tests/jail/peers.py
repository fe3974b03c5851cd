"""The UDP programs that run on the lab's hosts: `echo` and `ask`. Standard library only."""

from __future__ import annotations

import contextlib
import socket
import sys

PORT = 7007
PATIENCE_SECONDS = 1.0


def _echo() -> int:
    """Answer every datagram, of both families."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", PORT))
        print("ready", flush=True)
        while True:
            with contextlib.suppress(OSError):  # an ICMP error about an earlier answer
                data, peer = server.recvfrom(64)
                server.sendto(data, peer)


def _ask(address: str, source: str) -> int:
    """Exit with 0 if an answer comes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.bind((source, 0))
        client.connect((address, PORT))
        for _attempt in range(2):  # the first may be lost to address resolution
            with contextlib.suppress(OSError):
                client.send(b"?")
                return 0 if client.recv(64) else 1
    return 1


if __name__ == "__main__":
    sys.exit(_echo() if sys.argv[1] == "echo" else _ask(*sys.argv[2:]))
