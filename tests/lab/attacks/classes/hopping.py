"""One owner, many addresses: networks that scan a little from each address."""

from collections.abc import Iterator

from tests.lab.attacks.attack import Attack, Play
from tests.lab.attacks.parties import FOUR, SIX
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import Packet
from tests.lab.attacks.wire.upper import FIN, mixed, syn, tcp, udp

_UNSEEN = "All ports are scanned, and no ban meets more than an address that is never used again."
_PORTS = range(1_100, 2_100)
_NAT64 = "64:ff9b::"


def _within(prefix: int, number: int, *, fixed: int = 0) -> str:
    """An address of the attacker's network of that prefix length, for probe `number`."""
    low = mixed("low", number) << 32 | mixed("lower", number)
    subnet = {64: 0, 56: mixed("subnet", number) & 0xFF, 48: mixed("subnet", number) & 0xFFFF}[prefix]
    network = 0x20010DB80BAD << 16 | (subnet or fixed)
    value = network << 64 | low
    groups = [f"{value >> shift & 0xFFFF:x}" for shift in range(112, -16, -16)]
    return ":".join(groups)


def _probe(kind: str, source: str, victim: str, port: int) -> Packet:
    return {
        "syn": lambda: syn(source, victim, port),
        "udp": lambda: udp(source, victim, 40_000, port),
        "fin": lambda: tcp(source, victim, 40_000, port, FIN),
    }[kind]()


def _hop(prefix: int, *, kind: str = "syn", each: int = 1, every: float = 0.005) -> Play:
    """Another address after `each` probes."""

    def play(stage: Tape) -> None:
        for number, port in enumerate(_PORTS):
            source = _within(prefix, number // each)
            stage.scan(_probe(kind, source, SIX.victim, port), every=every)

    return play


def _seven_of_each(prefix: int) -> Play:
    """Seven ports from each /64: one less than a scan."""

    def play(stage: Tape) -> None:
        for number, port in enumerate(_PORTS):
            network = number // 7
            subnet = network if prefix == 48 else network & 0xFF
            stage.scan(syn(f"2001:db8:bad:{subnet:x}::{number:x}", SIX.victim, port), every=0.005)

    return play


def _slowly(prefix: int, seconds: float) -> Play:
    def play(stage: Tape) -> None:
        for number, port in enumerate(range(1_100, 1_160)):
            stage.scan(syn(_within(prefix, number), SIX.victim, port))
            stage.pause(seconds)

    return play


def _sweep(stage: Tape) -> None:
    """A hundred hosts of ours, each asked from another address."""
    for number in range(100):
        target = f"2001:db8:113::{0x100 + number:x}"
        stage.scan(syn(_within(64, number), target, 23), every=0.01)


def _all_ports(stage: Tape) -> None:
    """All 65,535 ports in 33 seconds."""
    for port in range(1, 65_536):
        stage.scan(syn(_within(64, port), SIX.victim, port), every=0.0005)


def _traps(stage: Tape) -> None:
    """Each trap once, from another address."""
    for number, port in enumerate((1, 11, 15, 17, 19, 70, 512, 540)):
        stage.scan(syn(_within(64, number), SIX.victim, port), every=1)


def _friend_first(stage: Tape) -> None:
    """Before that, five quick sessions of yet another address of the /64."""
    for _ in range(5):
        stage.visit("2001:db8:bad::77", 1)
    _hop(64)(stage)


def _two_networks(stage: Tape) -> None:
    """Two /64s of different owners' size, in turn, seven ports each a minute."""
    for number, port in enumerate(_PORTS):
        source = f"2001:db8:bad:{number % 2 + 1:x}::{number:x}"
        stage.scan(syn(source, SIX.victim, port), every=4.3)


def _through_nat64(*, forged: bool) -> Play:
    """A scan from an IPv4 address behind NAT64: its /64 is the whole of IPv4."""

    def play(stage: Tape) -> None:
        source = f"{_NAT64}{'c613:c807' if forged else 'c612:4d05'}"
        packets = [syn(source, SIX.victim, port) for port in range(1_100, 1_200)]
        stage.send(*packets)

    return play


def _spread4(sources: int, ports: range, *, one_network: bool, every: float) -> Play:
    """IPv4: seven ports and fewer from each address, of one /24 or of many networks."""

    def play(stage: Tape) -> None:
        for number, port in enumerate(ports):
            who = number % sources
            source = f"198.18.44.{who + 1}" if one_network else f"198.18.{who}.9"
            stage.scan(syn(source, FOUR.victim, port, ttl=40 + who % 20), every=every)

    return play


def _patient4(ports: int, seconds: float) -> Play:
    """One address, below every threshold: the exact limits."""

    def play(stage: Tape) -> None:
        for port in range(1_100, 1_100 + ports):
            stage.scan(syn(FOUR.attacker, FOUR.victim, port))
            stage.pause(seconds)

    return play


def _patient_mixed(stage: Tape) -> None:
    """Seven TCP, seven UDP and seven SCTP ports within three days."""
    for number in range(7):
        stage.scan(syn(FOUR.attacker, FOUR.victim, 1_100 + number))
        stage.pause(600)
        stage.scan(udp(FOUR.attacker, FOUR.victim, 40_000, 2_100 + number))
        stage.pause(600)


def _everything() -> Iterator[Attack]:
    plays: dict[str, Play] = {
        "64": _hop(64),
        "64-udp": _hop(64, kind="udp"),
        "64-fin": _hop(64, kind="fin"),
        "64-three-each": _hop(64, each=3),
        "64-a-second": _hop(64, every=1.0),
        "64-in-a-flood": _hop(64, every=0.0004),
        "64-slow": _slowly(64, 70),
        "64-sweep": _sweep,
        "64-traps": _traps,
        "64-friend-first": _friend_first,
        "56": _hop(56),
        "56-slow": _slowly(56, 70),
        "56-seven-each": _seven_of_each(56),
        "48": _hop(48),
        "48-seven-each": _seven_of_each(48),
        "48-udp": _hop(48, kind="udp"),
        "two-networks": _two_networks,
        "nat64": _through_nat64(forged=False),
        "v4-one-24": _spread4(250, range(1_100, 2_100), one_network=True, every=0.02),
        "v4-one-24-slow": _spread4(250, range(1_100, 1_400), one_network=True, every=40),
        "v4-143-networks": _spread4(143, range(1_100, 2_100), one_network=False, every=0.001),
        "v4-143-networks-an-hour": _spread4(143, range(1_100, 2_100), one_network=False, every=3.6),
        "v4-patient-10-a-second": _patient4(40, 10.2),
        "v4-patient-an-hour": _patient4(20, 3_600),
        "v4-patient-12-hours": _patient4(20, 43_200),
        "v4-patient-mixed": _patient_mixed,
    }
    homes = ("203.0.113.1", "2001:db8:113::/64")
    for name, play in plays.items():
        yield Attack(f"hop-{name}", _UNSEEN, play, home=homes)
    yield Attack("hop-64-all-ports", _UNSEEN, _all_ports, home=homes)
    yield Attack(
        "hop-nat64-forged",
        "A forged address behind NAT64 has all of IPv4 banned.",
        _through_nat64(forged=True),
        forges=True,
        home=homes,
    )


ATTACKS = tuple(_everything())
