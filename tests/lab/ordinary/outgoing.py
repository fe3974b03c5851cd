"""What the host itself does: it asks for names, the time and packages, and is refused here and there."""

import asyncio
import contextlib
import ftplib
import socket
from typing import cast

from tests.lab.ordinary import ftp
from tests.lab.ordinary.clients import datagram, knock, lenient, visit
from tests.lab.ordinary.network import FTP_SITE, GIT_SITE, HOST, MIRROR, RESOLVER, TIME_SERVER
from tests.lab.ordinary.population import Population, Scene

_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000)
_CLOSED = (9418, 11371, 2049, 5222)
_PATIENCE_SECONDS = 0.5
_LATE_SECONDS = 1.5


class _Answers(asyncio.DatagramProtocol):
    """Answers every datagram, each fourth only when nobody waits for it any more."""

    def __init__(self) -> None:
        self._count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._count += 1
        delay = _LATE_SECONDS if self._count % 4 == 0 else 0.01
        asyncio.get_running_loop().call_later(delay, self._transport.sendto, data, addr)


async def _mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with lenient():
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(_PAGE)
            await writer.drain()
    writer.close()


async def _servers(scene: Scene, _me: Population) -> None:
    """What the host uses elsewhere."""
    loop = asyncio.get_running_loop()
    for address, port in ((RESOLVER, 53), (TIME_SERVER, 123)):
        await loop.create_datagram_endpoint(_Answers, local_addr=(address, port))
    servers = (await asyncio.start_server(_mirror, MIRROR, 80), await ftp.serve(FTP_SITE))
    await scene.day.until(24)
    for server in servers:
        server.close()


def _ask(dest: str, port: int) -> None:
    """Send a question from a port of its own, and close the port when no answer came in time."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE_SECONDS)
        sock.connect((dest, port))
        sock.send(bytes(40))
        sock.recv(100)


async def _errands(scene: Scene, _me: Population) -> None:
    async for number in scene.day.spread(0.3, 23, scene.day.times(400, 20)):
        for _ in range(3):
            await asyncio.to_thread(_ask, RESOLVER, 53)
        if number % 5 == 0:
            await asyncio.to_thread(_ask, TIME_SERVER, 123)
            await visit(HOST, 80, 3, MIRROR)
            await knock(HOST, _CLOSED[number // 5 % len(_CLOSED)], GIT_SITE)
            datagram(HOST, GIT_SITE, 514, b"log line")
        if number % 20 == 0:
            with lenient(), contextlib.suppress(ftplib.Error):
                await asyncio.to_thread(ftp.session, FTP_SITE, HOST, passive=number % 40 == 0)


async def _ftp_server(scene: Scene, _me: Population) -> None:
    server = await ftp.serve(HOST)
    await scene.day.until(24)
    server.close()


_SITES = ("192.0.2.0/24",)

POPULATIONS = (
    Population(
        "sites",
        "what the host asks: names (late answers), time, packages, FTP, closed ports",
        "world",
        _SITES,
        _servers,
    ),
)
# Lives without addresses of their own.
HOST_LIVES = (_errands, _ftp_server)
