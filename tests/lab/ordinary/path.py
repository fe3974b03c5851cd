"""Who measures the way, and whose packets get lost on it."""

import asyncio
import contextlib
import socket

from portsentry_py.core.packet import ACK, FIN, PSH
from tests.lab.ordinary.clients import Line, datagram, dial, lenient, visit
from tests.lab.ordinary.day import seeded
from tests.lab.ordinary.network import HOST
from tests.lab.ordinary.packets import Ends, RawSender, icmp, tcp
from tests.lab.ordinary.population import Population, Scene, guests

_TRACEROUTE_PORT = 33434
_AT_ONCE = 16  # how many probes traceroute has under way
_ECHO_REQUEST, _UNREACHABLE, _FRAGMENTATION_NEEDED = 8, 3, 4
_MTU = 1400
_BITE = 60_000
_TCP_REPAIR = 19  # linux/tcp.h: a socket in repair mode is closed without a packet to its peer


async def _pings(scene: Scene, me: Population) -> None:
    """Ping, as a person does, and as mtr does with a rising TTL."""
    raw = RawSender()
    async for number in scene.day.spread(0.2, 23.5, scene.day.times(120, 6)):
        ends = Ends(me.address(1 + number % 20), HOST, 0, 0)
        for sequence in range(20):
            ttl = 57 if number % 2 else 1 + sequence % 8
            raw.send(icmp(ends, _ECHO_REQUEST, 0, number << 16 | sequence, bytes(56), ttl=ttl))
            await asyncio.sleep(0.05)


async def _traceroutes(scene: Scene, me: Population) -> None:
    """UDP to a rising port with a rising TTL, sixteen at once, then a second lot."""
    async for number in scene.day.spread(0.2, 23.5, scene.day.times(60, 6)):
        for lot in range(2):
            for nth in range(lot * _AT_ONCE, (lot + 1) * _AT_ONCE):
                source = me.address(1 + number % 20)
                datagram(source, HOST, _TRACEROUTE_PORT + nth, bytes(32), ttl=1 + nth // 3)
            await asyncio.sleep(0.2)


async def _narrow_roads(scene: Scene, me: Population) -> None:
    """A router on the way of a download tells the host to send smaller packets."""
    raw = RawSender()
    async for number in scene.day.spread(0.3, 23.5, scene.day.times(100, 5)):
        with lenient():
            line = await dial(me.address(10 + number % 100), 80)
            await line.ask("/big")
            await line.reader.read(_BITE)
            port = line.writer.get_extra_info("sockname")[1]
            too_big = tcp(Ends(HOST, me.address(10 + number % 100), 80, port), ACK, seq=number, data=bytes(8))
            router = Ends(me.address(1), HOST, 0, 0)
            raw.send(icmp(router, _UNREACHABLE, _FRAGMENTATION_NEEDED, _MTU, too_big[:28]))
            await line.close()


def _vanish(line: Line) -> int:
    """Drop the connection without a packet to its peer; returns the port that it had."""
    port: int = line.writer.get_extra_info("sockname")[1]
    sock = line.writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    line.writer.transport.abort()
    return port


async def _movers(scene: Scene, me: Population) -> None:
    """Phones whose address changes during a download: they go on from the new one, unknown to the host."""
    raw = RawSender()
    chances = seeded(me.name)
    async for number in scene.day.spread(0.3, 23.5, scene.day.times(150, 8)):
        before, after = me.address(1 + number % 100), me.address(101 + number % 100)
        with lenient():
            line = await dial(before, 80)
            await line.ask("/big")
            await line.reader.read(_BITE)
            ends = Ends(after, HOST, _vanish(line), 80)
            seq, ack = chances.getrandbits(32), chances.getrandbits(32)
            for flags in (ACK, PSH | ACK, PSH | ACK, FIN | ACK, FIN | ACK):
                raw.send(tcp(ends, flags, seq=seq, ack=ack, data=b"more" if flags & PSH else b""))
                await asyncio.sleep(0.1)
        await visit(after, 443, 2)


async def _forgotten(scene: Scene, me: Population) -> None:
    """Keep-alives and closes of connections that the host forgot long ago, from many ports of theirs."""
    raw = RawSender()
    chances = seeded(me.name)
    async for number in scene.day.spread(0.3, 23.5, scene.day.times(600, 20)):
        source = me.address(1 + number % 100)
        for port in (80, 443, 22):
            ends = Ends(source, HOST, chances.randint(32_768, 60_999), port)
            with contextlib.suppress(OSError):
                flags = chances.choice((ACK, FIN | ACK, PSH | ACK))
                raw.send(tcp(ends, flags, seq=chances.getrandbits(32), ack=chances.getrandbits(32)))


POPULATIONS = (
    Population("pings", "ping, and mtr with a rising TTL", "world", guests(40), _pings),
    Population("traceroutes", "UDP to 32 rising ports with a rising TTL", "world", guests(41), _traceroutes),
    Population(
        "narrow roads", "downloads during which a router reports a smaller MTU", "world", guests(42), _narrow_roads
    ),
    Population("movers", "phones that change their address amid a download", "world", guests(43), _movers),
    Population("forgotten sessions", "late ACK, FIN and data on 22, 80, 443", "world", guests(44), _forgotten),
)
