"""Tries every fail2ban with every firewall, over both families, and writes the table of fail2ban.md.

    python -m tests.lab.fail2ban_matrix [TREE...] [-o DIR]

Debian's own fail2ban always takes part, and each source tree of fail2ban that is named. Exits with 1 if a
chain is broken. Needs root.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.support import page, program
from tests.lab.support.tables import table
from tests.support.ban_chain import FAMILIES, prove
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
    family: str
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
            times = (f"{self.ban_seconds:.1f} s", "refused", "refused", f"{self.unban_seconds:.1f} s")
            worked = list(times)
        return [self.fail2ban, self.firewall, self.family, *worked, str(self.errors)]


def rows(which: Fail2ban) -> Iterator[Row]:
    """Try one fail2ban; a broken chain is a row too."""
    name = f"{which.version()} ({which.origin})"
    setups = [(firewall, NAME, local) for firewall, local in FIREWALLS.items()]
    setups += [(f"{name}, networks", NETWORK_NAME, local) for name, local in NETWORK_FIREWALLS.items()]
    for firewall, jail, local in setups:
        with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
            lab.target.serve("echo")
            try:
                server = Fail2banServer(lab.target, Path(folder), local, which=which)
            except AssertionError as error:
                yield from (Row(name, firewall, family, broken=_first(error)) for family in FAMILIES)
                continue
            for family in FAMILIES:
                before = len(server.errors())
                try:
                    proof = prove(lab, server, family, jail)
                except AssertionError as error:
                    errors = len(server.errors()) - before
                    yield Row(name, firewall, family, errors=errors, broken=_first(error))
                else:
                    errors = len(proof.errors) - before
                    yield Row(name, firewall, family, proof.ban_seconds, proof.unban_seconds, errors)
            server.stop()


def shown(found: Sequence[Row]) -> str:
    head = ("fail2ban", "firewall", "family", "line to rule", "TCP", "UDP", "unban to no rule", "ERROR lines")
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
