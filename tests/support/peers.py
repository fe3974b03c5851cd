"""The programs that run on the lab's hosts: `serve`, `visit` and `connect`. Standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import sys
import time

HTTP_PORT = 80
SSH_PORT = 22
TIMEOUT_SECONDS = 10


async def _answer_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    writer.close()


async def _answer_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(b"SSH-2.0-lab\r\n")
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    writer.close()


async def _serve() -> None:
    web = await asyncio.start_server(_answer_http, None, HTTP_PORT)
    await asyncio.start_server(_answer_ssh, None, SSH_PORT)
    print("ready", flush=True)
    await web.serve_forever()


def _visit(requests: int, ipv4: str, ipv6: str) -> None:
    """Browse while a session is held open; print what worked."""
    answered = echoed = 0
    with socket.create_connection((ipv4, SSH_PORT), TIMEOUT_SECONDS) as session:
        lines = session.makefile("rwb")
        lines.readline()
        for number in range(requests):
            web = http.client.HTTPConnection(ipv6 if number % 2 else ipv4, HTTP_PORT, timeout=TIMEOUT_SECONDS)
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


def _connect(address: str, port: int, source: str | None) -> int:
    try:
        socket.create_connection((address, port), 3, (source, 0) if source else None).close()
    except OSError as error:
        print(error)
        return 1
    return 0


def _main(role: str, *words: str) -> int:
    if role == "serve":
        asyncio.run(_serve())
    elif role == "visit":
        _visit(int(words[0]), words[1], words[2])
    else:
        return _connect(words[0], int(words[1]), words[2] if len(words) > 2 else None)
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
