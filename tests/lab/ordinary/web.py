"""Who uses the web server."""

import asyncio

from tests.lab.ordinary.clients import datagram, dial, knock, lenient, together, visit
from tests.lab.ordinary.day import seeded
from tests.lab.ordinary.network import HOST, HOST6, HOSTS
from tests.lab.ordinary.population import Population, Scene, guests

_BITE = 60_000
_CALLS_A_MINUTE = 200
_DOWN_FROM, _DOWN_UNTIL = 11.9, 12.3


async def _linger(source: str, port: int) -> None:
    """Keep the connection open until the server closes it."""
    with lenient():
        line = await dial(source, port)
        await line.fetch()
        await line.reader.read()
        await line.close()


async def _abandon(source: str, port: int) -> None:
    """Close during a download: the kernel answers the rest with RST."""
    with lenient():
        line = await dial(source, port)
        await line.ask("/big")
        await line.reader.read(_BITE)
        await line.close()


async def _reset(source: str, port: int) -> None:
    """Break a download off."""
    with lenient():
        line = await dial(source, port)
        await line.ask("/big")
        await line.reader.read(_BITE)
        line.reset()


async def _half_close(source: str, _port: int) -> None:
    """Say that no more requests come, then read on."""
    with lenient():
        line = await dial(source, 80)
        await line.ask("/big")
        line.writer.write_eof()
        await line.reader.readuntil(b"\r\n\r\n")
        await line.reader.read(_BITE)
        await line.close()


async def _browse(source: str, number: int) -> None:
    """Load a page as a browser does: several connections at once, one of them for nothing."""
    chances = seeded(f"{source} {number}")
    await visit(source, 80)
    ways = (_linger, _abandon, _reset, _half_close)
    connections = [visit(source, 443, chances.randint(1, 8)) for _ in range(chances.randint(2, 5))]
    connections += [knock(source, 443), chances.choice(ways)(source, chances.choice((80, 443)))]
    await asyncio.gather(*connections)


async def _browsers(scene: Scene, me: Population) -> None:
    async with together() as start:
        async for number in scene.day.spread(0.2, 23.5, scene.day.times(400, 15)):
            start(_browse(me.address(1 + number % 200), number))


async def _office(scene: Scene, me: Population) -> None:
    """Forty colleagues behind one address."""
    async with together() as start:
        async for number in scene.day.spread(7, 19, scene.day.times(800, 25)):
            start(_browse(me.address(77), number))


async def _crawlers(scene: Scene, me: Population) -> None:
    async for number in scene.day.spread(0.2, 23.5, scene.day.times(1500, 30)):
        await visit(me.address(10 + number % 3), 80 if number % 2 else 443, dest=HOSTS[number % len(HOSTS)])


async def _api_client(scene: Scene, me: Population) -> None:
    count = round(_CALLS_A_MINUTE * scene.day.minutes * 23 / 24)
    async with together() as start:
        async for number in scene.day.spread(0.2, 23.2, count):
            start(visit(me.address(5), 443 if number % 10 == 0 else 80))


async def _http3(scene: Scene, me: Population) -> None:
    """TLS, and QUIC's first flight in parallel, to a port that is closed for UDP."""
    async for number in scene.day.spread(0.3, 23.5, scene.day.times(300, 10)):
        for source, dest in ((me.address(1 + number % 100), HOST), (me.address6(1 + number % 100), HOST6)):
            for _ in range(3):
                datagram(source, dest, 443, b"\xc0\0\0\0\1" + bytes(1195))
            await visit(source, 443, 2, dest)


async def _happy_eyeballs(scene: Scene, me: Population) -> None:
    """Both families at once; the loser is dropped, sometimes before it is connected."""
    async for number in scene.day.spread(0.3, 23.5, scene.day.times(300, 10)):
        which = 1 + number % 100
        loser = asyncio.create_task(knock(me.address(which), 443, HOST))
        if number % 3 == 0:
            await asyncio.sleep(0)
            loser.cancel()
        await visit(me.address6(which), 443, 3, HOST6)
        await asyncio.gather(loser, return_exceptions=True)


async def _impatient(scene: Scene, me: Population) -> None:
    """Come while the web server is down, and try again until it is back."""
    count = scene.day.times(60, 8)
    async with together() as start:
        async for number in scene.day.spread(_DOWN_FROM, _DOWN_UNTIL, count):
            source = me.address(1 + number % 50)
            for port in (80, 443):
                start(knock(source, port, tries=10, pause=scene.day.seconds(0.02)))


POPULATIONS = (
    Population(
        "browsers",
        "pages over parallel connections: keep-alive, idle until closed, half-closed, aborted, reset",
        "world",
        guests(1),
        _browsers,
    ),
    Population("office", "forty browsers behind one NAT address", "world", guests(2), _office),
    Population("crawlers", "one page a connection, all addresses of the host", "world", guests(3), _crawlers),
    Population("API client", f"{_CALLS_A_MINUTE} connections in each real minute", "world", guests(4), _api_client),
    Population("HTTP/3", "HTTPS, and QUIC to closed 443/udp, both families", "world", guests(5), _http3),
    Population("happy eyeballs", "IPv4 beside IPv6, the loser dropped", "world", guests(6), _happy_eyeballs),
    Population("impatient", "clients who try again while nginx is restarted", "world", guests(7), _impatient),
)
