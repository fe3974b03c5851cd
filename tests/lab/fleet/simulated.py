"""A host of a fleet that only listens: the text protocol of NATS over one socket, without TLS."""

import asyncio
import base64
import json

from portsentry_py.fleet.identity import public_key, sign
from portsentry_py.fleet.subjects import LISTEN

_CONNECTING = 100
# Longer than any live message: a token that two reads share is found.
_TAIL_BYTES = 600


class Awaited:
    """What all subscribers wait for: a text in a message, and how many have it already."""

    def __init__(self) -> None:
        self.token = b""
        self.left = 0
        self.arrived = asyncio.Event()

    def begin(self, token: bytes, count: int) -> None:
        self.token, self.left = token, count
        self.arrived.clear()

    def take(self) -> None:
        self.left -= 1
        if not self.left:
            self.arrived.set()


class Subscriber(asyncio.Protocol):
    """One connection."""

    def __init__(self, seed: str, awaited: Awaited) -> None:
        self._seed, self._awaited = seed, awaited
        self._tail = b""
        self._seen = b""
        self._is_known = False
        self.ready = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        self._tail = data[-_TAIL_BYTES:]
        if not self._is_known and b"\r\n" in data:
            self._is_known = True
            self._authenticate(json.loads(data[5 : data.index(b"\r\n")])["nonce"])
            self._tail = b""
        if b"PONG\r\n" in data:
            self.ready.set()
            self._tail = b""
        if data.endswith(b"PING\r\n"):
            self._transport.write(b"PONG\r\n")
        token = self._awaited.token
        if token and token != self._seen and token in data:
            self._seen = token
            self._awaited.take()

    def _authenticate(self, nonce: str) -> None:
        signature = base64.b64encode(sign(self._seed, nonce.encode())).decode()
        options = {
            "verbose": False,
            "pedantic": False,
            "lang": "lab",
            "version": "0",
            "protocol": 1,
            "nkey": public_key(self._seed),
            "sig": signature,
        }
        self._transport.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())

    def subscribe(self) -> None:
        self._transport.write(f"SUB {LISTEN} 1\r\n".encode())

    def publish(self, subject: str, payload: bytes) -> None:
        self._transport.write(f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n")

    async def flush(self) -> None:
        """Return when the broker has taken everything."""
        self.ready.clear()
        self._transport.write(b"PING\r\n")
        await asyncio.wait_for(self.ready.wait(), 60)

    def close(self) -> None:
        self._transport.close()


async def connect(seeds: list[str], port: int, awaited: Awaited) -> list[Subscriber]:
    """Connect all, some at a time."""
    loop, free = asyncio.get_running_loop(), asyncio.Semaphore(_CONNECTING)

    async def one(seed: str) -> Subscriber:
        async with free:
            _, found = await loop.create_connection(lambda: Subscriber(seed, awaited), "127.0.0.1", port)
            await asyncio.wait_for(found.ready.wait(), 60)
            return found

    return await asyncio.gather(*map(one, seeds))
