"""The programs that run on the lab's hosts. Standard library only.

peers.py serve                          HTTP on port 80 and something like SSH on port 22, of both families
peers.py visit REQUESTS IPV4 IPV6       requests in both families while a session is held open
peers.py connect ADDRESS PORT [SOURCE]  one TCP connection; exit code 1 if it is refused
peers.py echo                           answers every datagram
peers.py ask ADDRESS SOURCE             asks `echo`; exit code 1 if no answer comes
peers.py swarm TARGET PORTS SOURCE...   many scanners in one: one port after the other, all sources in turn
peers.py burst IFACE                    frames, in hex on standard input; sends them at once at its end
"""

import asyncio
import contextlib
import http.client
import json
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

HTTP_PORT, SSH_PORT, ECHO_PORT = 80, 22, 7007
_PATIENCE_SECONDS = 10
_CONNECT_SECONDS = 3
_ANSWER_SECONDS = 1.0
_SWARM_PER_SECOND = 1000


def _serve() -> None:
    async def answer_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()

    async def answer_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"SSH-2.0-lab\r\n")
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        web = await asyncio.start_server(answer_http, None, HTTP_PORT)
        await asyncio.start_server(answer_ssh, None, SSH_PORT)
        print("ready", flush=True)
        await web.serve_forever()

    asyncio.run(serve())


def _visit(requests: str, ipv4: str, ipv6: str) -> None:
    """Browse while a session is held open; print what worked."""
    answered = echoed = 0
    with socket.create_connection((ipv4, SSH_PORT), _PATIENCE_SECONDS) as session:
        lines = session.makefile("rwb")
        lines.readline()
        for number in range(int(requests)):
            address = ipv6 if number % 2 else ipv4
            web = http.client.HTTPConnection(address, HTTP_PORT, timeout=_PATIENCE_SECONDS)
            web.request("GET", "/")
            answered += web.getresponse().read() == b"ok"
            web.close()
            if number % 20 == 0:
                line = b"still here %d\n" % number
                lines.write(line)
                lines.flush()
                echoed += lines.readline() == line
            time.sleep(0.02)  # a person, not a benchmark: the scan has to fall in between
    print(json.dumps({"answered": answered, "echoed": echoed}))


def _connect(address: str, port: str, source: str = "") -> int:
    try:
        ours = (source, 0) if source else None
        socket.create_connection((address, int(port)), _CONNECT_SECONDS, ours).close()
    except OSError as error:
        print(error)
        return 1
    return 0


def _echo() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", ECHO_PORT))
        print("ready", flush=True)
        while True:
            with contextlib.suppress(OSError):  # an ICMP error about an earlier answer
                data, peer = server.recvfrom(64)
                server.sendto(data, peer)


def _ask(address: str, source: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(_ANSWER_SECONDS)
        client.bind((source, 0))
        client.connect((address, ECHO_PORT))
        for _attempt in range(2):  # the first may be lost to address resolution
            with contextlib.suppress(OSError):
                client.send(b"?")
                return 0 if client.recv(64) else 1
    return 1


def _swarm(target: str, ports: str, *sources: str) -> None:
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
        time.sleep(max(0.0, begun + number / _SWARM_PER_SECOND - time.monotonic()))


def _burst(iface: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((iface, 0))
        frames = [bytes.fromhex(line) for line in sys.stdin]  # as they come, so that the end is not late
        for frame in frames:
            link.send(frame)


_ROLES: dict[str, Callable[..., int | None]] = {
    "serve": _serve,
    "visit": _visit,
    "connect": _connect,
    "echo": _echo,
    "ask": _ask,
    "swarm": _swarm,
    "burst": _burst,
}

if __name__ == "__main__":
    _role, *_words = sys.argv[1:]
    sys.exit(_ROLES[_role](*_words))
