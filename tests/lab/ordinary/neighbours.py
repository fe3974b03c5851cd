"""Who shares the wire: what they shout, everybody hears."""

from tests.lab.ordinary.clients import datagram, visit
from tests.lab.ordinary.network import BROADCAST, NEIGHBOURS
from tests.lab.ordinary.population import Population, Scene

_SHOUTS = (
    ("224.0.0.251", 5353, 5353),
    ("239.255.255.250", 1900, 0),
    ("224.0.0.252", 5355, 0),
    (BROADCAST, 137, 137),
    (BROADCAST, 138, 138),
    ("255.255.255.255", 67, 68),
    (BROADCAST, 17500, 17500),
    ("255.255.255.255", 32414, 0),
    ("255.255.255.255", 6667, 0),
    (BROADCAST, 8612, 0),
)


async def _chatter(scene: Scene, _me: Population) -> None:
    """Each neighbour announces itself by everything that is usual: ten ports a minute, all day."""
    async for number in scene.day.spread(0.1, 23.8, scene.day.times(500, 30)):
        source = NEIGHBOURS[number % len(NEIGHBOURS)]
        for dest, port, source_port in _SHOUTS:
            datagram(source, dest, port, bytes(60), source_port=source_port, ttl=4)
        if number % 10 == 0:
            await visit(source, 80)


POPULATIONS = (
    Population(
        "neighbours",
        "DHCP, mDNS, SSDP, LLMNR, NetBIOS and other broadcasts on the wire",
        "lan",
        ("203.0.113.16/28",),
        _chatter,
    ),
)
