"""Packets inside packets, sent to a victim that has no tunnel: what is inside must not speak for anybody."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.lab.attacks.attack import PORTS, Attack, Play, Sent, Stage
from tests.lab.attacks.classes.common import datagrams, suffix, syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import Packet, ethernet
from tests.lab.attacks.wire.tunnels import TUNNELS, Tunnel
from tests.lab.attacks.wire.upper import ACK, FIN, SYN, syn, tcp, udp
from tests.support.namespaces import IFACE, ip

_COMMON = frozenset({"ip", "gre-key", "pptp", "vxlan", "ip-in-ip-in-ip", "ip-in-pieces"})
"""What the tests play; the whole run plays all."""
_TABLE_SIZES = {"servers": 1100, "asked": 50_500, "ports": 66_000}


def _outer(family: Family) -> tuple[str, str]:
    return family.attacker, family.victim


def _teach(tunnel: Tunnel, outer: Family, inner: Family) -> Play:
    """SYN-ACKs of the victim, one for each port; then an accomplice scans these ports."""

    def play(stage: Stage) -> None:
        for port in PORTS:
            answer = tcp(inner.victim, inner.attacker, port, 40_000, SYN | ACK, seq=9_000, ack=1001)
            stage.send(*tunnel(answer, *_outer(outer)))
        stage.scan(*syns(inner.accomplice, inner.victim))

    return play


def _teach_udp(tunnel: Tunnel, family: Family) -> Play:
    """Questions of an accomplice and the victim's answers, both inside; then the accomplice scans."""

    def play(stage: Stage) -> None:
        for port in PORTS:
            asked = udp(family.accomplice, family.victim, 40_000, port)
            answer = udp(family.victim, family.accomplice, port, 40_000)
            stage.send(*tunnel(asked, *_outer(family)), *tunnel(answer, *_outer(family)))
        stage.scan(*(udp(family.accomplice, family.victim, 40_001, port) for port in PORTS))

    return play


def _server(tunnel: Tunnel, family: Family, port: int) -> Play:
    """The victim's question to the attacker, inside; the attacker's real answer; then a scan."""

    def play(stage: Stage) -> None:
        stage.send(*tunnel(udp(family.victim, family.attacker, 41_234, port), *_outer(family)))
        stage.send(udp(family.attacker, family.victim, port, 41_234, bytes(40)))
        stage.scan(*syns(family.attacker, family.victim))

    return play


def _doubt(tunnel: Tunnel, family: Family, *, later: float = 0.0) -> Play:
    """The attacker's own address inside, once; then a plain scan."""

    def play(stage: Stage) -> None:
        stage.send(*tunnel(syn(family.attacker, family.victim, 23), *_outer(family)))
        if later:
            stage.pause(later)
        stage.scan(*syns(family.attacker, family.victim))

    return play


def _half(tunnel: Tunnel, family: Family) -> Play:
    """Every second probe of the scan comes through a tunnel."""

    def play(stage: Stage) -> None:
        for probe in syns(family.attacker, family.victim):
            even = probe.payload[3] % 2 == 0
            stage.scan(*(tunnel(probe, *_outer(family)) if even else [probe]))

    return play


def _proof(tunnel: Tunnel, family: Family, *, outside: bool) -> Play:
    """An innocent's scan and two of its sessions, all inside; or its scan outside, in its name."""

    def play(stage: Stage) -> None:
        def probe(port: int) -> None:
            forged = syn(family.stranger, family.victim, port)
            stage.send(*([forged] if outside else tunnel(forged, *_outer(family))))

        probe(600)
        for number, port in enumerate((22, 80)):
            ends = (42_000 + number, port)
            for packet in (
                tcp(family.stranger, family.victim, *ends, SYN, seq=8, options=bytes.fromhex("020405b4")),
                tcp(family.victim, family.stranger, *ends[::-1], SYN | ACK, seq=9_000, ack=9),
                tcp(family.stranger, family.victim, *ends, FIN | ACK, seq=9, ack=9_001),
            ):
                stage.send(*tunnel(packet, *_outer(family)))
        for port in range(601, 608):
            probe(port)

    return play


def _proof_of_a_friend(stage: Tape) -> None:
    """The same against a guest of ten days, who would only be watched otherwise."""
    for _ in range(10):
        stage.visit(FOUR.innocent, 3, every=20)
        stage.pause(86_400)
    _proof(TUNNELS["ip"], replace(FOUR, stranger=FOUR.innocent), outside=False)(stage)


