"""A wire to a broker that can be cut: what is sent meanwhile goes nowhere, as behind a router that is down."""

import asyncio
from contextlib import suppress


class Relay:
    """Passes connections to the broker at the same address, until it is cut."""

    def __init__(self, address: str, port: int) -> None:
        self._address, self._port = address, port
        self._passes = asyncio.Event()
        self._passes.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, self._address, 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        self._passes.clear()

    def join(self) -> None:
        """Pass what comes from now on; connections of before are gone."""
        for connection in self._connections:
            connection.cancel()
        self._passes.set()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in [*self._connections]:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [writer]
        try:
            await self._passes.wait()
            back, there = await asyncio.open_connection(self._address, self._port)
            writers.append(there)
            await asyncio.gather(self._pass(reader, there), self._pass(back, writer))
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            self._connections.discard(task)
            for one in writers:
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._passes.wait()
            writer.write(data)
            with suppress(ConnectionError):
                await writer.drain()
        raise ConnectionError
