"""Bans outlived or prevented: probing under a ban, when it ends, and where it does not reach."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.lab.attacks.attack import PORTS, Attack, Play
from tests.lab.attacks.classes.common import connects, datagrams, syns
from tests.lab.attacks.expectation import FACT_OPEN
from tests.lab.attacks.live import Wire, jailed
from tests.lab.attacks.parties import FOUR, SIX, Family
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import Packet, framed
from tests.lab.attacks.wire.upper import FIN, RST, echo, syn, tcp, udp
from tests.support.namespaces import ip
from tests.support.waiting import wait_for

_BAN_SECONDS = 600.0
_GOES_ON = "The ban ends while the log is silent: everything is scanned without a line."
_MUCH = range(1_100, 2_100)
_SHORT_BAN = 15
_VISITS = 10
_SOON_OVER = {"lines": {"quiet_seconds": 10}}
_MOST_SCANNED = 3_000
_DNAT_PORT = 9_090
_INSIDE, _OUTSIDE = "10.99.0.2", "10.99.0.1"


def _under_a_ban(
    keepalive: Callable[[int], Packet], every: float, *, kind: str = "reject", family: Family = FOUR
) -> Play:
    """A scan, its ban, probes while it lasts, and a thousand ports when it is over."""

    def play(stage: Tape) -> None:
        stage.scan(*syns(family.attacker, family.victim, PORTS[:10]))
        stage.model.banned[family.attacker] = kind
        end = stage.now + _BAN_SECONDS
        number = 0
        while stage.now + every < end:
            stage.scan(keepalive(number), every=every)
            number += 1
        stage.now = end
        del stage.model.banned[family.attacker]
        stage.facts[FACT_OPEN] = stage.now
        stage.scan(*syns(family.attacker, family.victim, _MUCH), every=0.05)

    return play


def _first_ports_v6(number: int) -> Packet:
    return syn(SIX.attacker, SIX.victim, PORTS[number % 8])


def _lifted(stage: Tape) -> None:
    """An administrator lifts the ban after a minute; the scan goes on all the while."""
    probes = syns(FOUR.attacker, FOUR.victim, _MUCH)
    stage.scan(*probes[:20])
    stage.model.banned[FOUR.attacker] = "reject"
    stage.scan(*probes[20:140], every=0.5)
    del stage.model.banned[FOUR.attacker]
    stage.facts[FACT_OPEN] = stage.now
    stage.scan(*probes[140:], every=0.02)


def _returns_after(silence: float) -> Play:
    """Silence under the ban, and a scan at the moment when it ends."""

    def play(stage: Tape) -> None:
        stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:10]))
        stage.pause(silence)
        stage.facts[FACT_OPEN] = stage.now
        stage.scan(*syns(FOUR.attacker, FOUR.victim, _MUCH))

    return play


def _never_banned(seconds: float) -> Play:
    """Nothing reads the log: the host answers on and on. The lines must fall back to a slow pace."""

    def play(stage: Tape) -> None:
        count = int(seconds * 10)
        for number in range(count):
            stage.scan(syn(FOUR.attacker, FOUR.victim, 1_100 + number % 40_000), every=0.1)

    return play


def _forged_answers(stage: Tape) -> None:
    """Answers of the victim, forged in the segment, make the ban look lifted: line after line is written."""
    stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:10]))
    stage.model.banned[FOUR.attacker] = "drop"
    for number in range(3_000):
        probe = syn(FOUR.attacker, FOUR.victim, 1_100 + number)
        stage.scan(probe, every=0)
        answer = tcp(FOUR.victim, FOUR.attacker, 1_100 + number, 40_000, RST | 0x10, ack=77, ttl=64)
        stage.send(framed(answer), every=0.1)


def _refused_by_the_ban(family: Family) -> Play:
    """The firewall refuses what a banned source sends: ten minutes of that is no news."""

    def play(stage: Tape) -> None:
        stage.scan(*syns(family.attacker, family.victim, PORTS[:10]))
        stage.model.banned[family.attacker] = "reject"
        stage.scan(*syns(family.attacker, family.victim, range(1_100, 3_100)), every=0.3)

    return play


def _udp_refused_by_the_ban(stage: Tape) -> None:
    """The same over UDP, where the firewall's refusal is the very packet that a closed port answers with."""
    stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:10]))
    stage.model.banned[FOUR.attacker] = "reject"
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(1_100, 3_100)), every=0.3)