def _framed(tunnel: Tunnel, outer: Family, inner: Family) -> Play:
    """Twenty SYNs in an innocent's name, inside."""

    def play(stage: Stage) -> None:
        for probe in syns(inner.stranger, inner.victim, range(600, 620)):
            stage.send(*tunnel(probe, *_outer(outer)))

    return play


def _alarm(tunnel: Tunnel, family: Family) -> Play:
    """SYNs of the victim to sixty hosts, inside."""
    targets = [f"198.19.{number}.9" if family is FOUR else f"2001:db8:300:{number:x}::9" for number in range(60)]

    def play(stage: Stage) -> None:
        for target in targets:
            stage.send(*tunnel(syn(family.victim, target, 23), *_outer(family)))

    return play


def _friends(tunnel: Tunnel, family: Family) -> Play:
    """Five sessions of the attacker, both sides inside; then it scans."""

    def play(stage: Stage) -> None:
        for number in range(5):
            ends = (42_000 + number, 80)
            for packet in (
                tcp(family.attacker, family.victim, *ends, SYN, seq=8),
                tcp(family.victim, family.attacker, *ends[::-1], SYN | ACK, seq=9_000, ack=9),
                tcp(family.attacker, family.victim, *ends, FIN | ACK, seq=20, ack=9_300),
            ):
                stage.send(*tunnel(packet, *_outer(family)))
        stage.scan(*syns(family.attacker, family.victim))

    return play


def _evict_resolver(stage: Tape) -> None:
    """Inside, 1,100 servers that the victim seems to ask; then ten datagrams in the name of one that it asked."""
    resolver = "198.19.53.53"
    stage.ask(resolver)
    for number in range(_TABLE_SIZES["servers"]):
        server = f"10.{number >> 8}.{number & 0xFF}.53"
        for packet in (udp(FOUR.victim, server, 41_000, 53), udp(server, FOUR.victim, 53, 41_000)):
            stage.send(*TUNNELS["ip"](packet, *_outer(FOUR)), every=0.0002)
    stage.send(*datagrams(resolver, FOUR.victim, range(600, 610)))


def _evict_own_flows(stage: Tape) -> None:
    """The victim asks a server; 50,500 questions of the victim, inside; the server's late answers come."""
    server = "198.19.53.53"
    asked = [udp(FOUR.victim, server, 20_000 + number, 4_000, ttl=64) for number in range(20)]
    stage.say(*asked)
    for number in range(_TABLE_SIZES["asked"]):
        inside = udp(FOUR.victim, f"10.{number >> 8}.{number & 0xFF}.9", 43_000, 9_999)
        stage.send(*TUNNELS["ip"](inside, *_outer(FOUR)), every=0.00002)
    stage.hear(*(udp(server, FOUR.victim, 4_000, 20_000 + number) for number in range(20)))


def _evict_answered_ports(stage: Tape) -> None:
    """66,000 SYN-ACKs of the victim, inside, push out the ports that it really answered from."""
    for number in range(_TABLE_SIZES["ports"]):
        port = number % 65_000 + 1
        victim = FOUR.victim if number < 65_000 else f"203.0.113.{number % 200}"
        answer = tcp(victim, FOUR.attacker, port, 40_000, SYN | ACK, seq=9_000, ack=1001)
        stage.send(*TUNNELS["ip"](answer, *_outer(FOUR)), every=0.00002)
    stage.scan(*syns(FOUR.accomplice, FOUR.victim))


def _probe_of_protocol(stage: Stage) -> None:
    """What the outer packets are: a scan of IP protocols, with something inside."""
    inside = syn(FOUR.attacker, FOUR.victim, 23).content
    for number in (4, 41, 47, 50, 51, 55, 97, 103, 115, 137):
        stage.send(Packet(FOUR.attacker, FOUR.victim, number, inside))


def _opened_vxlan(family: Family) -> Callable[[Wire], None]:
    """The victim has the tunnel's device: its kernel opens what comes in, and shows the inside on that device."""
    inner_victim, inner_scanner = ("192.168.77.1", "198.18.77.5")

    def play(wire: Wire) -> None:
        target = wire.lab.target.namespace
        words = ("type", "vxlan", "id", "7", "dstport", "4789", "local", family.victim)
        ip("-n", target, "link", "add", "vx0", *words, "dev", IFACE)
        ip("-n", target, "link", "set", "vx0", "address", wire.mac("victim").hex(":"), "up")
        ip("-n", target, "addr", "add", f"{inner_victim}/24", "dev", "vx0")
        wire.start(interfaces=[IFACE, "vx0"])
        for probe in syns(inner_scanner, inner_victim):
            wire.send(*_vxlan_to(wire.mac("victim"), probe, *_outer(family)))

    return play


