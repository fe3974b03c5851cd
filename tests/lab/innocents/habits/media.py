"""Streams: cameras, telephones, games, tunnels, and what is left when they end."""

from tests.lab.innocents.scene import Scene

# Sound and pictures come every 20 ms or more often; after the first ones, few stand for all. Reports (RTCP) are rare.
_BEGINS_SECONDS, _FIRST = 0.02, 12
_GOES_ON_SECONDS = 0.5


def _stream(scene: Scene, src: str, src_port: int, port: int, *, begin: float, count: int) -> None:
    for nth in range(count):
        at = begin + min(nth, _FIRST) * _BEGINS_SECONDS + max(0, nth - _FIRST) * _GOES_ON_SECONDS
        scene.datagram(src, port, at, src_port=src_port)


def _reports(scene: Scene, src: str, src_port: int, port: int, *, begin: float, count: int) -> None:
    for nth in range(count):
        scene.datagram(src, port, begin + nth * _GOES_ON_SECONDS, src_port=src_port)


def cameras(scene: Scene) -> None:
    """A recorder asks each camera by RTSP for two or four streams; they come to ports that it named."""
    for nth in range(scene.chances.randint(1, 4)):
        camera, begin = scene.neighbour(), scene.moment(3000)
        scene.connect(camera, 554, begin, lasts=600)
        first, count = 20_000 + 40 * nth + 2 * scene.chances.randint(0, 9), scene.chances.choice((2, 4))
        for stream in range(count):
            for pair in (0, 1):
                port, sends = first + 2 * stream + pair, _reports if pair else _stream
                scene.open(port, begin, begin + 500)
                at = begin + 0.2 + stream * 0.05
                sends(scene, camera, 30_000 + port, port, begin=at, count=8 if pair else 30)


def calls(scene: Scene) -> None:
    """A telephone exchange sends the sound of each call from a gateway beside it, to two ports of ours."""
    network = scene.network()
    provider = scene.guest(six=0, net=network, host=10)
    gateways = [scene.guest(six=0, net=network, host=20 + nth) for nth in range(3)]
    for at in scene.spread(scene.chances.randint(3, 15)):
        scene.ask(provider, 5060, at, src_port=5060)
        scene.datagram(provider, 5060, at + 0.2, src_port=5060)
        gateway, port = scene.chances.choice(gateways), 10_000 + 2 * scene.chances.randint(0, 4000)
        for pair in (0, 1):
            scene.open(port + pair, at, at + 13)
            if scene.chances.random() < 0.8:  # else it waits for us to speak first, or we only listen
                scene.ask(gateway, 30_000 + port + pair, at + 0.3 + pair * 0.1, src_port=port + pair, after=-1)
            # The last ones come when the call is over.
            sends = _reports if pair else _stream
            sends(scene, gateway, 30_000 + port + pair, port + pair, begin=at + 0.3, count=5 if pair else 42)


def meetings(scene: Scene) -> None:
    """A browser and its partners try each other's addresses, all at once (ICE), then one pair of them is used."""
    for at in scene.spread(scene.chances.randint(1, 6)):
        ours = [scene.client_port() for _ in range(scene.chances.randint(1, 4))]
        partners = [(scene.guest(six=0.2), scene.client_port()) for _ in range(scene.chances.randint(1, 3))]
        scene.ask(scene.guest(six=0), 3478, at, src_port=ours[0])
        for port in ours:
            scene.open(port, at, at + 120)
            for partner, theirs in partners:
                scene.ask(partner, theirs, at + 0.3, src_port=port, after=-1)
                for turn in range(3):
                    scene.datagram(partner, port, at + 0.25 + turn * 0.5, src_port=theirs)


def tunnels(scene: Scene) -> None:
    """VPN users, some of whom try a tunnel that was moved away, every five seconds for an hour."""
    for _ in range(scene.chances.randint(1, 5)):
        guest, begin, port = scene.guest(), scene.moment(4000), scene.chances.choice((51_820, 1194, 500, 4500))
        for nth in range(scene.chances.randint(15, 60)):
            scene.datagram(guest, port, begin + nth * 5)
            if port == 500 and nth % 4 == 0:
                scene.datagram(guest, 4500, begin + nth * 5 + 1)


def players(scene: Scene) -> None:
    """Players ask what game servers are here: the usual ports, one of which may be served."""
    for at in scene.spread(scene.chances.randint(2, 15)):
        guest = scene.guest(six=0)
        for port in scene.chances.sample((27_015, 27_016, 27_017, 27_020, 2302), 3):
            scene.datagram(guest, port, at)
        scene.visit(guest, 25_565, at=at + 1)


def torrents(scene: Scene) -> None:
    """The address had a torrent program yesterday: many peers try its port, over UDP and TCP."""
    port = scene.chances.choice((51_413, 6881, 45_682))
    for at in scene.spread(scene.chances.randint(25, 90)):
        guest = scene.guest(six=0.1)
        for turn in range(scene.chances.randint(1, 3)):
            scene.datagram(guest, port, at + turn * 3)
        if scene.chances.random() < 0.5:
            scene.visit(guest, port, at=at + 0.5)


def swarm(scene: Scene) -> None:
    """A torrent program of ours calls many peers, and they call it."""
    scene.open(51_413, 0, 90_000)
    for at in scene.spread(scene.chances.randint(15, 50)):
        peer = scene.guest(six=0.1)
        scene.ask(peer, scene.chances.randint(1025, 65_000), at, src_port=51_413, after=scene.chances.choice((0.1, -1)))
        scene.datagram(scene.guest(six=0.1), 51_413, at + 1)
        if scene.chances.random() < 0.3:
            scene.connect(peer, scene.chances.randint(1025, 65_000), at + 2, answers=scene.chances.random() < 0.4)


HABITS = (cameras, calls, meetings, tunnels, players, torrents, swarm)