def _late_answers(stage: Tape) -> None:
    """The ban comes two seconds late: what was answered meanwhile makes few lines."""
    probes = syns(FOUR.attacker, FOUR.victim, _MUCH)
    stage.scan(*probes[:400], every=0.005)
    stage.model.banned[FOUR.attacker] = "reject"
    stage.scan(*probes[400:], every=0.005)


def _slow_then_silence(stage: Tape) -> None:
    """A slow scan that ended seven hours ago: the line about its end bans nobody again."""
    for port in range(1_100, 1_112):
        stage.scan(syn(FOUR.attacker, FOUR.victim, port))
        stage.pause(40)
    stage.pause(7 * 3_600)


def _other_address(stage: Tape) -> None:
    """The banned scanner goes on from its second address."""
    stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:50]))
    stage.model.banned[FOUR.attacker] = "reject"
    stage.facts[FACT_OPEN] = stage.now
    stage.scan(*syns(FOUR.second, FOUR.victim, PORTS[50:]))


# ---- live, with fail2ban and nftables


def _live_ban_ends(stage: Wire) -> None:
    """A real ban of fifteen seconds, probed until it is over; the next ban must come at once."""
    with jailed(stage, _SHORT_BAN) as jail:
        stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:20]))
        jail.wait_for_ban(FOUR.attacker)
        probes = iter(syns(FOUR.attacker, FOUR.victim, range(1_100, 30_000)))

        def lifted() -> bool:
            stage.scan(next(probes), next(probes))
            return FOUR.attacker not in jail.blocked()

        wait_for(lifted, "the ban to end", evidence=jail.evidence)
        scanned = 0
        while FOUR.attacker not in jail.blocked() and scanned < _MOST_SCANNED:
            stage.scan(*(next(probes) for _ in range(20)), every=0.005)
            scanned += 20
        stage.facts["ports scanned"] = scanned


def _live_refusals(stage: Wire) -> None:
    """Under a real ban the firewall refuses each probe: half a minute's probing makes few lines."""
    with jailed(stage, 600) as jail:
        stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:20]))
        jail.wait_for_ban(FOUR.attacker)
        stage.scan(*syns(FOUR.attacker, FOUR.victim, range(1_100, 1_700)), every=0.05)


def _live_container(stage: Wire) -> None:
    """A port is forwarded to a container, which fail2ban's own chain does not cover; it is used for ten seconds."""
    _forward(stage)
    with jailed(stage, 600) as jail:
        stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:20]))
        jail.wait_for_ban(FOUR.attacker)
        before, reached = _bans(stage), False
        for _ in range(_VISITS):
            reached = stage.lab.scanner.reaches(FOUR.victim, _DNAT_PORT) or reached
            stage.pause(1)
        stage.settle()
        stage.facts["reached"] = reached
        stage.facts["told"] = _bans(stage) > before or not reached


def _bans(stage: Wire) -> int:
    """How many lines have the scanner banned for what it does now."""
    lines = stage.sensor.matching(src_ip=FOUR.attacker, verdict="ban")
    return len([line for line in lines if line["state"] != "ended"])


def _forward(stage: Wire) -> None:
    """A namespace behind the victim stands for a container."""
    target, container = stage.lab.target.namespace, stage.lab.visitor.namespace
    ip("-n", target, "link", "add", "docker0", "type", "veth", "peer", "name", "inner0", "netns", container)
    ip("-n", target, "addr", "add", f"{_OUTSIDE}/24", "dev", "docker0")
    ip("-n", target, "link", "set", "docker0", "up")
    ip("-n", container, "addr", "add", f"{_INSIDE}/24", "dev", "inner0")
    ip("-n", container, "link", "set", "inner0", "up")
    ip("-n", container, "route", "replace", FOUR.attacker, "via", _OUTSIDE)
    stage.lab.target.set_kernel("echo 1 > /proc/sys/net/ipv4/ip_forward")
    rules = stage.folder / "forward.nft"
    rules.write_text(
        "table ip nat {\n chain prerouting {\n  type nat hook prerouting priority -100;\n"
        f"  tcp dport {_DNAT_PORT} dnat to {_INSIDE}:{_DNAT_PORT}\n }}\n}}\n"
    )
    done = stage.lab.target.run("nft", "-f", Path(rules))
    assert done.returncode == 0, done.stderr
    stage.program(stage.lab.visitor, "serve", _DNAT_PORT, "")


