"""Lets the sensor and its peers watch the same scans, live on one wire, and writes compare.md.

    python -m tests.lab.compare [--portsentry BINARY] [-o DIR]

scanlogd and psad take part where they are installed. Needs root.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.compare.kernel_log import kernel_log
from tests.lab.compare.origins import Origins
from tests.lab.compare.ours import Ours
from tests.lab.compare.portsentry import Portsentry
from tests.lab.compare.psad import Psad
from tests.lab.compare.report import MISSED, Row, cell, markdown
from tests.lab.compare.scanlogd import Scanlogd
from tests.lab.compare.techniques import EDGES, PLAIN, TECHNIQUES, Technique
from tests.lab.compare.watcher import Absent, Watcher
from tests.lab.support import program
from tests.support.namespaces import Lab, opened
from tests.support.running import ran
from tests.support.waiting import wait_for

_SCAN_SECONDS = 300
_AGAIN_SECONDS = 10


def main(words: Sequence[str]) -> int:
    parser = program.parser("compare", __doc__)
    parser.add_argument("--portsentry", type=Path, metavar="BINARY", help="portsentry 2.x, to take part")
    arguments = program.begin(parser, words)
    program.need_root(parser)
    if arguments.portsentry and not os.access(arguments.portsentry, os.X_OK):
        parser.error(f"{arguments.portsentry} is not a program")
    absent: list[str] = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        lab = stack.enter_context(opened())
        watchers = _start(lab, Path(name), arguments.portsentry, stack, absent)
        rows = _compare(lab, watchers)
        columns = {watcher.name: watcher.accusations() for watcher in watchers}
    versions = _versions(arguments.portsentry)
    page = markdown(rows, columns, absent, versions)
    print(page)
    if arguments.output:
        (arguments.output / "compare.md").write_text(page, encoding="utf-8")
    return 0


def _start(
    lab: Lab, folder: Path, portsentry: Path | None, stack: contextlib.ExitStack, absent: list[str]
) -> list[Watcher]:
    """Start whatever can run here; `absent` gets the reasons of the others."""
    target = lab.target
    watchers: list[Watcher] = [
        stack.enter_context(contextlib.closing(Ours(target, folder, profile))) for profile in ("default", "scanlogd")
    ]

    def scanlogd() -> Watcher:
        return stack.enter_context(contextlib.closing(Scanlogd(target, folder)))

    def psad() -> Watcher:
        log = folder / "firewall.log"
        stack.enter_context(kernel_log(target, log))
        return stack.enter_context(contextlib.closing(Psad(target, folder, log)))

    def given() -> Watcher:
        if portsentry is None:
            raise Absent("its binary was not given")
        return Portsentry(target, folder, portsentry.resolve())

    for name, peer in (("scanlogd", scanlogd), ("psad", psad), ("portsentry", given)):
        _join(watchers, absent, name, peer)
    return watchers


def _join(watchers: list[Watcher], absent: list[str], name: str, peer: Callable[[], Watcher]) -> None:
    try:
        watchers.append(peer())
    except Absent as reason:
        absent.append(f"{name}, because {reason}")


def _compare(lab: Lab, watchers: Sequence[Watcher]) -> list[Row]:
    origins = Origins(lab)
    _rehearse(lab, origins, watchers)
    rows = []
    for technique in (*TECHNIQUES, *EDGES):
        for watcher in watchers:
            watcher.renew()
        row = Row(technique, origins.fresh(technique.version), origins.decoys(technique.decoys))
        _scan(lab, technique, row.decoys)
        rows.append(row)
        print(technique.options + technique.remark, flush=True)
    # They read in order: a sensor that has named a later scanner has reported all before.
    _rehearse(lab, origins, watchers)
    return rows


def _rehearse(lab: Lab, origins: Origins, watchers: Sequence[Watcher]) -> None:
    """Scan until all have noticed: from then on, silence is an answer."""
    scanner = origins.fresh(PLAIN.version)
    for watcher in watchers:
        watcher.renew()
    for _ in range(6):
        _scan(lab, PLAIN, ())
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not _silent(watchers, scanner), "all sensors", seconds=_AGAIN_SECONDS)
            return
    found = "\n".join(f"-- {one.name}\n{one.evidence()}" for one in _silent(watchers, scanner))
    raise AssertionError(f"these do not see a plain SYN scan\n{found}")


def _silent(watchers: Sequence[Watcher], scanner: str) -> list[Watcher]:
    return [one for one in watchers if cell(scanner, one.accusations()) == MISSED]


def _scan(lab: Lab, technique: Technique, decoys: Sequence[str]) -> None:
    target = (lab.target.ipv4 if technique.version == 4 else lab.target.ipv6)[0]
    done = lab.scanner.run(*technique.command(decoys, target), seconds=_SCAN_SECONDS)
    if done.returncode != 0:
        raise AssertionError(f"nmap {technique.options}: {done.stderr.strip()}")


def _versions(portsentry: Path | None) -> str:
    packages = ("scanlogd", "psad", "nmap")
    found = [ran("dpkg-query", "-W", "-f", "${Package} ${Version}", name).stdout or name for name in packages]
    if portsentry is not None:
        found.append(" ".join(ran(portsentry, "--version").stdout.lower().split()[:2]))
    return f"Versions of the peers: {', '.join(found)}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
