"""Doubt abused: a scanner uses what protects the innocent (twins, sessions, friends, neighbours)."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.lab.attacks.attack import PORTS, Attack, Play, Stage
from tests.lab.attacks.classes.common import connects, datagrams, suffix, syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.model import our_sequence
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family, strangers
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import Packet
from tests.lab.attacks.wire.upper import ACK, FIN, SYN, icmp, syn, tcp, udp

_DAY = 86_400.0
_PATIENT = "The scanner is watched for ever instead of banned."
_MUCH = range(1_100, 2_100)
"""A thousand ports: more than anybody forges to have a friend banned, and no traps."""


def _twin(family: Family, twin: str, share: float, *, later: float = 0.0, changed: bool = False) -> Play:
    """A share of the probes is sent a second time, in the name of another address.

    Args:
        family: of the addresses.
        twin: the other address.
        share: 1 for all probes, 0 for a single one.
        later: seconds between the twins and the scan.
        changed: the twins have other hops.
    """

    def play(stage: Stage) -> None:
        probes = syns(family.attacker, family.victim)
        count = max(1, round(share * len(probes)))
        twins = [replace(probe, src=twin, ttl=50 if changed else 57) for probe in probes[:count]]
        for number, probe in enumerate(probes):
            if number < count:
                stage.send(_again(twins[number]), every=0.0005)
            stage.scan(probe)
            if later and number == count - 1:
                stage.pause(later)

    return play


def _again(probe: Packet) -> Packet:
    """The same segment with the checksum of its new source."""
    src_port, port = (int.from_bytes(probe.payload[at : at + 2], "big") for at in (0, 2))
    return syn(probe.src, probe.dst, port, src_port=src_port, ttl=probe.ttl)


def _crowd(sources: int, *, later: float = 0.0) -> Play:
    """Forged scanners that look like the attacker's own scan: one sender's forgeries, all of them?"""

    def play(stage: Tape) -> None:
        for number, source in enumerate(strangers(sources)):
            stage.send(*syns(source, FOUR.victim, range(1_100 + 10 * number, 1_110 + 10 * number)))
            if not later:
                stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[5 * number : 5 * number + 5]))
        if later:
            stage.pause(later)
            stage.scan(*syns(FOUR.attacker, FOUR.victim))

    return play


def _sessions(family: Family, sessions: int, *, every: float = 0.05, later: float = 0.0, ports: range = PORTS) -> Play:
    """Sessions with the web server first, then a scan."""

    def play(stage: Stage) -> None:
        stage.visit(family.attacker, sessions, every=every)
        if later:
            stage.pause(later)
        stage.scan(*syns(family.attacker, family.victim, ports))

    return play


def _sessions_amid(stage: Stage) -> None:
    """After each fourth probe a session: most of what the source does looks honest."""
    for number, probe in enumerate(syns(FOUR.attacker, FOUR.victim)):
        stage.scan(probe)
        if number % 4 == 3:
            stage.visit(FOUR.attacker, 1)


def _habit(stage: Stage) -> None:
    """A health check a minute, five times: open, close, nothing read."""
    for number in range(5):
        opened = syn(FOUR.attacker, FOUR.victim, 80, src_port=43_000 + number)
        stage.send(opened)
        stage.send(tcp(FOUR.attacker, FOUR.victim, 43_000 + number, 80, FIN | ACK, seq=9, ack=our_sequence(opened) + 1))
        stage.pause(61)
    stage.scan(*syns(FOUR.attacker, FOUR.victim))


def _days(ports: range) -> Play:
    """Sessions on each of ten days, then a scan: a host that was taken over, or a patient scanner."""

    def play(stage: Tape) -> None:
        for _ in range(10):
            stage.visit(FOUR.attacker, 2)
            stage.pause(_DAY)
        stage.scan(*syns(FOUR.attacker, FOUR.victim, ports), every=0.02)

    return play


def _hours_as_friend(stage: Tape) -> None:
    """A friend of ten days scans for hours, slowly."""
    for _ in range(10):
        stage.visit(FOUR.attacker, 2)
        stage.pause(_DAY)
    for probe in syns(FOUR.attacker, FOUR.victim, range(1_100, 1_700)):
        stage.scan(probe)
        stage.pause(20)


def _neighbour(sessions: int, *, over_days: bool) -> Play:
    """One address of the attacker's /64 has sessions, another scans."""

    def play(stage: Tape) -> None:
        for _ in range(sessions):
            stage.visit("2001:db8:100::1234", 1)
            if over_days:
                stage.pause(_DAY)
        stage.scan(*syns(SIX.attacker, SIX.victim))

    return play