def _vxlan_to(receiver: bytes, inner: Packet, src: str, dst: str) -> list[Sent]:
    """As the tunnel of that name, with the device's link address inside: another one the device ignores."""
    head = bytes.fromhex("0800000000000700")
    return [udp(src, dst, 50_000, 4789, head + receiver + ethernet(inner)[6:])]


_Maker = Callable[[Tunnel, Family], Play]
_USES: dict[str, tuple[_Maker, str, bool]] = {
    "doubt": (_doubt, "One packet, and a scanner is watched for ever instead of banned.", False),
    "doubt-later": (
        lambda tunnel, family: _doubt(tunnel, family, later=60 * 3600),
        "One packet, and a scanner is watched instead of banned days later.",
        False,
    ),
    "half": (_half, "Half of the probes in a tunnel save the other half from a ban.", False),
    "friend": (_friends, "Fifteen packets make the scanner a friend.", False),
    "proof": (
        lambda tunnel, family: _proof(tunnel, family, outside=False),
        "Fourteen packets from an ordinary address ban anybody, as a verified source.",
        True,
    ),
    "proof-outside": (
        lambda tunnel, family: _proof(tunnel, family, outside=True),
        "A forged scan is verified by sessions that nobody had.",
        True,
    ),
    "alarm": (_alarm, "The operator hears that this host scans others.", False),
    "udp": (_teach_udp, "All UDP ports count as served: a scan of them has no line.", False),
    "resolver": (
        lambda tunnel, family: _server(tunnel, family, 53),
        "Two packets, and a scanner is exempt as the victim's name server.",
        False,
    ),
    "ntp": (
        lambda tunnel, family: _server(tunnel, family, 123),
        "Two packets, and a scanner is exempt as the victim's time server.",
        False,
    ),
    "dhcp": (
        lambda tunnel, family: _server(tunnel, family, 67 if family is FOUR else 547),
        "Two packets, and a scanner is exempt as the victim's lease server.",
        False,
    ),
}


def _everything() -> Iterator[Attack]:
    taught = "All ports count as served: nobody's scan of them has a line."
    framing = "An innocent is named for a scan, from an address that cannot forge."
    for name, tunnel in TUNNELS.items():
        for family in FAMILIES:
            other = SIX if family is FOUR else FOUR
            end = suffix(family)
            yield Attack(f"tunnel-teach-{name}{end}", taught, _teach(tunnel, family, family))
            play = _framed(tunnel, family, family)
            yield Attack(f"tunnel-frame-{name}{end}", framing, play, forges=name == "pppoe")
            live_play = _teach(tunnel, family, family)
            yield Attack(f"tunnel-live-teach-{name}{end}", taught, live_play, way="live")
            if name in _COMMON:
                play = _teach(tunnel, family, other)
                yield Attack(f"tunnel-teach-{name}-v{other.number}-in-v{family.number}", taught, play)
    for use, (maker, gain, forges) in _USES.items():
        for name in ("ip", "gre-key", "etherip", "vxlan"):
            for family in FAMILIES:
                yield Attack(f"tunnel-{use}-{name}{suffix(family)}", gain, maker(TUNNELS[name], family), forges=forges)
    yield Attack(
        "tunnel-evict-resolver",
        "A name server is forgotten, and ten forged datagrams ban it.",
        _evict_resolver,
        forges=True,
    )
    yield Attack(
        "tunnel-evict-own-flows",
        "What the victim asked for is forgotten: late answers count as a scan.",
        _evict_own_flows,
    )
    yield Attack("tunnel-evict-ports", "The table of served ports is replaced.", _evict_answered_ports)
    yield Attack(
        "tunnel-proof-of-a-friend",
        "Fourteen packets ban a guest of many days, as a verified source.",
        _proof_of_a_friend,
        forges=True,
    )
    for family in FAMILIES:
        yield Attack(
            f"tunnel-live-opened-vxlan{suffix(family)}",
            "A scan through a tunnel that the victim opens has no line.",
            _opened_vxlan(family),
            way="live",
            starts=False,
        )
    yield Attack("tunnel-protocols", "A scan of IP protocols is taken for its contents.", _probe_of_protocol)


ATTACKS = tuple(_everything())
