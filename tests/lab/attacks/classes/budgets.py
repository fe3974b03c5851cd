"""Budgets, limits and tables: floods hide a scanner, make the sensor forget, or fill the log and fail2ban."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from tests.lab.attacks.attack import Attack, Play
from tests.lab.attacks.classes.common import connects, syns
from tests.lab.attacks.expectation import FACT_OPEN
from tests.lab.attacks.live import Wire, jailed
from tests.lab.attacks.model import our_sequence
from tests.lab.attacks.parties import FOUR, SIX, strangers
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import DESTINATION, Packet, behind, experiment, options_header
from tests.lab.attacks.wire.upper import ACK, FIN, MSS, SYN, echo, mixed, syn, tcp, udp
from tests.support.waiting import wait_for

_HIDDEN = "A scan is hidden by a flood."
_FULL = "The log fills the disk, or keeps fail2ban busy."
_NMAP = 1024
"""The window that is nmap's mark."""


def _source(number: int) -> str:
    """A forged source for each number, in a network of its own until there are no more."""
    return f"10.{number & 0xFF}.{number >> 8 & 0xFF}.{(number >> 16) + 1}"


def _amid(flood: Iterable[Packet], probes: list[Packet], *, ratio: int, every: float) -> Play:
    """One probe of the scan amid `ratio` packets of the flood."""

    def play(stage: Tape) -> None:
        left = list(probes)
        for number, packet in enumerate(flood):
            stage.send(packet, every=every)
            if number % ratio == ratio - 1 and left:
                stage.scan(left.pop(0), every=0)
        stage.facts[FACT_OPEN] = stage.now
        stage.pause(10)

    return play


def _rivals(scanners: int, probes: int) -> Iterator[Packet]:
    """Forged scanners of that many probes each."""
    for number in range(scanners):
        for port in range(probes):
            yield syn(_source(number), FOUR.victim, 20_000 + port, src_port=1_024 + number % 60_000)


def _rationed(stage: Tape) -> None:
    """Scanners of seventy probes use up the lines; sixteen sources scan 63 ports each meanwhile."""
    flood = _rivals(1_000, 70)
    mine = iter(
        [
            syn(f"198.18.{number}.7", FOUR.victim, 1_100 + number * 63 + port)
            for port in range(63)
            for number in range(16)
        ]
    )
    for number, packet in enumerate(flood):
        stage.send(packet, every=1 / 8_000)
        if number % 60 == 0 and (probe := next(mine, None)) is not None:
            stage.scan(probe, every=0)
    stage.pause(150)


def _one_second(stage: Tape) -> None:
    """A hundred ports in one second, amid 30,000 packets a second of forged scanners; nothing afterwards."""
    for packet in _rivals(400, 70):
        stage.send(packet, every=1 / 30_000)
    mine = iter(syns(FOUR.attacker, FOUR.victim))
    for number, packet in enumerate(_rivals(430, 70)):
        stage.send(packet, every=1 / 30_000)
        if number % 300 == 0 and (probe := next(mine, None)) is not None:
            stage.scan(probe, every=0)
    stage.pause(150)


def _forgotten(rounds: int, between: int) -> Play:
    """Seven ports, then as many forged sources as the table holds, seven more ports, and so on."""

    def play(stage: Tape) -> None:
        for turn in range(rounds):
            stage.scan(*syns(FOUR.attacker, FOUR.victim, range(1_100 + 7 * turn, 1_107 + 7 * turn)))
            for number in range(between):
                source = _source(number + turn * between)
                for port in (600, 601):
                    stage.send(syn(source, FOUR.victim, port), every=1 / 20_000)

    return play


