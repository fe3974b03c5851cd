"""Bans of innocents: what a forger needs for one, how many a minute, and whom it cannot have banned."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tests.lab.attacks.attack import Attack, Play
from tests.lab.attacks.classes.common import connects, datagrams, suffix, syns
from tests.lab.attacks.classes.forgeries import SEQUENCES, Forgery
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family, strangers
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import Packet
from tests.lab.attacks.wire.upper import ACK, MSS, PSH, STACK_OPTIONS, SYN, mixed, syn, tcp, udp

_DAY = 86_400.0
_BANNED = "An innocent is banned."
_A_MINUTE = 600
"""How many innocents the forger tries to have banned in a minute."""


# ---- whom it hits


def _stranger(sequence: Forgery, family: Family) -> Play:
    return lambda stage: stage.send(*sequence(family.stranger, family), every=0.05)


def _guest(sequence: Forgery, family: Family) -> Play:
    """The innocent used the web server eight times within a minute, just before."""

    def play(stage: Tape) -> None:
        stage.visit(family.innocent, 8, every=5)
        stage.send(*sequence(family.innocent, family), every=0.05)

    return play


def _friend(sequence: Forgery, family: Family) -> Play:
    """The innocent (a crawler, an office, a partner) has come each day for ten days."""

    def play(stage: Tape) -> None:
        for _ in range(10):
            stage.visit(family.innocent, 3, every=20)
            stage.pause(_DAY)
        stage.send(*sequence(family.innocent, family), every=0.05)

    return play


def _our_server(sequence: Forgery, family: Family) -> Play:
    """We hold connections to the innocent (a database elsewhere)."""

    def play(stage: Tape) -> None:
        for number in range(4):
            ends = (38_000 + number, 5432)
            opened = tcp(family.victim, family.innocent, *ends, SYN, seq=5, options=STACK_OPTIONS, ttl=64)
            stage.say(opened)
            stage.hear(tcp(family.innocent, family.victim, *ends[::-1], SYN | ACK, seq=70, ack=6))
            stage.say(tcp(family.victim, family.innocent, *ends, ACK | PSH, seq=6, ack=71, data=b"x", ttl=64))
        stage.pause(30)
        stage.send(*sequence(family.innocent, family), every=0.05)

    return play


def _asked_for_days(sequence: Forgery, family: Family) -> Play:
    """A name server that the victim has asked each day for ten days."""

    def play(stage: Tape) -> None:
        for _ in range(10):
            stage.ask(family.innocent)
            stage.pause(_DAY)
        stage.send(*sequence(family.innocent, family), every=0.05)

    return play


def _slow(seconds: float, count: int, family: Family) -> Play:
    def play(stage: Tape) -> None:
        for port in range(600, 600 + count):
            stage.send(syn(family.stranger, family.victim, port))
            stage.pause(seconds)

    return play


def _members(family: Family, *, friendly: bool) -> Play:
    """Forged members of an innocent's /24 or /64, one packet each."""

    def play(stage: Tape) -> None:
        if friendly:
            for _ in range(10):
                stage.visit(family.innocent, 3, every=20)
                stage.pause(_DAY)
        net = family.innocent.rpartition("." if family is FOUR else ":")[0]
        for number in range(100):
            member = f"{net}.{number + 100}" if family is FOUR else f"2001:db8:2::{0x1000 + number:x}"
            stage.send(syn(member, family.victim, 600 + number), every=0.05)

    return play


# ---- how many


def _plain(packet: Packet, _number: int) -> Packet:
    return packet


def _varied(packet: Packet, number: int) -> Packet:
    """Each innocent with hops, window and options of its own, as many senders would have."""
    ttl = 40 + mixed("ttl", number) % 24
    if packet.proto != 6 or packet.payload[13] != SYN:
        return replace(packet, ttl=ttl)
    src_port, port = (int.from_bytes(packet.payload[at : at + 2], "big") for at in (0, 2))
    return tcp(
        packet.src,
        packet.dst,
        20_000 + mixed("port", number, src_port) % 40_000,
        port,
        SYN,
        seq=mixed("seq", number, port),
        options=(STACK_OPTIONS, MSS, b"")[number % 3],
        window=1024 * (1 + number % 60),
        ttl=ttl,
    )


def _many(sequence: Forgery, sources: Sequence[str], disguise: Callable[[Packet, int], Packet], family: Family) -> Play:
    """Interleaved over the minute: first one packet of each innocent, then the second of each."""

    def play(stage: Tape) -> None:
        forged = [
            [disguise(packet, number) for packet in sequence(source, family)] for number, source in enumerate(sources)
        ]
        every = 60 / sum(map(len, forged))
        for one in forged:
            stage.send(*one, every=every)

    return play


def _one_network(count: int) -> list[str]:
    return [f"198.19.{number // 200}.{number % 200 + 1}" for number in range(count)]


# ---- without forging, and whom nobody may ban


def _browser(*, friend: bool) -> Play:
    """A page makes a browser fetch eight ports of ours: a real source, with real connections."""

    def play(stage: Tape) -> None:
        for _ in range(10 if friend else 1):
            stage.visit(FOUR.innocent, 3)
            if friend:
                stage.pause(_DAY)
        stage.send(*connects(FOUR.innocent, FOUR.victim, range(8_000, 8_008)))

    return play


