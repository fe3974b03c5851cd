"""The systemd unit of the sensor on this host: whether there is one, and as whom it runs."""

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "portsentry-py"
# systemd.unit(5): of two files with the same name, the one in the first folder counts.
_PLACES = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_USER = re.compile(r"^\s*User\s*=\s*(\S*)\s*$", re.MULTILINE)


def service_user(root: Path = Path("/")) -> str | None:
    """The user of the unit; None without a unit. A unit without a user runs as root."""
    units = [unit for place in _PLACES if (unit := root / place / f"{NAME}.service").is_file()]
    if not units:
        return None
    drop_ins = sorted(path for place in _PLACES for path in root.glob(f"{place}/{NAME}.service.d/*.conf"))
    users = [user for path in (units[0], *drop_ins) for user in _USER.findall(_text(path))]
    return users[-1] or "root" if users else "root"


def start_command(root: Path = Path("/")) -> str:
    """What starts the sensor here."""
    return f"systemctl start {NAME}" if service_user(root) else f"{NAME} run"


@contextmanager
def acting_as(user: str | None) -> Iterator[bool]:
    """Access files as another user, for root; whether that was possible.

    The kernel takes effective ids for access to files, and takes root's capabilities away with them.
    """
    try:
        entry = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
    except KeyError:
        entry = None
    if entry is None or entry.pw_uid == 0:
        yield False
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield True
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