def _friend_lost(stage: Tape) -> None:
    """A guest of ten days is pushed out of the table; then ten SYNs carry its address."""
    for _ in range(10):
        stage.visit(FOUR.innocent, 3)
        stage.pause(86_400)
    for number in range(41_000):
        stage.send(syn(_source(number // 2), FOUR.victim, 600 + number % 2), every=1 / 20_000)
    stage.send(*syns(FOUR.innocent, FOUR.victim, range(600, 610)))


def _first_packets(stage: Tape) -> None:
    """A probe each 2.9 s amid 20,000 forged SYNs a second: each is a first packet again."""
    for turn in range(21):
        stage.scan(syn(FOUR.attacker, FOUR.victim, 1_100 + turn), every=0)
        for number in range(6_000):
            stage.send(syn(_source(number + turn * 6_000), FOUR.victim, 600), every=2.9 / 6_000)


def _burned(scanners: int, probes: int) -> Play:
    """Forged scanners spend the budget of unverified bans; the real one scans amid them."""

    def play(stage: Tape) -> None:
        mine = iter(syns(FOUR.attacker, FOUR.victim, range(1_100, 2_100)))
        for number, packet in enumerate(_rivals(scanners, probes)):
            stage.send(packet, every=60 / scanners / probes)
            if number % max(1, scanners * probes // 1_000) == 0 and (probe := next(mine, None)):
                stage.scan(probe, every=0)
        stage.pause(30)

    return play


def _traps_in_a_flood(stage: Tape) -> None:
    """Touches of traps that a firewall drops, amid 50,000 new flows within the second."""
    stage.model.silent = frozenset({1, 11, 15, 17, 600})
    stage.scan(*connects(FOUR.attacker, FOUR.victim, (1, 11, 15, 17)))
    for number in range(52_000):
        stage.send(syn(_source(number), FOUR.victim, 600), every=1 / 55_000)
    stage.pause(10)


def _two_lines_each(stage: Tape) -> None:
    """Sixty forged SYNs a second with nmap's mark: each source gets lines of its own."""
    for number in range(3_600):
        packet = tcp(
            _source(number), FOUR.victim, 40_000, 600 + number % 300, SYN, seq=number + 1, options=MSS, window=_NMAP
        )
        stage.send(packet, every=1 / 60)
    stage.pause(120)


def _proven_by(addresses: int, a_second: int, *, six: bool) -> Play:
    """Real addresses of one network, each with a closed connection and nine probes: verified lines."""

    def play(stage: Tape) -> None:
        for number in range(addresses):
            source = f"2001:db8:bad::{number:x}" if six else f"198.18.44.{number % 254 + 1}"
            victim = SIX.victim if six else FOUR.victim
            stage.send(*syns(source, victim, (600,)), every=0)
            opened = syn(source, victim, 80, src_port=43_000)
            stage.send(opened, every=0.0005)
            from_us = our_sequence(opened)
            stage.send(tcp(source, victim, 43_000, 80, FIN | ACK, seq=3, ack=from_us + 1), every=0)
            stage.send(*syns(source, victim, range(601, 609)), every=1 / a_second / 9)

    return play


def _many_scanners(stage: Tape) -> None:
    """Three thousand forged scanners within a minute: their ends come all at once."""
    for packet in _rivals(3_000, 8):
        stage.send(packet, every=60 / 24_000)
    stage.pause(200)


def _trap_flood(stage: Tape) -> None:
    """A touch of a trap by each of 6,000 forged sources within a minute."""
    for number in range(6_000):
        stage.send(syn(_source(number), FOUR.victim, 11), every=0.01)
    stage.pause(60)


def _refused_flood(stage: Tape) -> None:
    """Ten thousand sources ask for one port each within a minute: connection lines."""
    for number in range(10_000):
        stage.send(syn(_source(number), FOUR.victim, 600 + number % 5_000), every=0.006)
    stage.pause(60)


def _stealthy_flood(stage: Tape) -> None:
    """A thousand forged sources with impossible flags, three packets each, within a minute."""
    for number in range(3_000):
        stage.send(tcp(_source(number % 1_000), FOUR.victim, 40_000, 600 + number // 1_000, FIN), every=0.02)
    stage.pause(60)


_FLOODS: dict[str, Callable[[int], Packet]] = {
    "syn": lambda number: syn(_source(number), FOUR.victim, 600),
    "udp": lambda number: udp(_source(number), FOUR.victim, 40_000, 600),
    "fin": lambda number: tcp(_source(number), FOUR.victim, 40_000, 600, FIN),
    "echo": lambda number: echo(_source(number), FOUR.victim),
    "protocol-99": lambda number: Packet(_source(number), FOUR.victim, 99, bytes(20)),
    "ip-in-ip": lambda number: Packet(
        _source(number), FOUR.victim, 4, syn(_source(number + 7), FOUR.victim, 600).content
    ),
    "options-v6": lambda number: behind(
        syn(f"2001:db8:{0x4000 + (number & 0x3FFF):x}:{number >> 14:x}::5", SIX.victim, 600),
        (DESTINATION, lambda upper: options_header(upper, experiment(4))),
    ),
    "addresses-of-a-64": lambda number: syn(
        f"2001:db8:5000::{mixed(number) & 0xFFFF:x}:{number & 0xFFFF:x}", SIX.victim, 600
    ),
    "first-pieces": lambda number: Packet(
        _source(number),
        FOUR.victim,
        6,
        syn(_source(number), FOUR.victim, 600).payload,
        ip_id=number & 0xFFFF,
        more=True,
    ),
    "tunnelled-sources": lambda number: Packet(
        FOUR.second, FOUR.victim, 4, syn(_source(number), FOUR.victim, 600).content
    ),
}
_COUNT, _RATE = 30_000, 15_000


def _flooded(made: Callable[[int], Packet]) -> Play:
    """A scan of a hundred ports begins two seconds after the flood does."""
    return _amid(
        (made(number) for number in range(_COUNT * 2)), syns(FOUR.attacker, FOUR.victim), ratio=300, every=1 / _RATE
    )


# ---- live


# Of plain ACKs, our answers are all that is seen.
_LIVE_FLOODS = {
    **{name: _FLOODS[name] for name in ("syn", "options-v6", "ip-in-ip", "echo", "protocol-99")},
    "ack": lambda number: tcp(_source(number), FOUR.victim, 40_000, 600, ACK),
}


def _live_flood(made: Callable[[int], Packet]) -> Callable[[Wire], None]:
    """The flood on the wire, and nmap in it: how long until its ban line is there?"""

    def play(stage: Wire) -> None:
        frames = stage.folder / "flood.pcap"
        tape = Tape()
        for number in range(40_000):
            tape.hear(made(number))
        tape.write(frames, macs={"router": stage.mac("attacker"), "victim": stage.mac("victim")})
        flood = stage.lab.scanner.start(
            *("tcpreplay", "--preload-pcap", "--no-flow-stats", "--pps=10000", "--loop=3", "-i", "eth0"), frames
        )
        stage.pause(2)
        begun = time.time()
        stage.scan(*syns(FOUR.attacker, FOUR.victim), every=0.01)

        def banned() -> bool:
            return bool(stage.sensor.matching(src_ip=FOUR.attacker, verdict="ban", event_type="scan"))

        try:
            wait_for(banned, "the ban line", seconds=40)
            stage.facts["seconds to the line"] = time.time() - begun
        except AssertionError:
            stage.facts["seconds to the line"] = 999.0
        flood.kill()
        flood.wait()

    return play


def _live_jail_filled(stage: Wire) -> None:
    """Forged scanners as fast as lines are written, for a minute; how late is the real scanner's ban?"""
    with jailed(stage, 600) as jail:
        begun = 0.0
        for number, source in enumerate(strangers(6_000)):
            stage.send(*syns(source, FOUR.victim, range(600, 608)), every=60 / 48_000)
            if number == 5_000:
                begun = time.time()
                # With other hops: who forges many scanners that look like itself is watched with them.
            stage.scan(*syns(FOUR.attacker, FOUR.victim, ttl=44), every=0.0005)
        wait_for(lambda: FOUR.attacker in jail.blocked(), "the ban", seconds=120, evidence=jail.evidence)
        ban = next(line for line in jail.messages() if line.endswith(f"Ban {FOUR.attacker}"))
        moment = datetime.strptime(ban[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone()
        stage.facts["seconds to the ban"] = moment.timestamp() - begun
        stage.facts["innocents banned"] = len(jail.banned() - {FOUR.attacker})


def _everything() -> Iterator[Attack]:
    heavy = {
        "rationed": _rationed,
        "one-second": _one_second,
        "forgotten": _forgotten(4, 20_500),
        "first-packets": _first_packets,
        "traps-in-a-flood": _traps_in_a_flood,
        "burned-by-many": _burned(1_000, 8),
        "burned-by-strong": _burned(30, 1_000),
    }
    for name, play in heavy.items():
        yield Attack(f"budget-{name}", _HIDDEN, play)
    for name, made in _FLOODS.items():
        yield Attack(f"budget-flood-{name}", _HIDDEN, _flooded(made))
    yield Attack("budget-friend-lost", "A friend is forgotten, and ten forged SYNs ban it.", _friend_lost)
    full: dict[str, Play] = {
        "two-lines-each": _two_lines_each,
        "many-scanners": _many_scanners,
        "trap-flood": _trap_flood,
        "refused-flood": _refused_flood,
        "stealthy-flood": _stealthy_flood,
        "proven-64": _proven_by(3_000, 200, six=True),
        "proven-24": _proven_by(254, 50, six=False),
    }
    for name, play in full.items():
        yield Attack(f"budget-log-{name}", _FULL, play)
    for name, made in _LIVE_FLOODS.items():
        yield Attack(f"budget-live-flood-{name}", _HIDDEN, _live_flood(made), way="live")
    yield Attack("budget-live-jail-filled", _FULL, _live_jail_filled, way="live")


ATTACKS = tuple(_everything())