def _crawler(stage: Tape) -> None:
    """A crawler of many days follows eight links to ports that nobody serves, within three days."""
    for number in range(10):
        stage.visit(FOUR.innocent, 5, every=30)
        if number >= 2:
            stage.send(*connects(FOUR.innocent, FOUR.victim, (8_000 + number,)))
        stage.pause(_DAY / 3)


def _made_to_answer(ports: Sequence[int]) -> Play:
    """A name server answers questions that were forged in our name, from our ports: reflection."""
    answer = bytes.fromhex("1234818000010001") + bytes(60)
    return lambda stage: stage.send(*(udp(FOUR.stranger, FOUR.victim, 53, port, answer) for port in ports), every=0.05)


_NOBODY = {
    "zero": "0.0.0.0",
    "loopback": "127.0.0.1",
    "broadcast": "255.255.255.255",
    "net-broadcast": "203.0.113.255",
    "multicast": "224.0.0.1",
    "class-e": "240.0.0.1",
    "ourselves": FOUR.victim,
    "loopback-v6": "::1",
    "zero-v6": "::",
    "multicast-v6": "ff02::1",
    "mapped": "::ffff:192.0.2.10",
    "ourselves-v6": SIX.victim,
}


def _in_the_name_of(source: str) -> Play:
    family = SIX if ":" in source else FOUR
    return lambda stage: stage.send(
        *syns(source, family.victim, range(600, 632)), *datagrams(source, family.victim, range(600, 632))
    )


def _live_gateway(stage: Wire) -> None:
    for source, family in (("203.0.113.254", FOUR), ("fe80::fe", SIX)):
        stage.send(*syns(source, family.victim, range(600, 632)))


def _live_connected(stage: Wire) -> None:
    """The innocent holds a connection to the web server while a thousand SYNs carry its address."""
    stage.hold(FOUR.innocent, 80)
    stage.pause(11)
    stage.send(*syns(FOUR.innocent, FOUR.victim, range(1_100, 2_100)))


_KINDS: dict[str, tuple[Callable[[Forgery, Family], Play], tuple[str, ...]]] = {
    "stranger": (_stranger, tuple(SEQUENCES)),
    "guest": (_guest, ("syn", "udp", "udp-two-traps", "tcp-two-traps", "odd-flags", "fin-ack")),
    "friend": (_friend, tuple(SEQUENCES)),
    "our-server": (_our_server, ("syn", "udp", "udp-two-traps", "tcp-two-traps", "odd-flags")),
    "asked-for-days": (_asked_for_days, ("syn", "udp", "udp-two-traps", "tcp-two-traps")),
}
_HOME = ("203.0.113.0/24", "2001:db8:113::/64")


def _everything() -> Iterator[Attack]:
    for family in FAMILIES:
        end = suffix(family)
        for kind, (maker, names) in _KINDS.items():
            for name in names:
                yield Attack(
                    f"innocent-{kind}-{name}{end}", _BANNED, maker(SEQUENCES[name], family), forges=True, home=_HOME
                )
        for seconds, count in ((10.2, 20), (3_600, 20), (20_000, 16)):
            yield Attack(f"innocent-slow-{seconds:g}{end}", _BANNED, _slow(seconds, count, family), forges=True)
        for friendly in (False, True):
            word = "friendly" if friendly else "strange"
            play = _members(family, friendly=friendly)
            yield Attack(f"innocent-members-{word}{end}", "A whole network is banned.", play, forges=True)
    many = "Hundreds of innocents are banned a minute."
    for name in ("udp-two-traps", "tcp-two-traps", "tcp-traps-connect", "odd-flags", "syn", "syn-connect", "udp"):
        for word, disguise in (("alike", _plain), ("varied", _varied)):
            play = _many(_short(name), strangers(_A_MINUTE), disguise, FOUR)
            yield Attack(f"innocents-a-minute-{name}-{word}", many, play)
        play = _many(_short(name), _one_network(_A_MINUTE), _varied, FOUR)
        yield Attack(f"innocents-a-minute-{name}-few-networks", many, play)
    for name in ("syn", "odd-flags"):
        play = _many(_short(name), strangers(_A_MINUTE, 6), _varied, SIX)
        yield Attack(f"innocents-a-minute-{name}-v6", many, play)
    yield Attack("innocent-browser-first-visit", _BANNED, _browser(friend=False))
    yield Attack("innocent-browser-of-a-friend", _BANNED, _browser(friend=True))
    yield Attack("innocent-crawler", _BANNED, _crawler)
    yield Attack("innocent-reflection-traps", _BANNED, _made_to_answer((13, 19)), forges=True)
    yield Attack("innocent-reflection-ports", _BANNED, _made_to_answer(range(2_000, 2_040)), forges=True)
    for name, source in _NOBODY.items():
        gain, play = "The victim bans itself, or nobody's address.", _in_the_name_of(source)
        yield Attack(
            f"innocent-nobody-{name}", gain, play, home=_HOME
        )  # the netmask tells which address is a broadcast
    yield Attack("innocent-live-gateway", "The victim bans its gateway.", _live_gateway, way="live")
    yield Attack("innocent-live-connected", _BANNED, _live_connected, way="live")


def _short(name: str) -> Forgery:
    """No more packets than may do today, so that each innocent costs the forger little."""
    count = {"odd-flags": 3, "syn": 8, "syn-connect": 8, "udp": 8}.get(name, 2)
    return lambda source, family: SEQUENCES[name](source, family)[:count]


ATTACKS = tuple(_everything())
