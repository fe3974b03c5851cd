"""The tables of docs/measurements/attacks.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from tests.lab.attacks.attack import Attack, Observed
from tests.lab.attacks.expectation import ALWAYS, banned
from tests.lab.attacks.expected import expected
from tests.lab.attacks.parties import role
from tests.lab.attacks.shipped_filter import NORMAL, STRICT
from tests.lab.support import machine
from tests.lab.support.tables import table

PAGE = "attacks.md"
_HEAD = """# Attacks

Written by `python -m tests.lab.attacks -o docs/measurements`. Each attack is played against the real sensor:
between network namespaces (names with `live`, hidden probes, local users, files), or as a capture file with
simulated time. The shipped filter says whom a line bans; tests/lab/attacks/expected.py says what is expected.

- **packets**: that the attack needs, without the scan that it prepares.
- **seen as**: type and technique of the lines about the attacker; about others where there are none.
- **could ban**: in mode `normal`, and in mode `strict` where that is said.
- Attacks with one outcome share a row; after a colon stands what their names end with.
- Always expected: {always}.
"""
_COLUMNS = ("attack", "packets", "seen as", "verdict", "could ban", "expected", "as expected")
_WORST = ("ban", "watch", "ignore", "none")


@dataclass(frozen=True)
class Row:
    """The outcome of one attack, in the words of the table."""

    name: str
    gain: str
    packets: int
    seen_as: str
    verdict: str
    could_ban: str
    expected: str
    missed: str
    fewest: Mapping[str, int]
    innocents: Mapping[str, int]
    forges: bool

    @property
    def is_expected(self) -> bool:
        """Whether all came out as expected."""
        return not self.missed


def row(attack: Attack, seen: Observed) -> Row:
    """Judge an outcome."""
    wanted = expected(attack)
    lines = [line for line in seen.evidence if role(line["src_ip"]) == "attacker"] or seen.evidence
    verdicts = {line["verdict"] for line in lines}
    return Row(
        attack.name,
        attack.gain,
        seen.packets,
        ", ".join(sorted({f"{line['scan_type']} {line['technique']}" for line in lines})) or _unseen(seen),
        next((word for word in _WORST if word in verdicts), "no line"),
        _could_ban(seen),
        "; ".join(one.text for one in wanted if one not in ALWAYS) or "nothing else",
        "; ".join(one.text for one in wanted if not one.holds(seen)),
        dict(seen.fewest),
        {mode: len(banned(seen, "innocent", mode)) for mode in (NORMAL, STRICT)},
        attack.forges,
    )


def _unseen(seen: Observed) -> str:
    return "nothing; the victim answers nothing" if seen.learned == 0 else "nothing"


def _could_ban(seen: Observed) -> str:
    whom = [_whom(seen, mode) for mode in (NORMAL, STRICT)]
    return whom[0] if whom[1] == "nobody" else f"{whom[0]}; strict: {whom[1]}"


def _whom(seen: Observed, mode: str) -> str:
    words = ["the attacker"] * bool(banned(seen, "attacker", mode)) + ["ourselves"] * bool(banned(seen, "victim", mode))
    innocents = len(banned(seen, "innocent", mode))
    words += ["an innocent" if innocents == 1 else f"{innocents} innocents"] * bool(innocents)
    return " and ".join(words) or "nobody"


def markdown(classes: Mapping[str, Sequence[Row]]) -> str:
    """The page, a table for each class."""
    always = "; ".join(one.text for one in ALWAYS)
    parts = [_HEAD.format(always=always), machine.described(), _summary(classes)]
    for name, rows in classes.items():
        if rows:
            parts += [f"## {name[0].upper()}{name[1:]}\n", table(_COLUMNS, map(_cells, _merged(rows)))]
    everybody = [one for rows in classes.values() for one in rows]
    parts += ["## What a forger needs\n", _fewest(everybody), "## Innocents a minute\n", _a_minute(everybody)]
    return "\n".join(parts)


def _summary(classes: Mapping[str, Sequence[Row]]) -> str:
    rows = [
        (name, str(len(found)), str(sum(one.is_expected for one in found))) for name, found in classes.items() if found
    ]
    total = [str(sum(int(cells[at]) for cells in rows)) for at in (1, 2)]
    return table(("class", "attacks", "as expected"), [*rows, ("all", *total)])


def _merged(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one gain and one outcome together, in the order of the first of each."""

    def key(one: Row) -> tuple[str, ...]:
        return (one.gain, one.seen_as, one.verdict, one.could_ban, one.expected, one.missed)

    order = {key(one): number for number, one in reversed(list(enumerate(rows)))}
    grouped = groupby(sorted(rows, key=lambda one: order[key(one)]), key)
    return [list(group) for _, group in grouped]


def _cells(group: Sequence[Row]) -> tuple[str, ...]:
    first = group[0]
    counts = sorted({one.packets for one in group})
    packets = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    result = "yes" if first.is_expected else f"**no**: {first.missed}"
    name = f"{_names([one.name for one in group])}. {first.gain}"
    return (name, packets, first.seen_as, first.verdict, first.could_ban, first.expected, result)


def _names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"`{names[0]}`"
    words = [name.split("-") for name in names]
    same = [one[0] for one in takewhile(lambda row: len(set(row)) == 1, zip(*words, strict=False))]
    prefix = "".join(f"{word}-" for word in same[: min(map(len, words)) - 1])
    return f"`{prefix}`: {', '.join(f'`{name.removeprefix(prefix)}`' for name in names)}"


def _fewest(rows: Iterable[Row]) -> str:
    cells = [
        (f"`{one.name}`", str(one.fewest.get(NORMAL, "never")), str(one.fewest.get(STRICT, "never")))
        for one in rows
        if one.forges and one.fewest
    ]
    text = "The smallest number of forged packets that bans an innocent. All other forgeries ban none.\n\n"
    return text + table(("forgery", "normal", "strict"), cells)


def _a_minute(rows: Iterable[Row]) -> str:
    cells = [
        (f"`{one.name}`", f"{one.packets:,}", str(one.innocents[NORMAL]), str(one.innocents[STRICT]))
        for one in rows
        if one.name.startswith("innocents-a-minute-")
    ]
    text = "How many of 600 innocents are banned when all are forged within one minute.\n\n"
    return text + table(("forgery", "packets", "normal", "strict"), cells)
