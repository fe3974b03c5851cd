"""Installs the Debian package into a copy of a Debian tree, boots it, scans it, upgrades it and purges it.

    python -m tests.lab.packages TREE PACKAGE [-o DIR]

TREE is what debootstrap made for the release of PACKAGE; it is copied, not changed. Writes the part of packages.md
about that release. Exits with 1 if a check fails. Needs root.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.boot import neighbours
from tests.lab.boot import tree as trees
from tests.lab.boot.checks import scan_until_banned
from tests.lab.boot.machine import SCANNERS, Machine, booted
from tests.lab.support import page, program
from tests.support.running import run
from tests.support.waiting import wait_for

CONFIGURATION = "etc/portsentry-py/portsentry.yaml"
_CHANGE = ("\nignore: []\n", "\nignore: [192.0.2.77]\n")
# What a running system writes by itself, and what belongs to no package.
_VOLATILE = ("/proc", "/sys", "/dev", "/run", "*/tmp", "/var/cache", "/var/lib/fail2ban", "/var/log/journal", "/root")
# Without the recommended program to ban with: the machine has nftables alone, which the package must find out.
_INSTALL = (
    "apt-get",
    "install",
    "-qq",
    "-y",
    "--no-install-recommends",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "Dpkg::Options::=--force-confdef",
)


@dataclass
class Lifecycle:
    """The tree, the package in it, and what the machine was like before the package."""

    tree: Path
    package: Path
    upgrade: Path
    files: set[str] = field(default_factory=set)
    accounts: str = ""
    jails: str = ""
    others: str = ""


Step = Callable[[Machine, Lifecycle], str]


def a_jail_of_the_same_name_is_left_alone(machine: Machine, life: Lifecycle) -> str:
    """The keys of our jail would change that of portsentry 2.x."""
    neighbours.ban(machine)
    life.others = neighbours.state(machine)
    before = _files(machine)
    with neighbours.same_name(machine):
        done = machine.run("dpkg", "-i", f"/{life.package.relative_to(life.tree)}")
    assert done.returncode, done.stdout
    assert _files(machine) == before
    return next(line for line in done.stderr.splitlines() if line.startswith("portsentry-py: "))


def it_is_installed(machine: Machine, life: Lifecycle) -> str:
    """One command, no question, and the service watches."""
    life.files, life.accounts, life.jails = _files(machine), _accounts(machine), _jails(machine)
    begun = time.monotonic()
    machine.told("env", "DEBIAN_FRONTEND=noninteractive", *_INSTALL, f"/{life.package.relative_to(life.tree)}")
    wait_for(
        lambda: machine.matching(event_type="status", state="started"), "the first line", evidence=machine.evidence
    )
    seconds = time.monotonic() - begun
    assert machine.show("ActiveState") == "active"
    assert "portsentry," in _jails(machine)
    return f"first line in the log after {seconds:.0f} s, {len(_files(machine) - life.files)} files"


def it_checks_itself(machine: Machine, _: Lifecycle) -> str:
    done = machine.run("portsentry-py", "check", "--live")
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert bool(warnings) == bool(done.returncode), done.stdout
    return f"check --live: exit code {done.returncode}, {len(warnings)} warnings"


def a_scan_is_banned(machine: Machine, _: Lifecycle) -> str:
    """From the packet to the kernel's firewall."""
    return _banned(machine, SCANNERS[0])


def an_upgrade_keeps_the_change(machine: Machine, life: Lifecycle) -> str:
    """The operator's configuration stays without a question, and the service is the new one."""
    configuration = life.tree / CONFIGURATION
    changed = configuration.read_text(encoding="utf-8").replace(*_CHANGE)
    assert _CHANGE[1] in changed
    configuration.write_text(changed, encoding="utf-8")
    before = machine.show("MainPID")
    machine.told("env", "DEBIAN_FRONTEND=noninteractive", *_INSTALL, f"/{life.upgrade.relative_to(life.tree)}")
    wait_for(lambda: machine.show("MainPID") not in {before, "0"}, "the new service", evidence=machine.evidence)
    assert configuration.read_text(encoding="utf-8") == changed
    assert SCANNERS[0] in machine.blocked(), machine.evidence()
    return "the change is kept, the ban too; " + _banned(machine, SCANNERS[1])


def a_reboot_keeps_the_bans(machine: Machine, _: Lifecycle) -> str:
    wait_for(lambda: machine.blocked() >= set(SCANNERS[:2]), "the bans", evidence=machine.evidence)
    return "both bans are in the kernel again; " + _banned(machine, SCANNERS[2])


