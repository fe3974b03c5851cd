"""The service on a booted machine from the installation to the removal: afterwards all is as before."""

import difflib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from tests.lab.boot import fleet, neighbours
from tests.lab.boot import tree as trees
from tests.lab.boot.machine import SCANNERS, Machine, booted
from tests.support.waiting import wait_for

PROGRAM = "/opt/portsentry-py/bin/portsentry-py"
CONFIG = "etc/portsentry-py/portsentry.yaml"
_ROTATION = "etc/logrotate.d/portsentry-py"
_BROKEN = "etc/fail2ban/jail.d/zz-broken.local"
# Every path but what others change meanwhile; the content of /etc; accounts, units and jails.
_INVENTORY = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/tmp \
    -o -path /var/log/journal -o -path /var/cache -o -path /var/lib/systemd -o -path /var/lib/fail2ban \
    -o -path /opt/portsentry-py -o -path /usr/local/src -o -name __pycache__ \) -prune -o -print
find /etc -xdev -type f ! -name '*-' -exec sha256sum {} +
cat /etc/passwd /etc/group
systemctl list-unit-files --no-legend --no-pager
fail2ban-client status
fail2ban-client -t
"""


@dataclass
class Life:
    """What was there before the service came, and how long its program took to come.

    Attributes:
        before: files, accounts and units.
        jails: the jails of others.
        alone: what is there before the fleet.
        making: seconds for the environment of the program.
    """

    before: str = ""
    jails: str = ""
    alone: str = ""
    making: float = 0.0


Step = Callable[[Machine, Life], str]


def live(tree: Path, console: IO[bytes]) -> Iterator[tuple[str, str]]:
    """The steps and what each of them saw; `tree` has neither the program nor the service. The jails of others stay.

    Raises:
        AssertionError: a step went wrong.
    """
    begun = time.monotonic()
    trees.obey(tree, *trees.steps()[:-1])
    life = Life(making=time.monotonic() - begun)
    for prepare, steps in ((neighbours.furnish, _FIRST_BOOT), (_change, _SECOND_BOOT)):
        prepare(tree)
        with booted(tree, console) as machine:
            for step in steps:
                yield step.__name__.strip("_").replace("_", " "), step(machine, life)
                assert neighbours.state(machine) == life.jails, neighbours.state(machine)
    yield "the jails of others", f"{', '.join(neighbours.NAMES)} kept settings and bans at each step"


def _change(tree: Path) -> None:
    """A newer version, and a configuration that the operator edited."""
    trees.obey(
        tree,
        "sed -i 's/rotate 14/rotate 15/' config/portsentry-py.logrotate",
        f"/opt/portsentry-py/bin/pip install --quiet --no-cache-dir {fleet.PACKAGES}",
    )
    config = tree / CONFIG
    config.write_text(config.read_text() + "# by the operator\n")


def _a_failed_install_changes_nothing(machine: Machine, life: Life) -> str:
    """The last proof fails: the operator's ban action makes no rule."""
    neighbours.ban(machine)
    life.before, life.jails = _inventory(machine), neighbours.state(machine)
    with _broken_ban_action(machine):
        done = machine.run(PROGRAM, "install")
        assert done.returncode == 69, done.stdout + done.stderr
    assert "the kernel has no rule about it" in done.stderr, done.stderr
    _same(life.before, machine)
    return "a ban action without effect: exit code 69, nothing has changed"


def _an_install_that_takes_the_name_of_a_jail_is_refused(machine: Machine, life: Life) -> str:
    """Portsentry 2.x calls its jail as ours is called."""
    with neighbours.same_name(machine):
        done = machine.run(PROGRAM, "install")
    assert done.returncode == 69, done.stdout + done.stderr
    assert "give that jail another name" in done.stderr, done.stderr
    _same(life.before, machine)
    return f"`{done.stderr.strip()}`"


def _one_command_installs(machine: Machine, life: Life) -> str:
    begun = time.time()
    done = machine.run(PROGRAM, "install")
    seconds = time.time() - begun
    assert done.returncode == 0, done.stdout + done.stderr + machine.evidence()
    lines = done.stdout.splitlines()[-5:]
    heads = ["runs", "bans", "log", "let somebody back in", "see it work"]
    assert [line.partition(":")[0] for line in lines] == heads, done.stdout
    started = (_seconds(line["timestamp"]) for line in machine.matching(event_type="status", state="started"))
    first = min(moment for moment in started if moment > begun) - begun
    jails = machine.told("fail2ban-client", "status")
    assert all(name in jails for name in ("portsentry", "recidive", "sshd")), jails
    return (
        f"first line in the log after {first:.0f} s, {life.making:.0f} s more for the environment with pip; "
        f"{seconds:.0f} s with its proofs; {lines[1]}"
    )


