"""Who else uses the host: monitors, mail clients, users of closed ports, users of FTP."""

import asyncio
import contextlib
import ftplib

from tests.lab.ordinary import ftp
from tests.lab.ordinary.clients import dial, knock, lenient, visit
from tests.lab.ordinary.day import HOURS
from tests.lab.ordinary.network import HOST
from tests.lab.ordinary.population import Population, Scene, guests

_CHECKED = (22, 80, 443)
_STOPPED = 8081
_BOOKMARKS = (8080, 8443)
_MAIL = (993, 143, 465, 587)
_CHECKS_AN_HOUR = 12


async def _monitors(scene: Scene, me: Population) -> None:
    """Three monitors look every five minutes of the day; the service on one of the ports was stopped."""
    async for _ in scene.day.spread(0.1, 23.6, _CHECKS_AN_HOUR * HOURS):
        await asyncio.gather(*(knock(me.address(which), port) for which in (1, 2, 3) for port in (*_CHECKED, _STOPPED)))


async def _balancer(scene: Scene, me: Population) -> None:
    """Check the web server by a handshake that is reset at once."""
    async for _ in scene.day.spread(0.1, 23.6, scene.day.times(1200)):
        with lenient():
            line = await dial(me.address(9), 80)
            line.reset()


async def _bookmarks(scene: Scene, me: Population) -> None:
    """Follow an old bookmark to a closed port, reload, then go to the front page."""
    async for number in scene.day.spread(8, 18, scene.day.times(60, 5)):
        source = me.address(1 + number % 5)
        for port in _BOOKMARKS:
            await knock(source, port, tries=4, pause=0.3)
        await visit(source, 80)


async def _mail_client(scene: Scene, me: Population) -> None:
    """Look for a mail server where there is none, as a mail client does for a new account."""
    async for number in scene.day.spread(8, 18, scene.day.times(40, 4)):
        source = me.address(1 + number % 20)
        await visit(source, 443)
        await asyncio.gather(*(knock(source, port, tries=2, pause=0.5) for port in _MAIL))


async def _ftp_clients(scene: Scene, me: Population) -> None:
    async for number in scene.day.spread(0.5, 23, scene.day.times(60, 4)):
        source = me.address(1 + number % 10)
        with lenient(), contextlib.suppress(ftplib.Error):
            await asyncio.to_thread(ftp.session, HOST, source, passive=number % 2 == 0)


POPULATIONS = (
    Population(
        "monitors",
        f"three, each every 5 minutes of the day: 22, 80, 443 and {_STOPPED}, which is closed",
        "world",
        guests(20),
        _monitors,
    ),
    Population("load balancer", "handshakes with port 80, reset at once", "world", guests(21), _balancer),
    Population("old bookmarks", "retry the closed ports 8080 and 8443", "world", guests(22), _bookmarks),
    Population("mail clients", "look for 993, 143, 465, 587: closed", "world", guests(23), _mail_client),
    Population("FTP users", "active and passive FTP, eight files each", "world", guests(24), _ftp_clients),
)
