"""Installs the sensor into a copy of a Debian tree, boots it with systemd and scans it.

    python -m tests.lab.boot TREE [-o DIR]

TREE is what debootstrap made; it is copied, not changed. Writes the part of boot.md about its release.
Exits with 1 if a check fails. Needs root.
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
from tests.lab.support import page, program

_HEAD = """{system}, with {systemd}, tshark {tshark}, fail2ban {fail2ban}:

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
            text, failed = _checks(machine)
        trees.furnish(arguments.tree, tree.with_name("life"))
        with console.open("ab") as output:
            rows, broken = _life(tree.with_name("life"), output)
    if arguments.output:
        release = trees.release(arguments.tree)
        page.put(arguments.output / "boot.md", release, text + rows)
    return 1 if failed or broken else 0


def _checks(machine: Machine) -> tuple[str, bool]:
    text = _HEAD.format(
        system=machine.told("sh", "-c", '. /etc/os-release && echo "$PRETTY_NAME"').strip(),
        systemd=" ".join(machine.told("systemctl", "--version").split()[:2]),
        tshark=machine.told("tshark", "--version").split()[2].rstrip("."),
        fail2ban=machine.told("fail2ban-client", "--version").split()[1].lstrip("v"),
    )
    print(text, end="", flush=True)
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
        text += row
    return text, failed


def _life(tree: Path, console: IO[bytes]) -> tuple[str, bool]:
    text = "\nAnother copy, from the installation to the removal:\n"
    text += "\n| step | seen |\n|---|---|\n"
    print(text, end="", flush=True)
    try:
        for name, seen in live(tree, console):
            row = f"| {name} | {seen} |\n"
            print(row, end="", flush=True)
            text += row
    except AssertionError as error:
        print(f"the life ended early: {error}", file=sys.stderr)
        return f"{text}| **{str(error).splitlines()[0]}** | |\n", True
    return text, False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
