"""Programs that run on the lab's hosts: `echo` and `ask` over UDP, and `swarm`, many scanners in one."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections import deque

PORT = 7007
PATIENCE_SECONDS = 1.0
SWARM_PER_SECOND = 1000


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


def _swarm(target: str, ports: str, *sources: str) -> int:
    """Try one port after the other, from all the sources in turn."""
    begun = time.monotonic()
    open_sockets: deque[socket.socket] = deque()
    attempts = ((port, source) for port in range(2000, 2000 + int(ports)) for source in sources)
    for number, (port, source) in enumerate(attempts):
        client = socket.socket()
        client.setblocking(False)
        client.bind((source, 0))
        client.connect_ex((target, port))
        open_sockets.append(client)
        if len(open_sockets) > len(sources):
            open_sockets.popleft().close()  # refused long ago, or never answered
        time.sleep(max(0.0, begun + number / SWARM_PER_SECOND - time.monotonic()))
    return 0


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    sys.exit(_echo() if role == "echo" else _ask(*words) if role == "ask" else _swarm(*words))
