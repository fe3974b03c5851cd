"""What on a system keeps the jail [portsentry] from working as shipped."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from portsentry_py.pack_samples import FILTER, MODES

LOG = "var/log/portsentry.log"
C_DAEMONS = ("usr/sbin/portsentry", "usr/local/sbin/portsentry")


def conflicts(root: Path) -> list[str]:
    """Says, one sentence each, what on this system keeps our jail from working as shipped."""
    etc = root / "etc/fail2ban"
    found = []
    classic = etc / "jail.d/portsentry.local"
    if classic.exists():
        found.append(f"{classic} belongs to portsentry 2.x and overrides our jail [portsentry]: remove it.")
    for path in jail_files(etc):
        if path not in (classic, etc / f"jail.d/{FILTER}.conf"):
            found.extend(f"{path} {complaint}" for complaint in _complaints(path))
    found.extend(
        f"{root / daemon} is another portsentry, which since 2.0 writes to the same {root / LOG}: remove it."
        for daemon in C_DAEMONS
        if (root / daemon).exists()
    )
    return found


def _complaints(path: Path) -> Iterator[str]:
    """Looks at a [portsentry] section: its keys override ours, or are lost if the file is read before."""
    # No default section: [DEFAULT] does not reach the keys that our own section sets.
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (configparser.Error, OSError) as error:
        yield f"cannot be read ({str(error).splitlines()[0]}): correct it, then run `fail2ban-client -t`."
        return
    section = (
        {key: value or "" for key, value in parser["portsentry"].items()} if "portsentry" in parser else {}
    )
    settings = {key: value for key, value in section.items() if "%(known/" not in value}
    jail_filter = settings.get("filter", FILTER)
    if not re.match(rf"{FILTER}(?:\[|\s|$)", jail_filter):
        yield f"gives [portsentry] another filter ({jail_filter}): give that jail another name."
    if f"/{LOG}" not in settings.get("logpath", f"/{LOG}").split():
        yield f"gives [portsentry] a logpath without /{LOG}: remove it, unless the sensor writes there."
    if settings.get("backend", "").strip().startswith("systemd"):
        yield "sets backend = systemd in [portsentry], which never reads our log: remove it."
    mode = settings.get("mode", "normal").strip()
    if mode.lower() not in MODES:
        yield f"sets mode = {mode} in [portsentry], which bans nobody: use one of {', '.join(MODES)}."


def jail_files(etc: Path) -> list[Path]:
    """The operator's jail files; jail.conf is fail2ban's own, and is always overridden by ours."""
    files = [etc / "jail.local", *etc.glob("jail.d/*.conf"), *etc.glob("jail.d/*.local")]
    return sorted(path for path in files if path.is_file())
