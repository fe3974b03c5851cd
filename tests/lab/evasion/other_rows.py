"""Rows of other tools and of packets that no tool sends: pieces, headers, pauses, changed addresses, idle scans."""

from collections.abc import Callable, Iterator

from tests.lab.attacks.attack import SERVED_TCP
from tests.lab.attacks.classes.common import syns
from tests.lab.attacks.parties import FOUR, SIX
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.disguises import EXTENSIONS, FRAGMENTS, Hides
from tests.lab.attacks.wire.ip import DESTINATION, HOP_BY_HOP, Packet, behind, experiment, options_header
from tests.lab.attacks.wire.upper import ACK, RST, SYN, syn, tcp
from tests.lab.evasion.row import Expected, Party, Row

_REPLAYED = range(600, 640)
_SIZES = (8, 16, 40, 64, 104, 160, 200)
_HEADERS = "SYN behind IPv6 headers"
_CUT = "tshark prints too little of an ICMPv6 error to tell the port that it refuses, and no probe was recognized."
_DAY_SECONDS = 86_400


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _tools()
    yield from _in_pieces()
    yield from _behind_headers()
    yield from _two_addresses()
    yield from _in_simulated_time()


def _tool(name: str, *words: str, family: int = 4) -> Row:
    def live(one: Party) -> None:
        mac = one.wire.mac("victim").hex("-")
        places = {"target": one.target, "source": one.source, "mac": mac}
        one.run(*(word.format_map(places) for word in (name, *words)))

    typed = " ".join((name, *words)).format_map({"target": "TARGET", "source": "SOURCE", "mac": "MAC"})
    return Row("other tools", typed, live, family=family)


def _tools() -> Iterator[Row]:
    hping = ("-q", "-i", "u2000", "-c", "40", "-a", "{source}")
    yield _tool("hping3", "-S", *hping, "-p", "++600", "{target}")
    yield _tool("hping3", "-S", "-f", "-d", "200", *hping, "-p", "++600", "{target}")
    yield _tool("hping3", "-S", "-o", "10", *hping, "-p", "++600", "{target}")
    yield _tool("hping3", "-F", "-s", "53", *hping, "-p", "++2000", "{target}")
    yield _tool("hping3", "-X", *hping, "-p", "++600", "{target}")
    yield _tool("hping3", "--udp", *hping, "-p", "++2000", "{target}")
    yield _tool("hping3", "-A", *hping, "-p", "++600", "{target}")
    scan = (
        "-p600-700",
        "--rate",
        "500",
        "--wait",
        "0",
        "-e",
        "eth0",
        "--adapter-ip",
        "{source}",
        "--router-mac",
        "{mac}",
    )
    yield _tool("timeout", "8", "masscan", "{target}", *scan)
    yield _tool("timeout", "8", "masscan", "{target}", *scan, "--source-port", "53")
    for words in (("--tcp", "--flags", "syn"), ("--tcp", "--flags", "fin"), ("--udp",), ("--tcp-connect",)):
        yield _tool("nping", *words, "--rate", "200", "-c", "1", "-H", "-p", "600-639", "{target}")
    yield _tool(
        "nping",
        "-6",
        "--tcp",
        "--flags",
        "syn",
        "--rate",
        "200",
        "-c",
        "1",
        "-H",
        "-p",
        "600-639",
        "{target}",
        family=6,
    )


def _sent(hides: Hides) -> Callable[[Party], None]:
    def live(one: Party) -> None:
        for probe in syns(one.source, one.target, one.ports):
            one.send(hides(probe), every=0.0005)

    return live


def _hidden(group: str, name: str, hides: Hides, family: int) -> Row:
    said = name if "," in name else name.replace("-", " ")
    if name.startswith("udp") and group == _HEADERS:
        return Row(group, said, _sent(hides), family=family, expected="unseen", why=_CUT, has_ports=True)
    return Row(group, said, _sent(hides), family=family, has_ports=True)


def _in_pieces() -> Iterator[Row]:
    for family in (4, 6):
        for name, hides in FRAGMENTS.items():
            yield _hidden("SYN in pieces", name, hides, family)


