"""Names, the time, and what shouts in a network: questions, answers, late answers."""

from tests.lab.innocents.scene import Scene
from tests.support.build import icmp_unreachable, udp, udp_reply

_SHOUTS = (
    ("224.0.0.251", 5353, 5353),
    ("239.255.255.250", 1900, 0),
    ("224.0.0.252", 5355, 0),
    ("255.255.255.255", 67, 68),
    ("255.255.255.255", 32_414, 0),
    ("255.255.255.255", 6667, 0),
)
_LATE_SECONDS = 6.0


def resolves(scene: Scene) -> None:
    """We ask our resolver; a part of the answers comes when the socket is closed, and is refused."""
    for at in scene.spread(scene.chances.randint(20, 80)):
        sent = scene.ask(scene.resolver, 53, at, after=0.02)
        if scene.chances.random() < 0.1 and not scene.drops:
            scene.add(icmp_unreachable(udp_reply(sent, after=_LATE_SECONDS)))


def recurses(scene: Scene) -> None:
    """We ask the name servers of the world ourselves, from a new port each time; many answer late or twice."""
    for at in scene.spread(scene.chances.randint(20, 60)):
        server = scene.guest(six=0.2)
        sent = scene.ask(server, 53, at, after=scene.chances.choice((0.03, 0.3, 2, -1)))
        if scene.chances.random() < 0.2:
            late = udp_reply(sent, after=_LATE_SECONDS)
            scene.add(late, *([] if scene.drops else [icmp_unreachable(late)]))


def one_forwarder(scene: Scene) -> None:
    """We ask one server that is not in the configuration; it is slow for a minute, and all its answers are late."""
    server, begin = scene.guest(six=0), scene.moment(900)
    for nth in range(scene.chances.randint(20, 60)):
        sent = scene.ask(server, 53, begin + nth * 0.4, after=-1)
        late = udp_reply(sent, after=scene.chances.uniform(5, 40))
        scene.add(late, *([] if scene.drops else [icmp_unreachable(late)]))


def time_servers(scene: Scene) -> None:
    """Four servers of the pool, from port 123 or from new ports."""
    servers, source = [scene.guest() for _ in range(4)], scene.chances.choice((123, 0))
    for nth, at in enumerate(scene.spread(scene.chances.randint(20, 60))):
        scene.ask(servers[nth % 4], 123, at, src_port=source, after=scene.chances.choice((0.02, 0.4, -1)))


def serves_names(scene: Scene) -> None:
    """Resolvers of the world ask us over UDP and TCP; they once knew a name server here."""
    for at in scene.spread(scene.chances.randint(10, 40)):
        guest = scene.guest()
        for _ in range(scene.chances.randint(1, 3)):
            scene.datagram(guest, 53, at)
        if scene.chances.random() < 0.2:
            scene.visit(guest, 53, at=at + 1)


def shouts(scene: Scene) -> None:
    """Neighbours announce themselves to everybody."""
    for nth, at in enumerate(scene.spread(scene.chances.randint(8, 30))):
        source = scene.known(scene.neighbours[nth % 8])
        for target, port, source_port in _SHOUTS:
            scene.add(*udp(source, port, dst=target, src_port=source_port or scene.client_port(), at=at))


def searches(scene: Scene) -> None:
    """We search by multicast; devices answer from ports of their own, to the port that asked, for some seconds."""
    target, port = scene.chances.choice(
        (("239.255.255.250", 1900), ("239.255.255.250", 3702), ("224.0.0.251", 5353), ("224.0.0.252", 5355))
    )
    devices = scene.chances.sample(scene.neighbours, scene.chances.randint(1, 6))
    for at in scene.spread(scene.chances.randint(3, 25)):
        source = scene.client_port()
        scene.open(source, at, at + 3)
        scene.add(*udp(scene.host, port, dst=target, src_port=source, at=at))
        for device in devices:
            answering = scene.chances.choice((port, scene.client_port()))
            for turn in range(scene.chances.randint(1, 4)):
                delay = scene.chances.uniform(0.01, 4)
                scene.datagram(scene.known(device), source, at + delay + turn * 0.01, src_port=answering)


def windows_names(scene: Scene) -> None:
    """We ask by broadcast for a NetBIOS name from port 137; those who have it answer from 137."""
    broadcast = scene.gateway.rsplit(".", 1)[0] + ".255"
    for at in scene.spread(scene.chances.randint(2, 20)):
        source = scene.chances.choice((137, scene.client_port()))
        scene.open(source, at, at + 2)
        scene.add(*udp(scene.host, 137, dst=broadcast, src_port=source, at=at))
        for device in scene.neighbours[:3]:
            scene.datagram(scene.known(device), source, at + scene.chances.uniform(0.001, 0.5), src_port=137)


HABITS = (resolves, recurses, one_forwarder, time_servers, serves_names, shouts, searches, windows_names)
