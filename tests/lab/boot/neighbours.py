"""The jails of others beside ours: sshd, recidive, and that of portsentry 2.x, which reads and writes the same log."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from tests.lab.boot.machine import LOG, Machine
from tests.support.waiting import wait_for

NAMES = ("sshd", "recidive", "portsentry2")
_ADDRESSES = ("192.0.2.10", "192.0.2.11", "192.0.2.12")
_SETTINGS = ("logpath", "journalmatch", "failregex", "ignoreregex", "maxretry", "findtime", "bantime", "actions")
# Of the shape that portsentry 2.x ships, with its name changed as docs/moving.md says, and an action for nftables.
_FILES = {
    "filter.d/portsentry.conf": r"""[Definition]
failregex = ^\S* Scan from: \[<HOST>\]
""",
    "jail.d/portsentry.local": f"""[portsentry2]
enabled  = true
filter   = portsentry
logpath  = /{LOG}
backend  = auto
maxretry = 0
findtime = 10m
bantime  = 31536000
action   = nftables[type=allports, name=portsentry2, blocktype=drop]
""",
}
_LINE = (
    "{time} Scan from: [{address}] ({address}) protocol: [TCP] port: [23] type: [TCP SYN/Normal scan] "
    "IP opts: [not set] ignored: [false] triggered: [true] noblock: [true] blocked: [false]\n"
)


def furnish(tree: Path) -> None:
    """Write the jail of portsentry 2.x, its filter and the log into the tree."""
    for name, text in _FILES.items():
        (tree / "etc/fail2ban" / name).write_text(text, encoding="utf-8")
    (tree / LOG).touch()


def ban(machine: Machine) -> None:
    """Let each of the jails ban an address, that of portsentry 2.x for a line in the log."""
    for jail, address in zip(NAMES, _ADDRESSES, strict=True):
        if jail != NAMES[-1]:
            machine.told("fail2ban-client", "set", jail, "banip", address)
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    with (machine.tree / LOG).open("a", encoding="utf-8") as log:
        log.write(_LINE.format(time=time, address=_ADDRESSES[-1]))
    # Its ignoreself looks up names first, and no name server answers.
    wait_for(
        lambda: _ADDRESSES[-1] in machine.blocked(),
        "the rule of portsentry 2.x",
        seconds=120,
        evidence=lambda: machine.told("tail", "-n", "20", "/var/log/fail2ban.log"),
    )


def state(machine: Machine) -> str:
    """The settings of the jails and whom they ban; `fail2ban-client -t` accepts the whole.

    Raises:
        AssertionError: a jail is missing, or has lost its ban.
    """
    machine.told("fail2ban-client", "-t")
    assert _ADDRESSES[-1] in machine.blocked(), "the kernel has lost the ban of portsentry 2.x"
    return "".join(_jail(machine, jail, address) for jail, address in zip(NAMES, _ADDRESSES, strict=True))


@contextmanager
def same_name(machine: Machine) -> Iterator[None]:
    """The jail has the name that portsentry 2.x gives it, until fail2ban would read it."""
    path = machine.tree / "etc/fail2ban/jail.d/portsentry.local"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f"[{NAMES[-1]}]", "[portsentry]"), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def _jail(machine: Machine, jail: str, address: str) -> str:
    banned = machine.told("fail2ban-client", "get", jail, "banip").split()
    assert address in banned, f"{jail} has lost its ban of {address}"
    answers = (machine.told("fail2ban-client", "get", jail, setting) for setting in _SETTINGS)
    return f"{jail} bans {banned}\n" + "".join(re.sub(r"\s+", " ", answer) + "\n" for answer in answers)
