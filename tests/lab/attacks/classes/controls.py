"""No attacks, but tests of the suite: plain scans that must be banned, ordinary use that must not."""

from collections.abc import Iterator

from tests.lab.attacks.attack import Attack, Play, Stage
from tests.lab.attacks.classes.common import connects, datagrams, suffix, syns
from tests.lab.attacks.parties import FAMILIES, Family


def _scan(family: Family, kind: str) -> Play:
    ends = (family.attacker, family.victim)
    probes = {"syn": syns(*ends), "connect": connects(*ends), "udp": datagrams(*ends)}[kind]
    return lambda stage: stage.scan(*probes)


def _use(family: Family) -> Play:
    """An innocent uses the web server and another service."""

    def play(stage: Stage) -> None:
        stage.visit(family.innocent, 5)
        stage.visit(family.innocent, 2, port=443)

    return play


def _ask(stage: Stage) -> None:
    """The victim asks a server, which answers."""
    stage.ask(FAMILIES[0].attacker)


def _everything() -> Iterator[Attack]:
    for way in ("replay", "live"):
        word = "" if way == "replay" else "live-"
        for family in FAMILIES:
            end = suffix(family)
            for kind in ("syn", "connect", "udp"):
                yield Attack(f"control-{word}{kind}{end}", "Nothing: a plain scan.", _scan(family, kind), way)
            yield Attack(f"control-{word}use{end}", "Nothing: ordinary use.", _use(family), way)
        yield Attack(f"control-{word}ask", "Nothing: a question and its answer.", _ask, way)


ATTACKS = tuple(_everything())