def _live_closed_later(stage: Wire) -> None:
    """The line about the end of a scan, whose friend's connection is closed by then, bans nobody."""
    held = stage.hold(FOUR.attacker, 80)
    stage.pause(11)
    stage.scan(*syns(FOUR.attacker, FOUR.victim, PORTS[:8]))
    held.kill()
    held.wait()
    stage.sensor.wait_for_line("the end of the scan", event_type="scan", state="ended")


def _everything() -> Iterator[Attack]:
    keepalives: dict[str, Callable[[int], Packet]] = {
        "syn": lambda number: syn(FOUR.attacker, FOUR.victim, PORTS[number % 8]),
        "new-ports": lambda number: syn(FOUR.attacker, FOUR.victim, 30_000 + number),
        "served": lambda _: connects(FOUR.attacker, FOUR.victim, (80,))[0],
        "udp": lambda number: udp(FOUR.attacker, FOUR.victim, 40_000, 600 + number % 8),
        "fin": lambda number: tcp(FOUR.attacker, FOUR.victim, 40_000, 600 + number % 8, FIN),
        "echo": lambda number: echo(FOUR.attacker, FOUR.victim, number),
    }
    for name, keepalive in keepalives.items():
        for every in (10.0, 55.0) if name in {"syn", "new-ports"} else (55.0,):
            yield Attack(f"outlive-{name}-{every:g}", _GOES_ON, _under_a_ban(keepalive, every))
    for every in (59.0, 119.0, 230.0):
        yield Attack(f"outlive-syn-{every:g}", _GOES_ON, _under_a_ban(keepalives["syn"], every))
    yield Attack("outlive-dropped", _GOES_ON, _under_a_ban(keepalives["syn"], 55, kind="drop"))
    yield Attack("outlive-v6", _GOES_ON, _under_a_ban(_first_ports_v6, 55, family=SIX))
    plays: dict[str, Play] = {
        "lifted": _lifted,
        "returns-after-601": _returns_after(601),
        "returns-after-70": _returns_after(70),
        "returns-after-a-day": _returns_after(86_400),
        "second-address": _other_address,
    }
    for name, play in plays.items():
        yield Attack(f"outlive-{name}", _GOES_ON, play)
    filling = "The log and fail2ban are kept busy by one scanner."
    yield Attack("outlive-no-jail", filling, _never_banned(3_600))
    yield Attack("outlive-no-jail-ten-minutes", filling, _never_banned(600))
    yield Attack("outlive-forged-answers", filling, _forged_answers)
    for family in (FOUR, SIX):
        yield Attack(f"outlive-refused-by-the-ban-v{family.number}", filling, _refused_by_the_ban(family))
    yield Attack("outlive-refused-by-the-ban-udp", filling, _udp_refused_by_the_ban)
    yield Attack("outlive-late-answers", filling, _late_answers)
    yield Attack("outlive-slow-then-silence", "A source that is long gone is banned again.", _slow_then_silence)
    live: dict[str, tuple[Callable[[Wire], None], str]] = {
        "ban-ends": (_live_ban_ends, _GOES_ON),
        "refusals": (_live_refusals, filling),
        "container": (_live_container, "Forwarded ports stay open to a banned scanner."),
        "closed-later": (_live_closed_later, "A ban comes a minute after the last probe."),
    }
    for name, (live_play, gain) in live.items():
        yield Attack(
            f"outlive-live-{name}", gain, live_play, way="live", settings=_SOON_OVER if name == "closed-later" else {}
        )


ATTACKS = tuple(_everything())
