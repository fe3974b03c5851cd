"""Installs the sensor into a copy of a Debian tree, boots it with systemd and scans it.

    python -m tests.lab.boot TREE [-o DIR]

TREE is what debootstrap made; it is copied, not changed. Writes boot.md. Exits with 1 if a check fails.
Needs root.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tests.lab.boot import tree as trees
from tests.lab.boot.checks import CHECKS
from tests.lab.boot.lifecycle import live
from tests.lab.boot.machine import Machine, booted
from tests.lab.support import program

_HEAD = """# A booted machine

Written by `make boot`: {system}, with {systemd}, tshark {tshark}, fail2ban {fail2ban} and the sensor,
installed with the commands of [install.md](../install.md#as-a-service), is booted by systemd in a container
with a network of its own, and scanned from a host on its wire. The exit code is 1 if a check fails.

| check | seen |
|---|---|
"""


def main(words: Sequence[str]) -> int:
    parser = program.parser("boot", __doc__)
    parser.add_argument("tree", type=Path)
    arguments = program.begin(parser, words)
    program.need_root(parser)
    with tempfile.TemporaryDirectory(prefix="portsentry-py-boot-", dir=arguments.tree.resolve().parent) as folder:
        tree, console = Path(folder) / "tree", Path(folder) / "console"
        trees.furnish(arguments.tree, tree)
        trees.obey(tree, *trees.steps(), trees.METRICS)
        with console.open("wb") as output, booted(tree, output) as machine:
            page, failed = _page(machine)
        trees.furnish(arguments.tree, tree.with_name("life"))
        trees.obey(tree.with_name("life"), *trees.steps()[:-1])
        with console.open("ab") as output:
            rows, broken = _life(tree.with_name("life"), output)
        page, failed = page + rows, failed or broken
    if arguments.output:
        (arguments.output / "boot.md").write_text(page, encoding="utf-8")
    return 1 if failed else 0


def _page(machine: Machine) -> tuple[str, bool]:
    page = _HEAD.format(
        system=machine.told("sh", "-c", '. /etc/os-release && echo "$PRETTY_NAME"').strip(),
        systemd=" ".join(machine.told("systemctl", "--version").split()[:2]),
        tshark=machine.told("tshark", "--version").split()[2].rstrip("."),
        fail2ban=machine.told("fail2ban-client", "--version").split()[1].lstrip("v"),
    )
    print(page, end="", flush=True)
    failed = False
    for check in CHECKS:
        try:
            seen = check(machine)
        except AssertionError as error:
            failed = True
            seen = f"**{str(error).splitlines()[0] if str(error) else 'not so'}**"
            print(f"{check.__name__}: {error}", file=sys.stderr)
        row = f"| {check.__name__.replace('_', ' ')} | {seen} |\n"
        print(row, end="", flush=True)
        page += row
    return page, failed


def _life(tree: Path, console: IO[bytes]) -> tuple[str, bool]:
    page = "\nAnother copy, which has the program and no service, from the installation to the removal:\n"
    page += "\n| step | seen |\n|---|---|\n"
    print(page, end="", flush=True)
    try:
        for name, seen in live(tree, console):
            row = f"| {name} | {seen} |\n"
            print(row, end="", flush=True)
            page += row
    except AssertionError as error:
        print(f"the life ended early: {error}", file=sys.stderr)
        return f"{page}| **{str(error).splitlines()[0]}** | |\n", True
    return page, False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
