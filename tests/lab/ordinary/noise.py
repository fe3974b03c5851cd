"""The internet's background: bots that touch a port or two, and answers to packets that others forged."""

import asyncio
from ipaddress import ip_address, ip_network
from random import Random

from portsentry_py.core.packet import ACK, RST, SYN
from tests.lab.ordinary.day import seeded
from tests.lab.ordinary.network import HOSTS
from tests.lab.ordinary.packets import Ends, RawSender, tcp, udp
from tests.lab.ordinary.population import Population, Scene
from tests.support.build import MSS_OPTION, STACK_OPTIONS

_BOTS, _VICTIMS, _AMPLIFIERS = "100.64.0.0/11", "100.96.0.0/12", "100.112.0.0/12"
_BOTS_A_DAY = 6000
_VICTIMS_A_DAY = 3000
_AMPLIFIERS_A_DAY = 30
_MANY_TIMES_TELNET = 6
# The ports that are asked for most, none of them served here; one of them is a decoy.
_TCP_PORTS = (
    *((23,) * _MANY_TIMES_TELNET),
    *(2323, 445, 445, 3389, 3389, 5555, 8080, 8080, 1433, 3306, 5900, 6379, 8443, 25, 110, 8728, 5432),
    *(2222, 7547, 37215, 52869, 81, 8081, 9200, 2375, 8888, 5060, 1723),
)
_MIRAI_PORTS = (23, 23, 23, 2323, 5555, 8080, 81, 7547, 37215)
_CHARGEN = 19
_UDP_PORTS = (53, 123, 161, 389, 1900, 5060, 11211, _CHARGEN)
_ZMAP_IP_ID = 54_321


def _bot(chances: Random, source: str) -> list[bytes]:
    """What one bot sends: one or two ports of one of the host's addresses, by one tool."""
    dest = chances.choice(HOSTS)
    make = chances.choices((_stack, _mirai, _zmap, _masscan, _datagram), (50, 20, 12, 8, 10))[0]
    ports = _MIRAI_PORTS if make is _mirai else _UDP_PORTS if make is _datagram else _TCP_PORTS
    first, second = chances.choice(ports), chances.choice(ports)
    asked = {first, second} if chances.random() < 0.5 else {first}
    return [make(chances, Ends(source, dest, chances.randint(1025, 65_000), port)) for port in asked]


def _stack(chances: Random, ends: Ends) -> bytes:
    ttl = chances.randint(40, 60)
    return tcp(ends, SYN, seq=chances.getrandbits(32), options=STACK_OPTIONS, ttl=ttl)


def _mirai(chances: Random, ends: Ends) -> bytes:
    return tcp(ends, SYN, seq=int(ip_address(ends.dest)), window=chances.randint(1000, 60_000))


def _zmap(chances: Random, ends: Ends) -> bytes:
    return tcp(ends, SYN, seq=chances.getrandbits(32), options=MSS_OPTION, ip_id=_ZMAP_IP_ID, ttl=240)


def _masscan(chances: Random, ends: Ends) -> bytes:
    seq = chances.getrandbits(32)
    ip_id = (int(ip_address(ends.dest)) ^ ends.dest_port ^ seq) & 0xFFFF
    return tcp(ends, SYN, seq=seq, window=1024, ip_id=ip_id, ttl=240)


def _datagram(_chances: Random, ends: Ends) -> bytes:
    return udp(ends, bytes(20))


async def _bots(scene: Scene, me: Population) -> None:
    raw = RawSender()
    chances = seeded(me.name)
    count = scene.day.times(_BOTS_A_DAY)
    later: list[bytes] = []
    for_all = ip_network(me.networks[0])
    addresses = chances.sample(range(for_all.num_addresses), count)
    async for number in scene.day.spread(0.1, 23.8, count):
        first, *second = _bot(chances, str(for_all[addresses[number]]))
        raw.send(first)
        later += second
        if later and number % 2:
            raw.send(later.pop(0))


async def _victims(scene: Scene, me: Population) -> None:
    """Somebody floods them in names that are taken at random, the host's among them."""
    raw = RawSender()
    chances = seeded(me.name)
    count = scene.day.times(_VICTIMS_A_DAY)
    network = ip_network(me.networks[0])
    addresses = chances.sample(range(network.num_addresses), count)
    async for number in scene.day.spread(0.1, 23.8, count):
        victim = str(network[addresses[number]])
        flags = chances.choice((SYN | ACK, SYN | ACK, RST | ACK, RST))
        for _ in range(chances.randint(1, 12)):
            ends = Ends(victim, chances.choice(HOSTS), chances.choice((80, 443, 53)), chances.randint(1, 65_535))
            raw.send(tcp(ends, flags, seq=chances.getrandbits(32), ack=chances.getrandbits(32)))


async def _amplifiers(scene: Scene, me: Population) -> None:
    """Look for chargen to abuse, and ask twice: datagrams can be forged, so touches of a UDP trap ban nobody."""
    raw = RawSender()
    chances = seeded(me.name)
    network = ip_network(me.networks[0])
    async for _ in scene.day.spread(0.5, 23, scene.day.times(_AMPLIFIERS_A_DAY)):
        source = str(network[chances.randrange(network.num_addresses)])
        for _ in range(2):
            ends = Ends(source, chances.choice(HOSTS), chances.randint(1025, 65_000), _CHARGEN)
            raw.send(udp(ends, b"\n"))
            await asyncio.sleep(scene.day.seconds(0.05))


POPULATIONS = (
    Population(
        "background noise",
        "bots that touch one or two of the usual ports; half of them Mirai, zmap, masscan or UDP",
        "world",
        (_BOTS,),
        _bots,
    ),
    Population("backscatter", "flooded servers: SYN-ACK and RST to random ports", "world", (_VICTIMS,), _victims),
    Population("chargen seekers", "ask twice for 19/udp, a trap", "world", (_AMPLIFIERS,), _amplifiers),
)
