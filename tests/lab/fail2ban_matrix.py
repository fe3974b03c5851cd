"""Tries every fail2ban with every firewall and every kind of ban, and writes the table of fail2ban.md.

    python -m tests.lab.fail2ban_matrix [TREE...] [-o DIR]

Debian's own fail2ban always takes part, and each source tree of fail2ban that is named. Exits with 1 if a
chain is broken. Needs root.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.support import page, program
from tests.lab.support.tables import table
from tests.support.ban_chain import CASES, prove
from tests.support.fail2ban_server import (
    DEBIAN,
    FIREWALLS,
    NAME,
    NETWORK_FIREWALLS,
    NETWORK_NAME,
    Fail2ban,
    Fail2banServer,
    from_tree,
)
from tests.support.namespaces import opened

PAGE = "fail2ban.md"


@dataclass(frozen=True)
class Row:
    """One line of the table; `broken` says in which link the chain broke, if one did."""

    fail2ban: str
    firewall: str
    banned: str
    refuses_neighbour: bool = False
    ban_seconds: float = 0.0
    unban_seconds: float = 0.0
    errors: int = 0
    broken: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything worked and fail2ban had nothing to complain about."""
        return not self.broken and not self.errors

    def cells(self) -> list[str]:
        if self.broken:
            worked = [f"**{self.broken}**", "", "", ""]
        else:
            neighbour = "refused" if self.refuses_neighbour else "answered"
            worked = [f"{self.ban_seconds:.1f} s", "refused", neighbour, f"{self.unban_seconds:.1f} s"]
        return [self.fail2ban, self.firewall, self.banned, *worked, str(self.errors)]


def rows(which: Fail2ban) -> Iterator[Row]:
    """Try one fail2ban; a broken chain is a row too."""
    name = f"{which.version()} ({which.origin})"
    setups = [(firewall, NAME, local) for firewall, local in FIREWALLS.items()]
    setups += [(firewall, NETWORK_NAME, local) for firewall, local in NETWORK_FIREWALLS.items()]
    for firewall, jail, local in setups:
        with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
            lab.target.serve("echo")
            try:
                server = Fail2banServer(lab.target, Path(folder), local, which=which)
            except AssertionError as error:
                yield from (Row(name, firewall, case.name, broken=_first(error)) for case in CASES[jail])
                continue
            for case in CASES[jail]:
                before = len(server.errors())
                row = partial(Row, name, firewall, case.name, case.refuses_neighbour)
                try:
                    proof = prove(lab, server, case, jail)
                except AssertionError as error:
                    yield row(errors=len(server.errors()) - before, broken=_first(error))
                else:
                    yield row(proof.ban_seconds, proof.unban_seconds, len(proof.errors) - before)
            server.stop()


def shown(found: Sequence[Row]) -> str:
    head = ("fail2ban", "firewall", "banned", "line to rule", "scanner", "neighbour", "unban to no rule", "ERROR lines")
    return table(head, (row.cells() for row in found))


def _first(error: AssertionError) -> str:
    return str(error).splitlines()[0]


def main(words: Sequence[str]) -> int:
    """Try them all; exit with 1 if a chain is broken."""
    parser = program.parser("fail2ban_matrix", __doc__)
    parser.add_argument("trees", metavar="TREE", nargs="*", type=Path)
    arguments = program.begin(parser, words)
    program.need_root(parser)
    found: list[Row] = []
    for which in (DEBIAN, *map(from_tree, arguments.trees)):
        for row in rows(which):
            print(*row.cells(), sep="  ", flush=True)
            found.append(row)
    if arguments.output:
        page.put(arguments.output / PAGE, "matrix", shown(found))
    return 0 if all(row.ok for row in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
