"""Frames that come in and carry the victim's own address as their source: who speaks for the victim?"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.lab.attacks.attack import PORTS, Attack, Play, Stage
from tests.lab.attacks.classes.common import datagrams, suffix, syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import TAG, Frame, Packet, framed
from tests.lab.attacks.wire.upper import (
    ACK,
    FIN,
    RST,
    SCTP_INIT_ACK,
    SYN,
    echo,
    echo_reply,
    icmp,
    sctp,
    syn,
    tcp,
    udp,
    unreachable,
)
from tests.support.namespaces import IFACE, ip

Disguise = Callable[[Packet], Frame]
_TAGS: dict[str, tuple[tuple[int, int], ...]] = {
    "tag-0": ((TAG, 0),),
    "tag-5": ((TAG, 5),),
    "tags-0-0": ((0x88A8, 0), (TAG, 0)),
    "tags-0-0-0": ((TAG, 0), (TAG, 0), (TAG, 0)),
}
_SWEPT = [f"203.0.113.{number}" for number in range(20, 44)]


def _link(link: str, *, to: str = "victim") -> Disguise:
    return lambda packet: framed(packet, link=link, to=to)


def _tagged(name: str) -> Disguise:
    return lambda packet: framed(packet, *_TAGS[name])


# ---- the answers of the victim to an attacker's own probes, forged


def _syn_ack(probe: Packet) -> Packet:
    return _turned(probe, SYN | ACK)


def _fin_ack(probe: Packet) -> Packet:
    return _turned(probe, FIN | ACK)


def _turned(probe: Packet, flags: int) -> Packet:
    src_port, dest_port = (int.from_bytes(probe.payload[at : at + 2], "big") for at in (0, 2))
    seq = int.from_bytes(probe.payload[4:8], "big")
    return tcp(probe.dst, probe.src, dest_port, src_port, flags, seq=9_000, ack=seq + 1, ttl=64)


def _datagram_back(probe: Packet) -> Packet:
    src_port, dest_port = (int.from_bytes(probe.payload[at : at + 2], "big") for at in (0, 2))
    return udp(probe.dst, probe.src, dest_port, src_port, b"okay", ttl=64)


def _init_ack(probe: Packet) -> Packet:
    src_port, dest_port = (int.from_bytes(probe.payload[at : at + 2], "big") for at in (0, 2))
    return sctp(probe.dst, probe.src, dest_port, src_port, SCTP_INIT_ACK)


def _returned(probe: Packet) -> Packet:
    return Packet(probe.dst, probe.src, probe.proto, bytes(20))


def _before(family: Family, to: str, disguise: Disguise, *, cooked: bool = False) -> Play:
    """First the forged SYN-ACKs from all ports, then the scan."""

    def play(stage: Stage) -> None:
        _cook(stage, cooked)
        answers = (tcp(family.victim, to, port, 40_000, SYN | ACK, seq=9_000, ack=1001) for port in PORTS)
        stage.send(*map(disguise, answers))
        stage.scan(*syns(family.attacker, family.victim))

    return play


def _between(
    probes: list[Packet], forged: Callable[[Packet], Packet], disguise: Disguise, *, cooked: bool = False
) -> Play:
    """Each probe, and at once the victim's answer to it, forged."""

    def play(stage: Stage) -> None:
        _cook(stage, cooked)
        for probe in probes:
            stage.scan(probe, every=0)  # the forged answer is there before the victim's own
            stage.send(disguise(forged(probe)))

    return play


def _cook(stage: Stage, cooked: bool) -> None:
    if isinstance(stage, Tape):
        stage.cooked = cooked


def _question(family: Family, port: int, disguise: Disguise) -> Play:
    """A question to the attacker in the victim's name, the attacker's answer, then a scan by the attacker."""

    def play(stage: Stage) -> None:
        stage.send(disguise(udp(family.victim, family.attacker, 41_234, port)))
        stage.send(udp(family.attacker, family.victim, port, 41_234, bytes(40)))
        stage.scan(*syns(family.attacker, family.victim))

    return play


def _multicast_question(stage: Stage) -> None:
    """The victim seems to ask everybody (SSDP) from many ports; the "answers" are a scan of these ports."""
    group = "239.255.255.250"
    for port in range(20_600, 20_640):
        stage.send(framed(udp(FOUR.victim, group, port, 1900, b"M-SEARCH * HTTP/1.1\r\n", ttl=2)))
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(20_600, 20_640), src_port=1900))


