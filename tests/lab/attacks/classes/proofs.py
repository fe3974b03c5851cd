"""Forged proof: an innocent is verified by a handshake that it never made."""

from collections.abc import Iterator

from tests.lab.attacks.attack import PORTS, Attack, Play
from tests.lab.attacks.classes.common import suffix, syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.model import our_sequence
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family, strangers
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.upper import ACK, FIN, RST, STACK_OPTIONS, syn, tcp

_TRAP = 540
_OPEN_TRAPS = {"traps": {"tcp": [_TRAP], "listen": True}}
_VERIFIED = "An innocent is banned as a verified source, in mode strict too."
_FLOOD = 400
_VICTIMS = 40


def _cookies(port: int, family: Family, *, always: bool, then_scan: bool) -> Play:
    """SYN cookies are not repeated: a half-open connection looks like a completed one.

    Args:
        port: of the service or open trap.
        family: of the addresses.
        always: the host answers with cookies without being flooded.
        then_scan: eight more SYNs in the name of each innocent.
    """

    def play(stage: Wire) -> None:
        stage.lab.target.set_kernel(f"echo {2 if always else 1} > /proc/sys/net/ipv4/tcp_syncookies")
        if not always:
            flood = (f"198.18.{200 + number // 250}.{number % 250 + 1}" for number in range(_FLOOD))
            stage.send(*(syn(source, FOUR.victim, port) for source in flood), every=0.0005)
        for number, innocent in enumerate(strangers(_VICTIMS, family.number)):
            stage.send(syn(innocent, family.victim, port, src_port=43_210), every=0.001)
            if then_scan:
                ports = range(600 + 8 * number, 608 + 8 * number)
                stage.send(*syns(innocent, family.victim, ports), every=0.001)
        stage.pause(8)  # longer than a SYN-ACK waits for its acknowledgement

    return play


def _no_repetition(stage: Wire) -> None:
    """A host that sends each SYN-ACK once."""
    stage.lab.target.set_kernel("echo 0 > /proc/sys/net/ipv4/tcp_synack_retries")
    for innocent in strangers(_VICTIMS):
        stage.send(syn(innocent, FOUR.victim, _TRAP, src_port=43_210), every=0.001)
    stage.pause(8)


def _reset_by_the_innocent(stage: Wire) -> None:
    """The innocent is there: its kernel refuses the SYN-ACKs that it never asked for."""
    for number in range(2):
        stage.send(syn(FOUR.innocent, FOUR.victim, _TRAP, src_port=43_210 + number))
        stage.pause(0.3)
    stage.pause(4)


def _friend_by_cookies(family: Family, connections: int) -> Play:
    """Half-open connections, answered with cookies, from an address that resets none of them; then a scan."""

    def play(stage: Wire) -> None:
        stage.lab.target.set_kernel("echo 2 > /proc/sys/net/ipv4/tcp_syncookies")
        for number in range(connections):
            stage.send(syn(family.second, family.victim, 80, src_port=43_000 + number))
        stage.pause(8)
        stage.scan(*syns(family.second, family.victim))

    return play


def _acknowledged(offset: int, flags: int, port: int, family: Family) -> Play:
    """A blind acknowledgement, `offset` bytes beyond what the victim sent: 1 in 4,096 guesses is so near."""

    def play(stage: Tape) -> None:
        stage.send(syn(family.stranger, family.victim, 600))
        for number in range(3):
            opened = syn(family.stranger, family.victim, port, src_port=43_000 + number)
            stage.send(opened)
            ack = (our_sequence(opened) + offset) & 0xFFFFFFFF
            seq = int.from_bytes(opened.payload[4:8], "big") + 1
            stage.send(tcp(family.stranger, family.victim, 43_000 + number, port, flags, seq=seq & 0xFFFFFFFF, ack=ack))
        stage.send(*syns(family.stranger, family.victim, range(601, 610)))

    return play


