"""The page: each row with what the sensor said, and the mutants."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from tests.lab.evasion.mutation import Mutant
from tests.lab.evasion.row import Seen
from tests.lab.support import machine
from tests.lab.support.intervals import share
from tests.lab.support.tables import table
from tests.support.sensor import Line

PAGE = "evasion.md"
_HEAD = """# Evasion

Written by `make evasion`. The scanner, the victim and a bystander are network namespaces on one wire, with the real
sensor on the victim; each row comes from an address that no other has. Rows in simulated time are captures that are
replayed. The sensor has its default settings but for the budget of bans and the limit of lines, because more than two
hundred scans come from few networks within minutes.

- **probes**: to what nobody serves, until the first line with the verdict.
- **seconds**: from the first of them to that line.
- **unseen**: no line names the scanner. The last column has the reason. The exit code is 1 if a row has less than its
  expected verdict.
- "OpenSnitch's tests" are the techniques that the wiki of the OpenSnitch fork NRGLine4Sec lists for the 23 tests of its
  port scan detection, with ports of ours: 16 kinds of scan over IPv4, four of them over IPv6 too, and one connection
  that must not be reported. It has one more test of IPv4 that we do not know; `-sY` stands in its place.
"""
_MUTANTS = """A detector that knows tools by their headers loses a scanner that chooses them: in a study at SECRYPT
2023, no trained classifier saw such a scanner. Each of these sends a SYN to forty ports of a host with visitors. TTL,
window, options with their order, sequence number, source port, identification, order of the ports and pauses are
random; each header field is the same in all probes of a scanner, or another in each. The host resets, answers with
ICMP, or drops.
"""


def markdown(rows: Sequence[Seen], mutants: Sequence[Mutant]) -> str:
    """The page."""
    parts = [_HEAD, machine.described(), summary(rows, mutants)]
    for group, found in groupby(rows, key=lambda one: one.row.group):
        parts += [f"## {group[0].upper()}{group[1:]}\n", _table([*found])]
    parts += ["## Headers changed at random\n", _MUTANTS, _mutants(mutants), "## Not seen\n", _unseen(rows)]
    return "\n".join(parts)


def summary(rows: Sequence[Seen], mutants: Sequence[Mutant]) -> str:
    """The figures in a few sentences."""
    verdicts = [one.verdict for one in rows]
    wrong = [one.row.command for one in rows if not one.is_expected]
    named = sum(bool(one.verdict) for one in mutants)
    text = (
        f"{len(rows)} rows: {verdicts.count('ban')} get `ban`, {verdicts.count('watch')} `watch`, "
        f"{verdicts.count('unseen')} are not seen; {len(wrong)} have less than expected. Of {len(mutants)} mutants, "
        f"{share(named, len(mutants))} are named.\n"
    )
    return text + "".join(f"- less than expected: {command}\n" for command in wrong)


def seconds(line: Line) -> float:
    """From the first probe to the one at which the line was written."""
    return _moment(line["last_seen"]) - _moment(line["first_seen"])


def cells(one: Seen) -> tuple[str, ...]:
    """A row of the table."""
    first = one.first
    family = "IPv6" if one.row.family == 6 else "IPv4"
    if first is None:
        return (family, f"`{one.row.command}`", "-", one.verdict, "-", "-", one.why)
    seen_as = f"{first['scan_type']} {first['technique']}"
    probes = first["attempts"] - first["open"]
    return (family, f"`{one.row.command}`", seen_as, one.verdict, str(probes), f"{seconds(first):.3g}", one.why)


def _table(rows: Sequence[Seen]) -> str:
    return table(("family", "command", "seen as", "verdict", "probes", "seconds", "remark"), map(cells, rows))


def _mutants(mutants: Sequence[Mutant]) -> str:
    rows = []
    for pause in sorted({one.pause for one in mutants}):
        found = [one for one in mutants if one.pause == pause]
        counts = sorted(one.probes for one in found if one.verdict)
        times = sorted(one.seconds for one in found if one.verdict)
        rows.append(
            (
                f"{pause:g}",
                len(found),
                share(sum(one.verdict == "ban" for one in found), len(found)),
                sum(one.verdict == "watch" for one in found),
                sum(not one.verdict for one in found),
                f"{counts[len(counts) // 2]}, {counts[-1]}" if counts else "-",
                f"{times[len(times) // 2]:g}, {times[-1]:g}" if times else "-",
            )
        )
    head = (
        "longest pause (s)",
        "scanners",
        "`ban`",
        "`watch`",
        "unseen",
        "probes: median, most",
        "seconds: median, most",
    )
    return table(head, rows)


def _unseen(rows: Sequence[Seen]) -> str:
    found = [one for one in rows if one.verdict == "unseen"]
    lines = [f"- `{one.row.command}`: {one.why or '**a fault: it is expected to be seen.**'}\n" for one in found]
    return "".join(lines) or "Every row is seen.\n"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