def _ftp_session(stage: Stage) -> None:
    """The victim seems to be logged in at the attacker's FTP server, whose data connections are a scan."""
    opened = syn(FOUR.victim, FOUR.attacker, 21, src_port=41_500)
    stage.send(framed(opened))
    stage.send(_turned(opened, SYN | ACK))
    stage.scan(*(syn(FOUR.attacker, FOUR.victim, port, src_port=20) for port in PORTS))


def _friend_of_both_sides(stage: Stage) -> None:
    """Five sessions of the attacker in which the victim's side is forged too."""
    for number in range(5):
        opened = syn(FOUR.attacker, FOUR.victim, 80, src_port=42_000 + number)
        stage.send(opened, framed(_syn_ack(opened)))
        stage.send(tcp(FOUR.attacker, FOUR.victim, 42_000 + number, 80, FIN | ACK, seq=20, ack=9_200))
    stage.scan(*syns(FOUR.attacker, FOUR.victim))


def _proof_of_an_innocent(family: Family) -> Play:
    """Eight SYNs in an innocent's name, and amid them two sessions of it with both sides forged."""

    def play(stage: Stage) -> None:
        stage.send(syn(family.stranger, family.victim, 600))
        for number, port in enumerate((22, 80)):
            opened = syn(family.stranger, family.victim, port, src_port=42_000 + number)
            closed = tcp(family.stranger, family.victim, 42_000 + number, port, FIN | ACK, seq=9, ack=9_001)
            stage.send(opened, framed(_syn_ack(opened)), closed)
        stage.send(*syns(family.stranger, family.victim, range(601, 608)))

    return play


# ---- what the victim would refuse an innocent, forged


def _refusals(family: Family, kind: str, disguise: Disguise) -> Play:
    def forged(port: int) -> Packet:
        innocent, victim = family.stranger, family.victim
        return {
            "rst": lambda: tcp(victim, innocent, port, 41_000, RST, seq=77),
            "rst-ack": lambda: tcp(victim, innocent, port, 41_000, RST | ACK, ack=77),
            "unreachable": lambda: unreachable(udp(innocent, victim, 41_000, port)),
            "protocol": lambda: unreachable(Packet(innocent, victim, 150 + port % 50, bytes(8)), "protocol"),
        }[kind]()

    return lambda stage: stage.send(*(disguise(forged(port)) for port in range(600, 632)))


def _scanner_ourselves(family: Family, disguise: Disguise) -> Play:
    """SYNs in the victim's name to many hosts: the victim looks like a scanner."""
    targets = [f"198.19.{number}.9" if family is FOUR else f"2001:db8:300:{number:x}::9" for number in range(60)]
    return lambda stage: stage.send(*(disguise(syn(family.victim, target, 23)) for target in targets))


def _echoes(stage: Stage) -> None:
    """A ping sweep of the victim's network, whose answers are forged: every host seems to be there."""
    for target in _SWEPT:
        stage.scan(echo(FOUR.attacker, target))
        stage.send(framed(echo_reply(target, FOUR.attacker)))


def _redirects(stage: Stage) -> None:
    """ICMP errors in the victim's name that quote the attacker's probes as somebody else's."""
    for port in PORTS:
        probe = syn(FOUR.attacker, FOUR.victim, port)
        stage.scan(probe)
        stage.send(framed(icmp(FOUR.victim, FOUR.stranger, 3, 3, bytes(4) + probe.content[:28])))


def _neighbour_messages(family: Family) -> Play:
    """ARP or neighbour discovery gives the victim's address to the attacker; then SYN-ACKs from it."""

    def play(stage: Stage) -> None:
        if family is FOUR:
            claim = bytes.fromhex("0001080006040002020000000066cb007101ffffffffffffcb007101")
            stage.send(Frame(claim, b"\x08\x06", to="everybody"))
        else:
            body = bytes.fromhex("20000000") + bytes.fromhex("20010db8011300000000000000000001")
            message = icmp(SIX.victim, "ff02::1", 136, 0, body + bytes.fromhex("0201020000000066"), ttl=255)
            stage.send(framed(message, to="everybody"))
        _before(family, family.accomplice, _link("attacker"))(stage)

    return play


