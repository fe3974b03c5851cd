"""Who checks that we are alive: monitors, balancers, exporters, people who measure the way."""

from dataclasses import replace

from portsentry_py.core.packet import ICMP
from tests.lab.innocents.scene import Scene
from tests.support.build import Sent, icmp_unreachable, ping, pong, udp

_TRACEROUTE = 33_434


def monitors(scene: Scene) -> None:
    """Three addresses of one service, every few minutes: served ports, and one that was stopped."""
    network, every = scene.network(), scene.chances.choice((60, 300, 600))
    ports = [*sorted(scene.tcp)[:4], scene.chances.choice((8081, 3000, 9090))]
    begin, count = scene.moment(40_000), min(40, 36_000 // every)
    for nth in range(count):
        source = scene.guest(six=0, net=network, host=1 + nth % 3)
        for port in ports:
            scene.check(source, port, begin + nth * every)
        _echo(scene, source, begin + nth * every + 1, nth)


def balancer(scene: Scene) -> None:
    """Two addresses check many node ports every ten seconds, each at its own time; those without a pod are dead."""
    network = scene.network()
    ports = scene.chances.sample(range(30_000, 32_768), scene.chances.randint(2, 12))
    alive = ports[: max(1, len(ports) // 4)]
    scene.tcp |= set(alive)
    begin, phases = scene.moment(4000), [scene.chances.uniform(0, 10) for _ in ports]
    for nth in range(scene.chances.randint(10, 30)):
        source = scene.guest(six=0, net=network, host=1 + nth % 2)
        for port, phase in zip(ports, phases, strict=True):
            scene.check(source, port, begin + nth * 10 + phase)


def exporters(scene: Scene) -> None:
    """A collector of our network scrapes six exporters every fifteen seconds; some are not running."""
    source, begin = scene.neighbour(), scene.moment(4000)
    ports = scene.chances.sample((9100, 9113, 9187, 9256, 9115, 9093, 8080), scene.chances.randint(2, 6))
    scene.tcp |= set(ports[: len(ports) // 2 + 1])
    for nth in range(scene.chances.randint(10, 40)):
        scene.visit(source, *ports, at=begin + nth * 15, tries=1)


def pings(scene: Scene) -> None:
    """Pings by many and by a monitor that pings once a minute; a firewall may drop them."""
    monitor, begin = scene.guest(), scene.moment(20_000)
    for nth in range(scene.chances.randint(30, 90)):
        _echo(scene, monitor, begin + nth * 60, nth)
    for at in scene.spread(scene.chances.randint(3, 20)):
        _echo(scene, scene.guest(six=0), at, 1)


def traces(scene: Scene) -> None:
    """Traceroute and mtr: UDP with few hops left to rising ports, a SYN with few hops left, or echoes."""
    for at in scene.spread(scene.chances.randint(1, 8)):
        source = scene.chances.randint(33_000, 65_000)
        guest, way = scene.guest(six=0), scene.chances.choice(("udp", "mtr", "tcp", "icmp"))
        for nth in range(scene.chances.randint(12, 48)):
            left, moment = 1 + nth // 3 % 12, at + nth * 0.05
            if way == "udp":
                _measures(scene, guest, scene.client_port(), _TRACEROUTE + 30 + nth, at=moment, left=left)
            elif way == "mtr":
                _measures(scene, guest, source, 33_000 + nth, at=moment, left=left)
            elif way == "tcp":
                asked = replace(scene.syn(guest, 80, moment), ttl=left)
                scene.add(asked)
            else:
                scene.add(replace(ping(guest, scene.host, at=moment, number=nth), ttl=left))


def knockers(scene: Scene) -> None:
    """An administrator knocks three closed ports before each login."""
    for _ in range(scene.chances.randint(1, 2)):
        admin, secret = scene.guest(six=0), scene.chances.sample(range(1025, 60_000), 3)
        for at in scene.spread(scene.chances.randint(1, 9)):
            for nth, port in enumerate(secret):
                scene.add(scene.syn(admin, port, at + nth * 0.5))
            scene.visit(admin, 22, at=at + 3, lasts=40)


def _measures(scene: Scene, guest: str, src_port: int, port: int, *, at: float, left: int) -> None:
    (probe,) = udp(guest, port, dst=scene.host, src_port=src_port, at=at, data=bytes(32))
    probe = replace(probe, ttl=left)
    scene.add(probe, *([] if scene.drops else [icmp_unreachable(probe)]))


def _echo(scene: Scene, source: str, at: float, number: int) -> None:
    asked: Sent = ping(source, scene.own(source), at=at, number=number)
    if ":" in source:
        asked = replace(asked, proto=58, payload=b"\x80" + asked.payload[1:])
        answer = replace(pong(asked), payload=b"\x81" + asked.payload[1:])
    else:
        asked = replace(asked, proto=ICMP)
        answer = pong(asked)
    scene.add(asked, *([] if scene.drops else [answer]))


HABITS = (monitors, balancer, exporters, pings, traces, knockers)