def _behind_headers() -> Iterator[Row]:
    def options(size: int, kind: int) -> Hides:
        return lambda probe: [behind(probe, (kind, lambda upper: options_header(upper, experiment(size - 4))))]

    for word, kind in (("destination options", DESTINATION), ("hop-by-hop options", HOP_BY_HOP)):
        for size in _SIZES:
            yield _hidden(_HEADERS, f"{word}, {size} bytes", options(size, kind), 6)
    for name, hides in EXTENSIONS.items():
        yield _hidden(_HEADERS, name, hides, 6)


def _two_addresses() -> Iterator[Row]:
    def stateless(one: Party) -> None:
        served = [syn(one.source, one.target, port, src_port=51_000) for port in SERVED_TCP]
        one.send([*syns(one.source, one.target, one.ports), *served])
        for port in SERVED_TCP[:3]:
            one.wire.lab.scanner.connect(one.target, port, source=one.other)

    def half(one: Party) -> None:
        one.send([syn(one.source if nth % 2 else one.other, one.target, port) for nth, port in enumerate(one.ports)])

    group = "addresses that change"
    for family in (4, 6):
        yield Row(
            group, "stateless SYNs, then connections to what is open from another address", stateless, family=family
        )
        yield Row(group, "two addresses in turn, half of the ports each", half, family=family, has_ports=True)

    def visits(one: Party) -> None:
        for port in SERVED_TCP[:3]:
            one.wire.lab.scanner.connect(one.target, port)

    why = "It asks only for what is served: a visitor. The address that scanned before has a row of its own."
    yield Row(
        group, "connections to what is open, from the address that did not scan", visits, expected="unseen", why=why
    )


def _in_simulated_time() -> Iterator[Row]:
    for family, ends in ((4, FOUR), (6, SIX)):
        for pause, said in (
            (15, "nmap -T1"),
            (300, "nmap -T0"),
            (600, "one probe in ten minutes"),
            (60, "one in a minute"),
        ):

            def slow(tape: Tape, pause: int = pause, source: str = ends.attacker, target: str = ends.victim) -> None:
                for port in range(600, 600 + min(144, _DAY_SECONDS // pause)):
                    tape.scan(syn(source, target, port, src_port=40_000 + port), every=1)
                    tape.pause(pause - 1)

            yield Row("in simulated time", f"{said}: a SYN each {pause} s", replayed=slow, family=family)

    def paused(tape: Tape) -> None:
        for nth, port in enumerate(range(600, 660)):
            tape.scan(syn(FOUR.attacker, FOUR.victim, port), every=0.5)
            if nth % 6 == 5:
                tape.pause(900)

    yield Row("in simulated time", "six SYNs, a pause of 15 minutes, and again", replayed=paused)
    yield from _idle_scans()


def _idle_scans() -> Iterator[Row]:
    def as_zombie(tape: Tape) -> None:
        """The scanner reads our IP identification by SYN-ACKs; its target answers us what was forged in our name."""
        for port in range(600, 640):
            for _ in range(2):
                tape.scan(tape_segment(FOUR.attacker, 80, 40_000 + port, SYN | ACK), every=0.3)
            tape.hear(tape_segment(FOUR.stranger, port, 80, SYN | ACK if port % 9 == 0 else RST | ACK), every=0.3)

    def tape_segment(source: str, src_port: int, port: int, flags: int) -> Packet:
        return tcp(source, FOUR.victim, src_port, port, flags, ack=77)

    def as_target(tape: Tape) -> None:
        """All that the target sees is the zombie's address."""
        tape.scan(*syns(FOUR.attacker, FOUR.victim, _REPLAYED), every=0.2)

    why = (
        "SYN-ACKs that we did not ask for look like a flood of somebody else in our name, and no port of ours is asked "
        "for: the scan is of another host."
    )
    unseen: Expected = "unseen"
    yield Row(
        "in simulated time", "nmap -sI with this host as the zombie", replayed=as_zombie, expected=unseen, why=why
    )
    yield Row("in simulated time", "nmap -sI with this host as the target: the zombie is named", replayed=as_target)
