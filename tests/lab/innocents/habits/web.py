"""Who uses a web server, or looks for one."""

from portsentry_py.core.packet import ACK, FIN, PSH
from tests.lab.innocents.scene import Scene
from tests.scenarios.conversations import closed


def browsers(scene: Scene) -> None:
    """Several connections at once, and QUIC beside them."""
    for at in scene.spread(scene.chances.randint(3, 15)):
        guest = scene.guest()
        scene.visit(guest, 80, *[443] * scene.chances.randint(1, 5), at=at)
        for turn in range(scene.chances.randint(0, 3)):
            scene.datagram(guest, 443, at + 0.1 + turn, size=1200)


def crawlers(scene: Scene) -> None:
    """One page for each connection, from several addresses of one network; robots.txt on both ports."""
    network = scene.network()
    for nth, at in enumerate(scene.spread(scene.chances.randint(8, 25))):
        scene.visit(scene.guest(six=0, net=network, host=10 + nth % 4), 443 if nth % 3 else 80, at=at)


def many_users(scene: Scene) -> None:
    """An office behind one address; now and then somebody follows an old bookmark to a closed port."""
    office, bookmarks = scene.guest(six=0), scene.chances.sample((8080, 8443, 8000, 3000, 2083, 8888), 3)
    for at in scene.spread(scene.chances.randint(20, 60)):
        scene.visit(office, *scene.chances.sample((80, 443, 443, 443), 3), at=at)
    for nth, at in enumerate(scene.spread(scene.chances.randint(3, 9))):
        scene.visit(office, bookmarks[nth % 3], at=at)


def application(scene: Scene) -> None:
    """A program that calls every few seconds for an hour, on one port, served or not."""
    guest, port, begin = scene.guest(), scene.chances.choice((443, 8443, 80)), scene.moment(4000)
    for nth in range(scene.chances.randint(20, 100)):
        scene.visit(guest, port, at=begin + nth * 9, lasts=0.05)


def eyeballs(scene: Scene) -> None:
    """Both families at once, each visitor with new privacy addresses in its /64 every few hours."""
    network = scene.network()
    for nth, at in enumerate(scene.spread(scene.chances.randint(6, 24))):
        scene.visit(scene.guest(six=1, net=network, host=1 + nth // 3), 443, 80, at=at)
        scene.visit(scene.guest(six=0, net=network, host=9), 443, at=at + 0.25)


def delivery_network(scene: Scene) -> None:
    """A content network fetches from many addresses and checks two more ports that are closed by now."""
    networks = [scene.network() for _ in range(3)]
    for nth, at in enumerate(scene.spread(scene.chances.randint(20, 50))):
        source = scene.guest(six=0, net=networks[nth % 3], host=1 + nth % 60)
        scene.visit(source, 443 if nth % 4 else 80, at=at)
        if nth % 5 == 0:
            scene.check(source, scene.chances.choice((8443, 8080)), at + 1)


def movers(scene: Scene) -> None:
    """Phones that change their address amid a download: the host resets what they go on with."""
    for at in scene.spread(scene.chances.randint(3, 15)):
        before, after, source = scene.guest(), scene.guest(), scene.client_port()
        port = scene.chances.choice((80, 443, 993))
        scene.visit(before, port, at=at)
        for nth, flags in enumerate((PSH | ACK, PSH | ACK, FIN | ACK, FIN | ACK)):
            if flags & FIN:
                scene.stray(after, source, port, at + 2 + nth, flags)
            else:
                scene.late(after, source, port, at + 2 + nth)
        scene.visit(after, port, at=at + 8)


def restart(scene: Scene) -> None:
    """The service restarts: for some seconds its clients are refused, and come again and again."""
    at = scene.moment(900)
    ports = sorted(scene.tcp)[:6]
    for nth in range(scene.chances.randint(3, 20)):
        guest = scene.guest()
        for port in ports[: 1 + nth % 6]:
            for turn in range(4):
                scene.add(*closed(scene.syn(guest, port, at + nth * 0.2 + turn)))
            scene.visit(guest, port, at=at + 30 + nth)


HABITS = (browsers, crawlers, many_users, application, eyeballs, delivery_network, movers, restart)
