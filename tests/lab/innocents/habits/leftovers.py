"""What comes although nobody here wants it any more, or never did: late packets, backscatter, reflection."""

from portsentry_py.core.packet import ACK, FIN, RST, SYN
from tests.lab.innocents.scene import Scene
from tests.support.build import icmp_unreachable, udp


def reboot(scene: Scene) -> None:
    """We crash with twenty connections and come back; brokers and databases go on with theirs."""
    at = scene.moment(2000)
    for _ in range(scene.chances.randint(1, 4)):
        server, port = scene.guest(), scene.chances.choice((61_616, 5432, 5672, 443, 6379, 3306, 1883))
        connections = [scene.client_port() for _ in range(scene.chances.randint(3, 20))]
        for source in connections:
            scene.connect(server, port, at - 900 - scene.chances.uniform(0, 60), lasts=60)
            for turn in range(scene.chances.randint(1, 4)):
                scene.late(server, port, source, at + scene.chances.uniform(5, 60) + turn * 30)


def forgotten(scene: Scene) -> None:
    """Visitors go on with sessions that we have forgotten: FIN, RST and data from many ports of theirs."""
    for at in scene.spread(scene.chances.randint(4, 20)):
        guest = scene.guest()
        for _ in range(scene.chances.randint(1, 4)):
            port = scene.chances.choice((22, 80, 443, 993))
            scene.stray(guest, scene.client_port(), port, at, scene.chances.choice((FIN | ACK, RST, RST | ACK)))
            scene.late(guest, scene.client_port(), port, at + 1)


def backscatter(scene: Scene) -> None:
    """Somebody floods servers in our name; their SYN-ACKs, RSTs and ICMP errors come here."""
    for at in scene.spread(scene.chances.randint(2, 10)):
        victim, port = scene.guest(six=0), scene.chances.choice((80, 443, 53, 22, 25_565, 30_120))
        for nth in range(scene.chances.randint(1, 30)):
            flags = scene.chances.choice((SYN | ACK, SYN | ACK, RST | ACK, RST))
            scene.stray(victim, port, scene.chances.randint(1, 65_535), at + nth * 0.2, flags)
        (forged,) = udp(scene.host, 53, dst=victim, src_port=scene.client_port(), at=at + 3)
        scene.add(icmp_unreachable(forged))


def reflection(scene: Scene) -> None:
    """Our address was forged in questions to reflectors: answers of one kind come from all that the attacker knows."""
    at, port = scene.moment(2000), scene.chances.choice((53, 123, 389, 1900, 3478, 3702, 11_211, 17, 0))
    for _ in range(scene.chances.randint(30, 100)):
        reflector = scene.guest(six=0)
        source = port or scene.client_port()
        for nth in range(scene.chances.randint(1, 20)):
            target = scene.chances.randint(1024, 65_535)
            scene.datagram(reflector, target, at + scene.chances.uniform(0, 120) + nth, src_port=source, size=60)


def callbacks(scene: Scene) -> None:
    """We connect to a chat server, which checks for open proxies here, and to a file server in active mode."""
    for at in scene.spread(scene.chances.randint(1, 3)):
        server = scene.guest(six=0)
        scene.connect(server, 6667, at, lasts=300)
        proxies = scene.chances.sample(
            (8080, 3128, 1080, 80, 8000, 6588, 23, 81, 9050, 4145), scene.chances.randint(3, 10)
        )
        scene.visit(server, *proxies, at=at + 0.5, tries=1)


def active_files(scene: Scene) -> None:
    """We fetch files in active mode: the server calls the ports that we named, and a firewall may be in its way."""
    for at in scene.spread(scene.chances.randint(1, 3)):
        server = scene.guest(six=0)
        scene.connect(server, 21, at, lasts=400)
        for nth in range(scene.chances.randint(1, 30)):
            port = scene.client_port()
            if scene.chances.random() < 0.5:
                asked = scene.syn(server, port, at + 2 + nth * 8, src_port=20)
                scene.add(asked, *([asked.later(1), asked.later(3)] if scene.drops else []))
            else:
                scene.tcp.add(port)
                scene.visit(server, port, at=at + 2 + nth * 8)


def noise(scene: Scene) -> None:
    """Bots of the Internet touch one or two ports each: no scan of this host, whatever they do elsewhere."""
    ports = (23, 2323, 445, 3389, 5555, 8080, 1433, 3306, 5900, 6379, 25, 81, 37_215, 2375)
    for at in scene.spread(scene.chances.randint(20, 80)):
        scene.visit(scene.guest(six=0), *scene.chances.sample(ports, scene.chances.randint(1, 2)), at=at, tries=1)


HABITS = (reboot, forgotten, backscatter, reflection, callbacks, active_files, noise)