def _we_connected(port: int, *, ended: bool) -> Play:
    """The victim connects to the attacker's server (a link preview, a mail); the server scans it."""

    def play(stage: Tape) -> None:
        opened = tcp(FOUR.victim, FOUR.attacker, 38_000, port, SYN, seq=5, ttl=64)
        stage.say(opened)
        stage.hear(tcp(FOUR.attacker, FOUR.victim, port, 38_000, SYN | ACK, seq=70, ack=6))
        stage.say(tcp(FOUR.victim, FOUR.attacker, 38_000, port, ACK, seq=6, ack=71, ttl=64))
        if ended:
            stage.say(tcp(FOUR.victim, FOUR.attacker, 38_000, port, FIN | ACK, seq=6, ack=71, ttl=64))
            stage.hear(tcp(FOUR.attacker, FOUR.victim, port, 38_000, FIN | ACK, seq=71, ack=7))
        stage.scan(*syns(FOUR.attacker, FOUR.victim))

    return play


def _media(stage: Tape) -> None:
    """The victim plays the attacker's stream (RTSP); the media come to all ports but those announced.

    Sixty-four ports are excused as media, and a peer as many attempts more.
    """
    _we_connected(554, ended=False)(_Muted(stage))
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(6_970, 7_120), src_port=5_004))


def _search(stage: Tape) -> None:
    """The victim asks everybody (SSDP) from one port; the "answers" come to a hundred others."""
    stage.say(udp(FOUR.victim, "239.255.255.250", 38_000, 1900, b"M-SEARCH * HTTP/1.1\r\n", ttl=2))
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(20_600, 20_700), src_port=1900))


def _resolved(stage: Tape) -> None:
    """The victim asks the attacker's name server once; "late answers" come to a hundred ports."""
    stage.ask(FOUR.attacker)
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(20_600, 20_700), src_port=53))


def _errors_of_others(stage: Stage) -> None:
    """After each probe an ICMP error about it, as a router on the way sends it, from another address."""
    for probe in syns(FOUR.attacker, FOUR.victim):
        stage.scan(probe, every=0)
        stage.send(
            icmp(FOUR.second, FOUR.attacker, 3, 3, bytes(4) + probe.content[:28]),
            icmp(FOUR.second, FOUR.victim, 11, 0, bytes(4) + probe.content[:28]),
        )


def _own_syn_acks(stage: Stage) -> None:
    """After each probe a SYN-ACK of the attacker's, as if the victim had asked."""
    for port in PORTS:
        answer = tcp(FOUR.attacker, FOUR.victim, 40_000, port, SYN | ACK, seq=9, ack=1001)
        stage.scan(syn(FOUR.attacker, FOUR.victim, port), every=0)
        stage.send(answer)


class _Muted:
    """A tape whose scan is left out: only what comes before it is wanted."""

    def __init__(self, stage: Tape) -> None:
        self.say, self.hear = stage.say, stage.hear

    def scan(self, *_packets: Packet) -> None:
        """Nothing."""


def _served_amid(share: int) -> Play:
    """Most of the probes go to served ports, which count for nothing or in favour."""

    def play(stage: Stage) -> None:
        for port in PORTS:
            served = [22, 80, 443, 3000, 8080][:share]
            stage.scan(*connects(FOUR.attacker, FOUR.victim, [*served, port]))

    return play


def _sibling(stage: Stage) -> None:
    """UDP probes of the numbers that are served over TCP, and then of others."""
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, (22, 80, 443, 3000, 8080)))
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim))


def _many_hosts(stage: Tape) -> None:
    """Sixty hosts of ours that answer on port 80 buy a slow scan of ports that nobody serves."""
    for number in range(1, 61):
        stage.scan(*connects(FOUR.attacker, f"203.0.113.{number}", [80]))
    for port in PORTS:
        stage.scan(*syns(FOUR.attacker, FOUR.victim, [port]))
        stage.pause(9)


# ---- live: what the kernel's tables say


def _idle(*, closed_after: int | None) -> Callable[[Wire], None]:
    """One idle connection to the web server while the scan begins; closed after so many probes, or never."""

    def play(stage: Wire) -> None:
        held = stage.hold(FOUR.attacker, 80)
        stage.pause(11)  # the sensor looks at the sockets each ten seconds
        probes = syns(FOUR.attacker, FOUR.victim, _MUCH)
        first = len(probes) if closed_after is None else closed_after
        stage.scan(*probes[:first])
        if closed_after is not None:
            held.kill()
            held.wait()
            stage.pause(11)
        stage.scan(*probes[first:])

    return play


