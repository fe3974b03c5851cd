"""The comparison as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.lab.compare.techniques import EDGES, Technique
from tests.lab.compare.watcher import Accusation
from tests.lab.support.tables import table

_HEAD = """# Comparison with the peers

Written by `make compare` (with `PEERS="--portsentry BINARY"` for portsentry too). Each row is one nmap scan
from an address that no sensor has seen before, of a host that serves 22/tcp and 80/tcp and runs all the
sensors at once; `nmap -n -Pn` stands before the options. A number is how many lines name the scanner.

- **portsentry-py**: `scan` lines, without the one that says that a scan has ended, + `trap` lines; their
  `scan_type` and their best `verdict`. All settings but the profile are the defaults.
- **scanlogd**: lines in syslog. A fresh one watches each technique, because after five scans in twenty
  seconds it falls silent.
- **psad**: `scan detected` lines in syslog, one for each five seconds in which something came. It reads what
  the kernel's `LOG` target says of everything that arrives and is not for a served port.
- **portsentry**: lines of the history file. It watches all ports but the served ones, not just its own list.
"""


_EDGES = """21 points: three for a port below 1024, one for others, at most three seconds between two ports.
The profile is that rule on this sensor's evidence, and so differs from scanlogd on purpose: a served port
makes no points (22 and 80 do in scanlogd), an ACK or FIN+ACK probe does if this host refuses it (scanlogd
passes over every packet with ACK), IPv6 counts, and nothing falls silent after five scans.
"""

MISSED = "missed"


@dataclass(frozen=True)
class Row:
    technique: Technique
    scanner: str
    decoys: Sequence[str]


def markdown(
    rows: Sequence[Row], columns: Mapping[str, Sequence[Accusation]], absent: Sequence[str], versions: str
) -> str:
    techniques = [row for row in rows if row.technique not in EDGES]
    edges = [row for row in rows if row.technique in EDGES]
    seen = (sum(cell(row.scanner, said) != MISSED for row in techniques) for said in columns.values())
    parts = [
        _HEAD,
        *(f"Left out: {reason}.\n" for reason in absent),
        f"{versions}\n",
        _table(techniques, columns, (f"seen of {len(techniques)}", *map(str, seen))),
        "## The edges of scanlogd's rule\n",
        _EDGES,
        _table(edges, columns),
        "## Decoys\n",
        _decoys(rows, columns),
    ]
    return "\n".join(parts)


def cell(address: str, accusations: Sequence[Accusation]) -> str:
    """What one sensor said about one address."""
    about = [one for one in accusations if one.address == address]
    if not about:
        return MISSED
    types = sorted({one.scan_type for one in about} - {""})
    if not types:
        return str(len(about))
    traps = sum(one.trap for one in about)
    verdicts = {one.verdict for one in about}
    best = next(word for word in ("ban", "watch", "ignore") if word in verdicts)
    return f"{len(about) - traps} + {traps} ({', '.join(types)}; {best})"


def _table(rows: Sequence[Row], columns: Mapping[str, Sequence[Accusation]], *sums: Sequence[str]) -> str:
    cells = [
        (f"`{row.technique.options}`{row.technique.remark}", *(cell(row.scanner, said) for said in columns.values()))
        for row in rows
    ]
    return table(("technique", *columns), [*cells, *sums])


def _decoys(rows: Sequence[Row], columns: Mapping[str, Sequence[Accusation]]) -> str:
    decoys = {address for row in rows for address in row.decoys}
    lines = [f"The scans with decoys used the addresses of {len(decoys)} hosts that did nothing.\n"]
    for name, said in columns.items():
        named = {one.address for one in said} & decoys
        banned = {one.address for one in said if one.verdict == "ban"} & decoys
        ours = any(one.verdict for one in said)
        lines.append(f"- {name} names {len(named)}{f', bans {len(banned)}' if ours else ''}.")
    return "\n".join(lines) + "\n"