def _new_address(family: Family) -> Play:
    """The host gets another address; before the sensor knows it, SYN-ACKs come from there."""
    address = "203.0.113.77" if family is FOUR else "2001:db8:113::77"

    def play(stage: Wire) -> None:
        words = ["/32"] if family is FOUR else ["/128", "nodad"]
        new = (f"{address}{words[0]}", "dev", IFACE, *words[1:])
        ip("-n", stage.lab.target.namespace, "addr", "add", *new)
        for _ in range(3):  # three seconds: before and after the sensor has noticed
            answers = (tcp(address, family.accomplice, port, 40_000, SYN | ACK, ack=1) for port in PORTS)
            stage.send(*map(_link("attacker"), answers), every=0.01)
        stage.scan(*syns(family.attacker, address))

    return play


def _everything() -> Iterator[Attack]:
    taught = "All ports count as served: a scan of them has no line."
    for family in FAMILIES:
        end = suffix(family)
        probes = syns(family.attacker, family.victim)
        for name, to in (("us", family.victim), ("others", family.accomplice)):
            yield Attack(f"own-synack-to-{name}{end}", taught, _before(family, to, _link("attacker")))
        for link in ("attacker", "router"):
            play = _between(probes, _syn_ack, _link(link))
            yield Attack(f"own-synack-between-from-{link}{end}", taught, play)
        for link in ("attacker", "router", "victim"):
            play = _between(probes, _syn_ack, _link(link), cooked=True)
            yield Attack(f"own-synack-cooked-from-{link}{end}", taught, play)
        yield Attack(
            f"own-synack-broadcast{end}", taught, _before(family, family.accomplice, _link("attacker", to="everybody"))
        )
        for tags in _TAGS:
            play = _between(probes, _syn_ack, _tagged(tags))
            yield Attack(f"own-synack-{tags}{end}", taught, play)
        asked = datagrams(family.attacker, family.victim)
        yield Attack(f"own-udp-answers{end}", taught, _between(asked, _datagram_back, _link("attacker")))
        yield Attack(f"own-fin-ack{end}", taught, _between(probes, _fin_ack, _link("attacker")))
        associations = [sctp(family.attacker, family.victim, 40_000, port) for port in PORTS]
        yield Attack(f"own-sctp-init-ack{end}", taught, _between(associations, _init_ack, _link("attacker")))
        protocols = [Packet(family.attacker, family.victim, number, bytes(20)) for number in range(140, 180)]
        yield Attack(f"own-ip-protocols{end}", taught, _between(protocols, _returned, _link("attacker")))
        yield Attack(f"own-neighbour-message{end}", taught, _neighbour_messages(family))
        immune = "The scanner counts as a server that the victim asked, and is exempt."
        for port in (53, 67, 123) if family is FOUR else (53, 547, 123):
            play = _question(family, port, _link("attacker"))
            yield Attack(f"own-question-{port}{end}", immune, play)
        framing = "An innocent is banned for what the victim seems to refuse it."
        for kind in ("rst", "rst-ack", "unreachable", "protocol"):
            play = _refusals(family, kind, _link("attacker"))
            yield Attack(f"own-refusal-{kind}{end}", framing, play, forges=True)
        alarm = "The operator hears that this host scans others."
        yield Attack(f"own-outbound{end}", alarm, _scanner_ourselves(family, _link("attacker")))
        yield Attack(
            f"own-proof{end}",
            "An innocent is banned as a verified source, in mode strict too.",
            _proof_of_an_innocent(family),
            forges=True,
        )
    exempt = "A scan counts as answers to what the victim asked for."
    yield Attack("own-multicast-question", exempt, _multicast_question)
    yield Attack("own-ftp-session", exempt, _ftp_session)
    friend = "The scanner counts as a friend after five forged sessions."
    yield Attack("own-both-sides", friend, _friend_of_both_sides)
    swept = "A ping sweep seems to find a host everywhere."
    yield Attack("own-echo-replies", swept, _echoes, home=("203.0.113.0/24",))
    yield Attack("own-errors-about-others", "An innocent is named for the scan.", _redirects, forges=True)


def _live() -> Iterator[Attack]:
    """The same with a real kernel, which knows what came and what went; and what only it can show."""
    for attack in _everything():
        if "cooked" not in attack.name and attack.name != "own-echo-replies":
            yield replace(attack, name=f"{attack.name}-live", way="live")


ATTACKS = (
    *_everything(),
    *_live(),
    *(
        Attack(
            f"own-new-address{suffix(family)}",
            "All ports of a new address count as served.",
            _new_address(family),
            way="live",
        )
        for family in FAMILIES
    ),
)