def _the_drill_that_the_install_offers_is_green(machine: Machine, _: Life) -> str:
    networks = machine.told("sh", "-c", "ip -o link; ip -4 route; ip -6 route")
    done = machine.run(PROGRAM, "drill", "--quick", "--json")
    assert done.returncode == 0, done.stdout + done.stderr + machine.evidence()
    found = json.loads(done.stdout)
    assert (found["hints"], found["left_behind"]) == ([], [])
    assert machine.told("sh", "-c", "ip -o link; ip -4 route; ip -6 route") == networks
    assert machine.run("test", "-e", "/run/portsentry-py.drill").returncode == 1
    blocked = machine.blocked()
    assert not [row["source"] for row in found["techniques"] if row["source"] in blocked]
    names = ", ".join(row["technique"] for row in found["techniques"])
    slowest = max(row["ban_seconds"] for row in found["techniques"])
    return f"{names}: seen, banned after {slowest:.1f} s at most, blocked, unbanned and let in; nothing is left"


def _a_scan_is_banned(machine: Machine, _: Life) -> str:
    machine.scan(SCANNERS[0])
    begun = time.monotonic()
    _wait_until_banned(machine)
    return f"in fail2ban's list and in the kernel {time.monotonic() - begun:.1f} s after the scan"


def _it_is_banned_after_the_reboot(machine: Machine, _: Life) -> str:
    assert machine.show("ActiveState") == "active", machine.evidence()
    _wait_until_banned(machine)
    return "the service runs, fail2ban and the kernel hold the ban"


def _an_upgrade_keeps_what_the_operator_changed(machine: Machine, _: Life) -> str:
    done = machine.run("portsentry-py", "install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"kept: /{CONFIG} (changed by the operator)" in done.stdout
    assert "# by the operator" in (machine.tree / CONFIG).read_text()
    assert "rotate 15" in (machine.tree / _ROTATION).read_text()
    _wait_until_banned(machine)
    return "the new rotation is there, the changed configuration too, and the ban lasts"


def _a_configured_fleet_is_installed(machine: Machine, life: Life) -> str:
    life.alone = _inventory(machine)
    fleet.make(machine)
    fleet.configure(machine.tree / CONFIG, on=True)
    done = machine.run("portsentry-py", "install")
    assert done.returncode == 0, done.stdout + done.stderr + machine.evidence()
    return fleet.look(machine)


def _what_another_host_bans_and_lifts_is_banned_and_let_in(machine: Machine, _: Life) -> str:
    banned, lifted = (does(machine, fleet.SOURCES[0]) for does in (fleet.ban, fleet.lift))
    return f"the kernel has the rule {banned:.1f} s after the other host's line, and lost it after {lifted:.1f} s"


def _a_fleet_that_is_configured_no_more_leaves_its_log_alone(machine: Machine, life: Life) -> str:
    fleet.ban(machine, fleet.SOURCES[1])
    fleet.configure(machine.tree / CONFIG, on=False)
    done = machine.run("portsentry-py", "install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not machine.blocked() & set(fleet.SOURCES)
    for unit in fleet.UNITS:
        assert machine.run("systemctl", "cat", unit).returncode
    fleet.unmake(machine)
    before, after = (set(text.splitlines()) for text in (life.alone, _inventory(machine)))
    assert after ^ before == {f"/{fleet.LOG}"}, after ^ before
    return "no unit, no state, no jail, no rule in the kernel: the inventory of before, and the log"


def _a_removal_leaves_nothing(machine: Machine, life: Life) -> str:
    done = machine.run(PROGRAM, "uninstall", "--purge")
    assert done.returncode == 0, done.stdout + done.stderr
    assert SCANNERS[0] not in machine.blocked()
    _same(life.before, machine)
    return f"{len(life.before.splitlines())} lines of files, accounts, units and jails are those of before"


_FIRST_BOOT: tuple[Step, ...] = (
    _a_failed_install_changes_nothing,
    _an_install_that_takes_the_name_of_a_jail_is_refused,
    _one_command_installs,
    _the_drill_that_the_install_offers_is_green,
    _a_scan_is_banned,
)
_SECOND_BOOT: tuple[Step, ...] = (
    _it_is_banned_after_the_reboot,
    _an_upgrade_keeps_what_the_operator_changed,
    _a_configured_fleet_is_installed,
    _what_another_host_bans_and_lifts_is_banned_and_let_in,
    _a_fleet_that_is_configured_no_more_leaves_its_log_alone,
    _a_removal_leaves_nothing,
)


def _seconds(timestamp: object) -> float:
    return datetime.fromisoformat(str(timestamp)).timestamp()


def _inventory(machine: Machine) -> str:
    return machine.told("sh", "-c", _INVENTORY)


def _same(before: str, machine: Machine) -> None:
    after = _inventory(machine)
    changes = difflib.unified_diff(sorted(before.splitlines()), sorted(after.splitlines()), "before", "after", n=0)
    assert sorted(before.splitlines()) == sorted(after.splitlines()), "\n".join(changes)


@contextmanager
def _broken_ban_action(machine: Machine) -> Iterator[None]:
    path = machine.tree / _BROKEN
    path.write_text("[portsentry]\nbanaction = dummy\n")
    try:
        yield
    finally:
        path.unlink()


def _wait_until_banned(machine: Machine) -> None:
    source = SCANNERS[0]
    wait_for(lambda: source in machine.banned(), f"{source} to be banned", evidence=machine.evidence)
    wait_for(lambda: source in machine.blocked(), "the rule", evidence=machine.evidence)
