"""Probes that the victim answers and a sensor may not read: pieces, headers, tags, source ports."""

from collections.abc import Iterator

from tests.lab.attacks.attack import PORTS, Attack, Play
from tests.lab.attacks.classes.common import connects, datagrams, suffix, syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family
from tests.lab.attacks.wire.disguises import EXTENSIONS, FRAGMENTS, Hides
from tests.lab.attacks.wire.odd_headers import IP_OPTIONS, OTHERS, SEGMENTS, TAGS, TTLS
from tests.lab.attacks.wire.upper import ACK, FIN, SYN, tcp

_INVISIBLE = "The scanner sees every open port, and no line is written."
_MANY = range(600, 640)


def _hidden(hides: Hides, family: Family, ports: range = PORTS) -> Play:
    def play(stage: Wire) -> None:
        for probe in syns(family.attacker, family.victim, ports):
            stage.scan(*hides(probe), every=0.0005)

    return play


def _from_port(number: int, family: Family, ports: range) -> Play:
    return lambda stage: stage.scan(*datagrams(family.attacker, family.victim, ports, src_port=number), every=0.001)


def _connects(family: Family) -> Play:
    return lambda stage: stage.scan(*connects(family.attacker, family.victim))


def _tcp_from_port(number: int, flags: int) -> Play:
    def play(stage: Wire) -> None:
        for port in range(2_000, 2_100):
            stage.scan(tcp(FOUR.attacker, FOUR.victim, number, port, flags, ack=77 if flags & ACK else 0))

    return play


def _served_here(port: int) -> Play:
    """The victim opens a UDP port while the sensor runs; the scan comes from this port."""

    def play(stage: Wire) -> None:
        stage.program(stage.lab.target, "answer", port)
        stage.pause(25)  # the sensor looks at the sockets each ten seconds, and twice
        stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(600, 640), src_port=port))

    return play


def _varied_connect(stage: Wire) -> None:
    """A connect scan over served and unserved ports, each connection with another TTL, properly closed."""
    for number, port in enumerate((600, 601, 80, 443, 3000, *range(602, 612), 8080)):
        ttl = 50 + number
        stage.lab.scanner.run("sh", "-c", f"ip route replace {FOUR.victim} dev eth0 hoplimit {ttl}")
        stage.lab.scanner.connect(FOUR.victim, port)
        stage.probes += 1


def _linklocal(stage: Wire) -> None:
    """The attacker is in the victim's network, and uses its link-local addresses."""
    stage.scan(*syns("fe80::66", SIX.victim), *datagrams("fe80::66", SIX.victim, _MANY))


def _nmap(*words: str) -> Play:
    def play(stage: Wire) -> None:
        target = SIX.victim if "-6" in words else FOUR.victim
        stage.run("nmap", "-n", "-Pn", "--max-retries", "1", "-T4", *words, target)

    return play


def _hping(*words: str) -> Play:
    return lambda stage: _tolerant(stage, "hping3", "-q", "-i", "u2000", "-c", "100", *words, FOUR.victim)


def _tolerant(stage: Wire, *command: str) -> None:
    """hping3's exit code tells of lost answers, not of a failure."""
    stage.run(*command, tolerant=True)


_STOCK: dict[str, Play] = {
    "nmap-mtu-128": _nmap("-sS", "--mtu", "128", "--data-length", "400", "-p1-100"),
    "nmap-f": _nmap("-sS", "-f", "-p1-100"),
    "nmap-ff-data": _nmap("-sS", "-f", "-f", "--data-length", "300", "-p1-100"),
    "nmap-mtu-24-data": _nmap("-sS", "--mtu", "24", "--data-length", "200", "-p1-100"),
    "nmap-udp-g-5353": _nmap("-sU", "-g", "5353", "-p2000-2040"),
    "nmap-udp-g-53": _nmap("-sU", "-g", "53", "-p2000-2040"),
    "nmap-udp-g-53-low": _nmap("-sU", "-g", "53", "-p100-140"),
    "nmap-fin-mtu-128": _nmap("-sF", "--mtu", "128", "--data-length", "400", "-p1-100"),
    "nmap-syn-g-53": _nmap("-sS", "-g", "53", "-p1-100"),
    "nmap-ip-options": _nmap("-sS", "--ip-options", "R", "-p1-100"),
    "nmap-ttl": _nmap("-sS", "--ttl", "3", "-p1-100"),
    "hping-frag": _hping("-S", "-f", "-p", "++600", "-d", "200"),
    "hping-fin-from-53": _hping("-F", "-s", "53", "-p", "++2000"),
    "hping-tos": _hping("-S", "-o", "10", "-p", "++600"),
    "masscan": lambda stage: _tolerant(
        stage,
        *("timeout", "8", "masscan", FOUR.victim, "-p600-700", "--rate", "500", "--wait", "0", "-e", "eth0"),
        *("--adapter-ip", FOUR.attacker, "--router-mac", stage.mac("victim").hex("-")),
    ),
}


def _everything() -> Iterator[Attack]:
    plays: dict[str, Play] = {}
    for family in FAMILIES:
        end = suffix(family)
        for group, table in (("fragments", FRAGMENTS), ("tags", TAGS), ("segment", SEGMENTS)):
            plays |= {f"hidden-{group}-{name}{end}": _hidden(hides, family) for name, hides in table.items()}
        plays |= {
            f"hidden-other-{name}{end}": _hidden(hides, family)
            for name, (hides, families) in OTHERS.items()
            if family in families
        }
        plays |= {f"hidden-ttl-{name}{end}": _hidden(hides, family, range(500, 692)) for name, hides in TTLS.items()}
        served = (1194, 5353)
        for number in (*served, 20, 53, 67, 68, 123, 161, 443, 500, 1900, 4500, 51_820):
            plays[f"hidden-udp-from-{number}{end}"] = _from_port(number, family, range(2_000, 2_040))
        for number in (53, 123, 5353):
            plays[f"hidden-udp-from-{number}-to-high{end}"] = _from_port(number, family, range(40_000, 40_040))
        plays[f"hidden-udp-from-53-to-low{end}"] = _from_port(53, family, _MANY)
        plays[f"hidden-connect{end}"] = _connects(family)
    plays |= {f"hidden-extension-{name}": _hidden(hides, SIX) for name, hides in EXTENSIONS.items()}
    plays |= {f"hidden-ip-options-{name}": _hidden(hides, FOUR) for name, hides in IP_OPTIONS.items()}
    for number in (20, 53, 80, 443):
        for word, flags in (("ack", ACK), ("fin-ack", FIN | ACK), ("syn", SYN)):
            plays[f"hidden-tcp-{word}-from-{number}"] = _tcp_from_port(number, flags)
    plays["hidden-udp-from-opened-port"] = _served_here(6_000)
    plays["hidden-link-local"] = _linklocal
    for name, play in plays.items():
        yield Attack(name, _INVISIBLE, play, way="live")
    yield Attack(
        "hidden-connect-each-another-ttl",
        "The scanner is never verified, so that mode strict never bans it.",
        _varied_connect,
        way="live",
    )
    for name, play in _STOCK.items():
        yield Attack(f"hidden-stock-{name}", _INVISIBLE, play, way="live")


ATTACKS = tuple(_everything())