def a_purge_leaves_nothing(machine: Machine, life: Lifecycle) -> str:
    """The lists of files, users, groups and jails are those of before."""
    machine.told("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "purge", "-qq", "-y", "portsentry-py")
    assert not machine.blocked() & set(SCANNERS)
    assert _jails(machine) == life.jails
    assert _accounts(machine) == life.accounts
    left, gone = _files(machine) - life.files, life.files - _files(machine)
    assert not left, sorted(left)
    assert not gone, sorted(gone)
    assert machine.run("systemctl", "cat", "portsentry-py").returncode != 0
    return f"{len(life.files)} files as before, users, groups and jails too; no ban is left"


BEFORE_THE_REBOOT: tuple[Step, ...] = (
    a_jail_of_the_same_name_is_left_alone,
    it_is_installed,
    it_checks_itself,
    a_scan_is_banned,
    an_upgrade_keeps_the_change,
)
AFTER_THE_REBOOT: tuple[Step, ...] = (a_reboot_keeps_the_bans, a_purge_leaves_nothing)


def main(words: Sequence[str]) -> int:
    parser = program.parser("packages", __doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("package", type=Path)
    arguments = program.begin(parser, words)
    program.need_root(parser)
    with _prepared(arguments.tree, arguments.package) as life, (life.tree.parent / "console").open("wb") as console:
        with booted(life.tree, console) as machine:
            release = machine.told("sh", "-c", '. /etc/os-release && echo "$PRETTY_NAME"').strip()
            rows = [_row(step, machine, life) for step in BEFORE_THE_REBOOT]
        with booted(life.tree, console) as machine:
            rows += [_row(step, machine, life) for step in AFTER_THE_REBOOT]
    text = f"{release}, `{arguments.package.name}`:\n\n| step | seen |\n|---|---|\n{''.join(rows)}"
    print(text)
    if arguments.output:
        page.put(arguments.output / "packages.md", arguments.package.name.split("~")[1].split("_")[0], text)
    return 1 if any("**" in row for row in rows) else 0


def _row(step: Step, machine: Machine, life: Lifecycle) -> str:
    try:
        seen = step(machine, life)
        assert neighbours.state(machine) == life.others, neighbours.state(machine)
    except AssertionError as error:
        seen = f"**{str(error).splitlines()[0] if str(error) else 'not so'}**"
        print(f"{step.__name__}: {error}", file=sys.stderr)
    return f"| {step.__name__.replace('_', ' ')} | {seen} |\n"


@contextmanager
def _prepared(source: Path, package: Path) -> Iterator[Lifecycle]:
    """A copy of the tree with fail2ban and what the package names, so that the package alone is new later."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-packages-", dir=source.resolve().parent) as folder:
        tree = Path(folder) / "tree"
        trees.furnish(source, tree)
        neighbours.furnish(tree)
        life = Lifecycle(tree, tree / "root" / package.name, tree / "root/upgrade.deb")
        shutil.copy(package, life.package)
        _newer(package, life.upgrade, Path(folder) / "unpacked")
        trees.inside(
            tree,
            f"apt-get satisfy -qq -y --no-install-recommends '{run('dpkg-deb', '-f', package, 'Depends').strip()}'",
        )
        yield life


def _newer(package: Path, upgrade: Path, folder: Path) -> None:
    """The same package with a higher version."""
    run("dpkg-deb", "-R", package, folder)
    control = folder / "DEBIAN/control"
    text = control.read_text(encoding="utf-8")
    control.write_text(text.replace("\nVersion: ", "\nVersion: 9:"), encoding="utf-8")
    run("dpkg-deb", "--root-owner-group", "-b", folder, upgrade)


def _banned(machine: Machine, source: str) -> str:
    begun = time.monotonic()
    scan_until_banned(machine, source)
    wait_for(lambda: source in machine.blocked(), "the firewall's rule", evidence=machine.evidence)
    return f"a scan is banned after {time.monotonic() - begun:.1f} s"


def _files(machine: Machine) -> set[str]:
    prune = [word for path in _VOLATILE for word in ("-path", path, "-o")][:-1]
    return set(machine.told("find", "/", "-xdev", "(", *prune, ")", "-prune", "-o", "-print").splitlines())


def _accounts(machine: Machine) -> str:
    return machine.told("sh", "-c", "getent passwd | sort; getent group | sort")


def _jails(machine: Machine) -> str:
    return machine.told("fail2ban-client", "status")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
