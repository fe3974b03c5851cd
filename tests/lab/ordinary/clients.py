"""Connections of the innocent, made by the kernel from an address of their own."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tests.lab.ordinary.network import HOST

PATIENCE_SECONDS = 20.0
_SIZE = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_Got = TypeVar("_Got")
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TLS.check_hostname = False
_TLS.verify_mode = ssl.CERT_NONE


@dataclass
class Line:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, path: str = "/") -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: ordinary.example\r\n\r\n".encode())
        await self.writer.drain()

    async def fetch(self, path: str = "/") -> None:
        """Ask, and read the whole answer."""
        await self.ask(path)
        head = await patient(self.reader.readuntil(b"\r\n\r\n"))
        size = _SIZE.search(head)
        await patient(self.reader.readexactly(int(size[1]) if size else 0))

    async def close(self) -> None:
        self.writer.close()
        with lenient():
            await patient(self.writer.wait_closed())

    def reset(self) -> None:
        """Break it off with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def patient(awaited: Awaitable[_Got]) -> _Got:
    """Wait, but not for ever."""
    return await asyncio.wait_for(awaited, PATIENCE_SECONDS)


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[Callable[[Coroutine[None, None, None]], None]]:
    """Give a function that starts something beside the rest; wait for all of it at the end."""
    tasks: list[asyncio.Task[None]] = []
    yield lambda happening: tasks.append(asyncio.create_task(happening))
    await asyncio.gather(*tasks)


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """What goes wrong on the way is part of the day: refusals, resets, and answers that never come."""
    with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError, ssl.SSLError):
        yield


async def dial(source: str, port: int, dest: str = HOST) -> Line:
    """Connect from an address; TLS on port 443."""
    connecting = asyncio.open_connection(dest, port, local_addr=(source, 0), ssl=_TLS if port == 443 else None)
    return Line(*await patient(connecting))


async def visit(source: str, port: int, requests: int = 1, dest: str = HOST) -> None:
    """Make one connection with these requests, and close it."""
    with lenient():
        line = await dial(source, port, dest)
        try:
            for _ in range(requests):
                await line.fetch()
        finally:
            await line.close()


async def knock(source: str, port: int, dest: str = HOST, *, tries: int = 1, pause: float = 0.0) -> None:
    """Connect to a port and close; try again while it is refused."""
    for _ in range(tries):
        with lenient():
            _, writer = await patient(asyncio.open_connection(dest, port, local_addr=(source, 0)))
            writer.close()
            return
        await asyncio.sleep(pause)


def datagram(source: str, dest: str, port: int, content: bytes, *, source_port: int = 0, ttl: int = 64) -> None:
    """Send one datagram, and do not wait for an answer."""
    family = socket.AF_INET6 if ":" in dest else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        sock.bind((source, source_port))
        sock.sendto(content, (dest, port))
