"""A small FTP server, as the host and a site elsewhere run it, and a session of a real client with it."""

import asyncio
import ftplib

_FILES = 8
_FILE = b"x" * 5000
_SECONDS = 20.0


class _Session:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._own = writer.get_extra_info("sockname")[0]
        self._active: tuple[str, int] | None = None
        self._waiting: asyncio.Server | None = None
        self._came: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def talk(self) -> None:
        """Answer until the user has gone."""
        self._say("220 ready")
        while line := await self._reader.readline():
            verb, _, rest = line.decode("ascii", "replace").strip().partition(" ")
            if verb == "QUIT":
                self._say("221 bye")
                break
            if verb == "PASV":
                await self._listen()
            elif verb == "PORT":
                *address, high, low = rest.split(",")
                self._active = (".".join(address), int(high) * 256 + int(low))
                self._say("200 fine")
            elif verb == "RETR":
                await self._deliver()
            else:
                self._say({"USER": "331 password?", "PASS": "230 come in"}.get(verb, "200 fine"))
        self._writer.close()

    def _say(self, text: str) -> None:
        self._writer.write(text.encode() + b"\r\n")

    async def _listen(self) -> None:
        self._waiting = await asyncio.start_server(lambda _, writer: self._came.put(writer), self._own, 0)
        port = self._waiting.sockets[0].getsockname()[1]
        words = (*self._own.split("."), str(port >> 8), str(port & 255))
        self._say(f"227 entering passive mode ({','.join(words)})")

    async def _deliver(self) -> None:
        self._say("150 here it comes")
        if self._waiting is not None:
            writer = await asyncio.wait_for(self._came.get(), _SECONDS)
            self._waiting.close()
            self._waiting = None
        else:
            host, port = self._active or ("", 0)
            connecting = asyncio.open_connection(host, port, local_addr=(self._own, 0))
            _, writer = await asyncio.wait_for(connecting, _SECONDS)
        writer.write(_FILE)
        await writer.drain()
        writer.close()
        self._say("226 done")


async def serve(address: str) -> asyncio.Server:
    """Listen on port 21 of an address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Session(reader, writer).talk()
        except (OSError, asyncio.TimeoutError, asyncio.CancelledError):
            # Cancelled at the end of the day: a client that was banned during its session never closes it.
            writer.close()

    return await asyncio.start_server(answer, address, 21)


def session(host: str, source: str, *, passive: bool) -> None:
    """Fetch some files, each over a data connection of its own."""
    with ftplib.FTP(timeout=_SECONDS, source_address=(source, 0)) as client:  # noqa: S321 - it is what is tested
        client.connect(host)
        client.login()
        client.set_pasv(passive)
        for number in range(_FILES):
            client.retrbinary(f"RETR {number}", lambda _piece: None)
