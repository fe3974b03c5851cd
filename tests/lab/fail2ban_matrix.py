"""Every fail2ban with every firewall, over both families; writes the table of docs/fail2ban.md.

    python -m tests.lab.fail2ban_matrix [TREE...] -o docs

Debian's own fail2ban always takes part, and each source tree of fail2ban that is named. Needs root.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"


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
        """Give the row as the page shows it."""
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


def table(found: list[Row]) -> str:
    """Give the table as Markdown."""
    head = ["fail2ban", "firewall", "family", "line to rule", "TCP", "UDP", "unban to no rule", "ERROR lines"]
    lines = [head, ["---"] * len(head), *(row.cells() for row in found)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def put_in(page: str, new: str, begin: str = BEGIN, end: str = END) -> str:
    """Give the page with what stands between two marks replaced."""
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{new}\n{end}{after}"


def _first(error: AssertionError) -> str:
    return str(error).splitlines()[0]


def main(words: list[str]) -> int:
    """Try them all, show and write the table; exit with 1 if a chain is broken."""
    parser = argparse.ArgumentParser(description="fail2ban x firewall x family")
    parser.add_argument("trees", metavar="TREE", nargs="*", type=Path, help="a source tree of fail2ban")
    parser.add_argument("-o", "--output", type=Path, required=True, help=f"the folder of {PAGE}")
    arguments = parser.parse_args(words)
    found: list[Row] = []
    for which in (DEBIAN, *map(from_tree, arguments.trees)):
        for row in rows(which):
            print(*row.cells(), sep="  ", flush=True)
            found.append(row)
    page = arguments.output / PAGE
    page.write_text(put_in(page.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    return 0 if all(row.ok for row in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
