"""Roles acquired: the scanner becomes a server, a gateway or an administrator, and is exempt."""

from collections.abc import Callable, Iterator

from tests.lab.attacks.attack import Attack, Play, Stage
from tests.lab.attacks.classes.common import datagrams, suffix, syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.upper import ACK, FIN, SYN, tcp, udp

_DAY = 86_400.0
_EXEMPT = "The scanner is exempt as a server of the victim."
_MUCH = range(1_100, 2_100)


def _asked(family: Family, port: int, *, later: float = 0.0) -> Play:
    """The victim asks the attacker's server once (to resolve its domain for a mail, say), then a scan."""

    def play(stage: Stage) -> None:
        stage.ask(family.attacker, port)
        if later:
            stage.pause(later)
        stage.scan(*syns(family.attacker, family.victim))

    return play


def _asked_for_days(stage: Tape) -> None:
    """The victim asks each day, ten times; then a scan of a thousand ports."""
    for _ in range(10):
        stage.ask(FOUR.attacker)
        stage.pause(_DAY)
    stage.scan(*syns(FOUR.attacker, FOUR.victim, _MUCH))


def _asked_over_tcp(stage: Tape) -> None:
    """A name server asked over TCP."""
    ends = (38_000, 53)
    stage.say(tcp(FOUR.victim, FOUR.attacker, *ends, SYN, seq=5, ttl=64))
    stage.hear(tcp(FOUR.attacker, FOUR.victim, *ends[::-1], SYN | ACK, seq=70, ack=6))
    stage.say(tcp(FOUR.victim, FOUR.attacker, *ends, FIN | ACK, seq=30, ack=90, ttl=64))
    stage.scan(*syns(FOUR.attacker, FOUR.victim))


def _asked_from_many_ports(stage: Tape) -> None:
    """The victim asks from a hundred ports; the server's "late answers" go to a hundred others."""
    for _ in range(100):
        stage.ask(FOUR.attacker)
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(2_000, 2_100), src_port=53))


def _lease(*, asked: bool) -> Play:
    """A DHCP offer to the victim, after its broadcast or without one; then a scan."""

    def play(stage: Tape) -> None:
        if asked:
            stage.say(udp("0.0.0.0", "255.255.255.255", 68, 67, bytes(240), ttl=64))
            stage.say(udp(FOUR.victim, "255.255.255.255", 68, 67, bytes(240), ttl=64))
        stage.send(udp(FOUR.attacker, FOUR.victim, 67, 68, bytes(240)))
        stage.scan(*syns(FOUR.attacker, FOUR.victim))

    return play


def _lease6(stage: Tape) -> None:
    """The victim solicits by multicast; the attacker advertises."""
    stage.say(udp(SIX.victim, "ff02::1:2", 546, 547, bytes(60), ttl=1))
    stage.send(udp(SIX.attacker, SIX.victim, 547, 546, bytes(60)))
    stage.scan(*syns(SIX.attacker, SIX.victim))


def _unasked(port: int) -> Play:
    """Answers that nobody asked for, from a server's port, then a scan."""

    def play(stage: Tape) -> None:
        stage.send(*datagrams(FOUR.attacker, FOUR.victim, range(41_000, 41_005), src_port=port))
        stage.scan(*syns(FOUR.attacker, FOUR.victim))

    return play


def _we_closed_first(stage: Tape) -> None:
    """The attacker's FIN and RST to ports that the victim "had": late packets of flows that nobody opened."""
    stage.scan(*(tcp(FOUR.attacker, FOUR.victim, 443, port, FIN | ACK, seq=9, ack=7) for port in range(40_000, 40_060)))


# ---- live: administrators


def _at_sshd(port: int, *, closed: bool) -> Callable[[Wire], None]:
    """A connection to sshd without a login, held while the scan runs."""

    def play(stage: Wire) -> None:
        held = stage.hold(FOUR.attacker, port)
        stage.pause(11)
        probes = syns(FOUR.attacker, FOUR.victim, _MUCH)
        stage.scan(*probes[:500])
        if closed:
            held.kill()
            held.wait()
            stage.pause(11)
        stage.scan(*probes[500:])

    return play


def _named_sshd(stage: Wire) -> None:
    """An unprivileged process calls itself sshd; who is connected to it is taken for an administrator."""
    target = stage.lab.target
    stage.command(
        target, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program=("listen", "sshd", 2022)
    )
    _at_sshd(2022, closed=False)(stage)


def _wrong_passwords(stage: Wire) -> None:
    """One connection to sshd after the other, as a password guesser has them, and a scan amid them."""
    for number in range(6):
        held = stage.hold(FOUR.attacker, 22)
        stage.pause(4)
        stage.scan(*syns(FOUR.attacker, FOUR.victim, range(1_100 + 100 * number, 1_200 + 100 * number)))
        held.kill()
        held.wait()


def _live_asked(port: int) -> Callable[[Wire], None]:
    def play(stage: Wire) -> None:
        stage.ask(FOUR.attacker, port)
        stage.scan(*syns(FOUR.attacker, FOUR.victim))

    return play


def _everything() -> Iterator[Attack]:
    for family in FAMILIES:
        end = suffix(family)
        for port in (53, 67 if family is FOUR else 547, 123, 443):
            yield Attack(f"role-asked-{port}{end}", _EXEMPT, _asked(family, port))
        yield Attack(f"role-asked-an-hour-ago{end}", _EXEMPT, _asked(family, 53, later=3_700))
        yield Attack(f"role-asked-two-months-ago{end}", _EXEMPT, _asked(family, 53, later=60 * _DAY))
    plays: dict[str, Play] = {
        "asked-for-days": _asked_for_days,
        "asked-over-tcp": _asked_over_tcp,
        "asked-from-many-ports": _asked_from_many_ports,
        "lease-asked": _lease(asked=True),
        "lease-unasked": _lease(asked=False),
        "lease-v6": _lease6,
        "late-packets": _we_closed_first,
        **{f"unasked-{port}": _unasked(port) for port in (53, 123, 67)},
    }
    for name, play in plays.items():
        yield Attack(f"role-{name}", _EXEMPT, play)
    administrator = "The scanner is exempt as an administrator."
    live: dict[str, Callable[[Wire], None]] = {
        "sshd-held": _at_sshd(22, closed=False),
        "sshd-closed": _at_sshd(22, closed=True),
        "sshd-wrong-passwords": _wrong_passwords,
        "sshd-by-name": _named_sshd,
    }
    for name, live_play in live.items():
        yield Attack(f"role-live-{name}", administrator, live_play, way="live")
    for port in (53, 123):
        yield Attack(f"role-live-asked-{port}", _EXEMPT, _live_asked(port), way="live")


ATTACKS = tuple(_everything())