def _silence(stage: Tape) -> None:
    """The victim answers once, and nobody says anything more: the capture lost it, say."""
    stage.send(*(syn(FOUR.stranger, FOUR.victim, 80, src_port=43_000 + number) for number in range(6)))
    stage.pause(10)
    stage.send(*syns(FOUR.stranger, FOUR.victim, range(600, 608)))


def _friend_by_silence(stage: Tape) -> None:
    """Six half-open connections, whose SYN-ACKs are seen once, make their sender a friend."""
    stage.send(*(syn(FOUR.attacker, FOUR.victim, 80, src_port=43_000 + number) for number in range(6)))
    stage.pause(10)
    stage.scan(*syns(FOUR.attacker, FOUR.victim))


def _closed_without_an_answer(stage: Tape) -> None:
    """FIN and RST with ACK behind each probe: a connection that was closed must have been open."""
    for port in PORTS:
        probe = syn(FOUR.attacker, FOUR.victim, port)
        stage.scan(probe, every=0)
        for flags in (FIN | ACK, RST | ACK):
            stage.send(tcp(FOUR.attacker, FOUR.victim, 40_000, port, flags, seq=3, ack=9), every=0.0001)


def _own_sequence_guessed(stage: Tape) -> None:
    """All sequence numbers, a million bytes apart: 4,096 flows with one acknowledgement each."""
    stage.send(syn(FOUR.stranger, FOUR.victim, 600))
    for number in range(4_096):
        opened = syn(FOUR.stranger, FOUR.victim, 80, src_port=10_000 + number, options=STACK_OPTIONS)
        stage.send(opened, every=0.0001)
        ack = (number << 20) & 0xFFFFFFFF
        stage.send(tcp(FOUR.stranger, FOUR.victim, 10_000 + number, 80, FIN | ACK, seq=5, ack=ack), every=0.0001)
    stage.send(*syns(FOUR.stranger, FOUR.victim, range(601, 610)))


def _everything() -> Iterator[Attack]:
    for family in FAMILIES:
        end = suffix(family)
        for name, offset in (("million", 1_000_000), ("hundred-thousand", 100_000), ("hundred", 100)):
            for flags, word in ((FIN | ACK, "fin"), (RST | ACK, "rst")):
                play = _acknowledged(offset, flags, 80, family)
                yield Attack(f"proof-blind-{word}-{name}{end}", _VERIFIED, play, forges=True)
        trap = _acknowledged(500_000, FIN | ACK, _TRAP, family)
        yield Attack(f"proof-blind-trap{end}", _VERIFIED, trap, forges=True, settings=_OPEN_TRAPS)
        for always in (False, True):
            if family is SIX and not always:
                continue
            word = "always" if always else "flooded"
            yield Attack(
                f"proof-cookies-{word}-trap{end}",
                "254 innocents are banned as verified sources, by one packet each.",
                _cookies(_TRAP, family, always=always, then_scan=False),
                way="live",
                forges=True,
                settings=_OPEN_TRAPS,
            )
        yield Attack(
            f"proof-cookies-scan{end}",
            _VERIFIED,
            _cookies(80, family, always=True, then_scan=True),
            way="live",
            forges=True,
        )
        friend = "Half-open connections make the scanner a friend."
        for connections in (5, 20):
            yield Attack(
                f"proof-friend-by-{connections}-cookies{end}",
                friend,
                _friend_by_cookies(family, connections),
                way="live",
            )
    yield Attack("proof-no-repetition", _VERIFIED, _no_repetition, way="live", forges=True, settings=_OPEN_TRAPS)
    yield Attack(
        "proof-reset-by-innocent",
        "Two forged SYNs to an open trap ban an innocent host.",
        _reset_by_the_innocent,
        way="live",
        forges=True,
        settings=_OPEN_TRAPS,
    )
    yield Attack("proof-silence", _VERIFIED, _silence, forges=True)
    yield Attack("proof-friend-by-silence", friend, _friend_by_silence)
    yield Attack("proof-every-number", _VERIFIED, _own_sequence_guessed, forges=True)
    yield Attack(
        "proof-closed-without-answer",
        "Probes are talked away by closing what was never open.",
        _closed_without_an_answer,
    )


ATTACKS = tuple(_everything())
