"""What can be expected of an outcome: properties, each with its words for the table."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from tests.lab.attacks.attack import BLIND, Observed
from tests.lab.attacks.parties import covers, role
from tests.lab.attacks.shipped_filter import NORMAL, STRICT
from tests.support.sensor import Line

MANY_PORTS = 8
"""What makes a port scan (`detectors.port_scan.min_ports`)."""


@dataclass(frozen=True)
class Property:
    """Something that must hold, in the words of the table."""

    text: str
    holds: Callable[[Observed], bool]
    least: int = 0
    """The fewest packets that may ban an innocent, where that is what is expected."""


def banned(seen: Observed, who: str, mode: str = NORMAL) -> frozenset[str]:
    """The addresses and networks of a role that a mode bans."""
    return frozenset(one for one in seen.banned[mode] if role(one) == who)


def verdicts_of(seen: Observed, who: str) -> set[str]:
    """The verdicts that sources of a role have."""
    return {line["verdict"] for line in seen.evidence if role(line["src_ip"]) == who}


def moment(line: Line) -> float:
    """When a line is dated, in seconds since 1970."""
    stamp = datetime.strptime(line["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return stamp.timestamp()


def _bans_late(seen: Observed) -> bool:
    return any(
        line["verdict"] == "ban" and (line["state"] == "ended" or line["reason"] == "withdrawn")
        for line in seen.evidence
    )


def _named(seen: Observed) -> bool:
    return bool(verdicts_of(seen, "attacker") & {"ban", "watch"})


# ---- what holds for every attack

STRICT_SPARES = Property("strict: no innocent", lambda seen: not banned(seen, "innocent", STRICT))
OURSELVES = Property("never ourselves", lambda seen: not banned(seen, "victim"))
PRESENT = Property("no line about the past bans", lambda seen: not _bans_late(seen))
SURVIVES = Property(
    "the sensor goes on",
    lambda seen: seen.code == 0 and BLIND not in seen.facts and "Traceback" not in seen.diagnostics,
)
ALWAYS = (STRICT_SPARES, OURSELVES, PRESENT, SURVIVES)

# ---- what happens to the scanner

BANNED = Property("scanner: `ban`", lambda seen: bool(banned(seen, "attacker")))
PROVEN = Property("scanner: `ban` in strict", lambda seen: bool(banned(seen, "attacker", STRICT)))
NAMED = Property("scanner: `watch` at least", _named)
BANNED_IF_ANSWERED = Property(
    "scanner: `ban`, if 8 ports answered it",
    lambda seen: (seen.learned or 0) < MANY_PORTS or bool(banned(seen, "attacker")),
)
NAMED_IF_ANSWERED = Property(
    "scanner: `watch` at least, if 8 ports answered it", lambda seen: (seen.learned or 0) < MANY_PORTS or _named(seen)
)
NOT_EXEMPT = Property("scanner: never `ignore`", lambda seen: "ignore" not in verdicts_of(seen, "attacker"))

# ---- what happens to others

SPARED = Property("no innocent", lambda seen: not banned(seen, "innocent"))
NOT_NAMED = Property(
    "innocents: no `ban`, no `watch`", lambda seen: not verdicts_of(seen, "innocent") & {"ban", "watch"}
)
NO_ALARM = Property(
    "no alarm about ourselves", lambda seen: not [line for line in seen.evidence if line.get("direction") == "outbound"]
)


def forged_needs(least: int) -> Property:
    """An innocent is banned in mode normal by that many packets at least, or never."""
    return Property(
        f"an innocent: {least} packets at least", lambda seen: seen.fewest.get(NORMAL, least) >= least, least
    )


def spares(address: str) -> Property:
    """No ban reaches that address."""
    return Property(
        f"no ban reaches {address}", lambda seen: not any(covers(one, address) for one in seen.banned[NORMAL])
    )


def innocents_at_most(most: int) -> Property:
    """That many innocents are banned at most in mode normal."""
    return Property(f"{most} innocents at most", lambda seen: len(banned(seen, "innocent")) <= most)


def all_banned(*addresses: str) -> Property:
    """Each of these scanners is banned, by its address or its network."""
    return Property(
        f"all {len(addresses)} scanners: `ban`",
        lambda seen: all(any(covers(one, address) for one in seen.banned[NORMAL]) for address in addresses),
    )


# ---- how fast, how often, how much

FACT_OPEN, FACT_SCAN = "open", "scan"


def speaks_within(seconds: float, since: str = FACT_OPEN) -> Property:
    """A line that bans the scanner comes soon after the moment that the attack noted."""

    def holds(seen: Observed) -> bool:
        waited = [
            moment(line) - seen.facts[since]
            for line in seen.evidence
            if line["verdict"] == "ban" and role(line["src_ip"]) == "attacker"
        ]
        return any(0 <= wait <= seconds for wait in waited)

    return Property(f"scanner: `ban` within {seconds:g} s", holds)


def lines_at_most(most: int) -> Property:
    """The log does not grow by more lines about sources than that."""
    return Property(f"{most} lines at most", lambda seen: len(seen.evidence) <= most)


def fact(name: str, text: str, expected: object = True) -> Property:
    """What the attack itself found out is as expected."""
    return Property(text, lambda seen: seen.facts.get(name) == expected)


def fact_at_most(name: str, text: str, most: float) -> Property:
    """What the attack itself measured is that much at most."""
    return Property(text, lambda seen: seen.facts.get(name, most + 1) <= most)