def _live_sessions(sessions: int, wait: float) -> Callable[[Wire], None]:
    def play(stage: Wire) -> None:
        stage.visit(FOUR.attacker, sessions)
        stage.pause(wait)
        stage.scan(*syns(FOUR.attacker, FOUR.victim, _MUCH))

    return play


def _spoofed_twins(*words: str) -> Callable[[Wire], None]:
    def play(stage: Wire) -> None:
        stage.run("nmap", "-n", "-Pn", "-sS", "--max-retries", "1", "-p600-700", *words, FOUR.victim)
        stage.run("nmap", "-n", "-Pn", "-sS", "--max-retries", "1", "-p700-800", FOUR.victim)

    return play


def _everything() -> Iterator[Attack]:
    for family in FAMILIES:
        end = suffix(family)
        for name, share in (("once", 0.0), ("tenth", 0.1), ("third", 0.3), ("always", 1.0)):
            play = _twin(family, family.second, share)
            yield Attack(f"doubt-own-twin-{name}{end}", _PATIENT, play)
        play = _twin(family, family.second, 0.0, later=_DAY)
        yield Attack(f"doubt-own-twin-a-day-ago{end}", _PATIENT, play)
        play = _twin(family, family.stranger, 0.0)
        yield Attack(f"doubt-copied-probe{end}", _PATIENT, play, forges=True)
        play = _twin(family, family.stranger, 1.0)
        yield Attack(f"doubt-copied-always{end}", "An innocent is named besides, or instead.", play, forges=True)
        play = _twin(family, family.stranger, 1.0, changed=True)
        yield Attack(f"doubt-copied-other-hops{end}", "An innocent is named instead.", play, forges=True)
        play = _twin(family, family.neighbour, 0.0)
        yield Attack(f"doubt-twin-next-door{end}", _PATIENT, play, forges=True)
        for sessions in (5, 20, 100):
            yield Attack(f"doubt-{sessions}-quick-sessions{end}", _PATIENT, _sessions(family, sessions))
        play = _sessions(family, 5, later=30 * _DAY)
        yield Attack(f"doubt-sessions-a-month-ago{end}", _PATIENT, play)
        play = _sessions(family, 5, every=120)
        yield Attack(f"doubt-sessions-in-ten-minutes{end}", _PATIENT, play)
    yield Attack("doubt-crowd", _PATIENT, _crowd(20), forges=True)
    yield Attack("doubt-crowd-a-day-ago", _PATIENT, _crowd(20, later=_DAY), forges=True)
    yield Attack("doubt-sessions-amid", _PATIENT, _sessions_amid)
    yield Attack("doubt-health-checks", _PATIENT, _habit)
    yield Attack("doubt-ten-days-then-100", _PATIENT, _days(PORTS))
    yield Attack("doubt-ten-days-then-1000", _PATIENT, _days(_MUCH))
    yield Attack("doubt-ten-days-then-hours", _PATIENT, _hours_as_friend)
    yield Attack("doubt-neighbour-quick", _PATIENT, _neighbour(5, over_days=False))
    yield Attack("doubt-neighbour-days", _PATIENT, _neighbour(10, over_days=True))
    solicited = "A scan counts as something that the victim asked for."
    for port in (21, 25, 443, 6667):
        yield Attack(f"doubt-we-connected-{port}", solicited, _we_connected(port, ended=False))
    yield Attack("doubt-we-connected-and-left", solicited, _we_connected(443, ended=True))
    yield Attack("doubt-media", solicited, _media)
    yield Attack("doubt-search", solicited, _search)
    yield Attack("doubt-resolved", solicited, _resolved)
    favour = "Served ports speak for the scanner."
    for share in (1, 5):
        yield Attack(f"doubt-served-amid-{share}", favour, _served_amid(share))
    talked = "The probes are talked away."
    yield Attack("doubt-errors-of-others", talked, _errors_of_others)
    yield Attack("doubt-own-syn-acks", talked, _own_syn_acks)
    yield Attack("doubt-sibling-transport", favour, _sibling)
    yield Attack("doubt-many-hosts", favour, _many_hosts, home=("203.0.113.0/24",))
    live: dict[str, Callable[[Wire], None]] = {
        "idle-closed-after-8": _idle(closed_after=8),
        "idle-to-the-end": _idle(closed_after=None),
        "quick-sessions": _live_sessions(5, 4),
        "quick-sessions-and-wait": _live_sessions(8, 15),
        "nmap-decoys": _spoofed_twins("-D", f"{FOUR.second},ME"),
        "nmap-decoys-ten": _spoofed_twins("-D", "RND:10,ME"),
    }
    for name, live_play in live.items():
        yield Attack(f"doubt-live-{name}", _PATIENT, live_play, way="live")


ATTACKS = tuple(_everything())
