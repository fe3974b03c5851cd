"""What on a system keeps the jail [portsentry] from working as shipped."""

import configparser
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from portsentry_py.fail2ban.jail_config import Jails, jail_files
from portsentry_py.fail2ban.pack import FILTER, JAIL, MODES

LOG = "var/log/portsentry.log"
_ACTION_ENDS = (".conf", ".local", ".py")
# What the stock actions of these names run.
_PROGRAMS = {
    "nft": "nft",
    "iptables": "iptables",
    "ipset": "ipset",
    "firewallcmd": "firewall-cmd",
    "ufw": "ufw",
}
_PROGRAM_PLACES = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin", "usr/local/bin")
_LOG_TAIL_BYTES = 1 << 20
C_DAEMONS = ("usr/sbin/portsentry", "usr/local/sbin/portsentry")
# The first with <ADDR>, which the filter needs.
OLDEST_FAIL2BAN = (0, 11)
VERSION_FILES = ("usr/lib/python3*/*-packages", "usr/local/lib/python3*/*-packages")
SERVERS = ("usr/bin/fail2ban-server", "usr/local/bin/fail2ban-server")


def conflicts(root: Path, ssh_connection: str = "") -> list[str]:
    """Says, one sentence each, what on this system keeps our jail from working as shipped, or safely.

    Args:
        root: `/`, or the top of another system's tree.
        ssh_connection: what SSH_CONNECTION holds where the operator types, if they came over SSH.
    """
    etc = root / "etc/fail2ban"
    jails = Jails(etc)
    found = [
        *_fail2ban_itself(root),
        *_overrides(etc),
        *_logs(root, jails),
        *_backends(jails),
        *_banactions(root, jails),
        *_failed_bans(root),
        *_operator(etc, jails, ssh_connection),
    ]
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


def _fail2ban_itself(root: Path) -> Iterator[str]:
    """Looks for the package, without running anything: another system's tree may be no match for this one."""
    files = [file for place in VERSION_FILES for file in root.glob(f"{place}/fail2ban/version.py")]
    for file in files:
        version = re.search(
            r"^version\s*=\s*[\"'](\d+)\.(\d+)([\w.]*)", file.read_text("utf-8", "replace"), re.MULTILINE
        )
        if version and (int(version[1]), int(version[2])) < OLDEST_FAIL2BAN:
            number = f"{version[1]}.{version[2]}{version[3]}"
            yield f"fail2ban {number} is too old for the filter ({file}): install 0.11 or newer."
    servers = any((root / server).exists() for server in SERVERS)
    if root == Path("/"):
        servers = servers or shutil.which("fail2ban-server") is not None
    if not files and not servers:
        yield f"fail2ban is not installed below {root}: run `apt-get install fail2ban`."


def _overrides(etc: Path) -> Iterator[str]:
    """Looks for files that change what our filter and our actions do; in jails, that is the way to do it."""
    for folder in ("filter.d", "action.d"):
        for path in sorted((etc / folder).glob(f"{FILTER}*.local")):
            shipped = path.with_suffix(".conf").name
            yield f"{path} overrides our {shipped}, which is tested only as shipped: remove it, or test it."


def _logs(root: Path, jails: Jails) -> Iterator[str]:
    """Looks for logs whose absence keeps fail2ban, with all its jails, from starting."""
    logs = [log for jail in jails.ours() for log in jails.value(jail, "logpath").split() if log[0] == "/"]
    for log in dict.fromkeys(logs):
        if not re.search(r"[*?[]", log) and not (root / log[1:]).exists():
            yield (
                f"{root / log[1:]} does not exist, and fail2ban before 1.1.1 starts no jail without it: "
                "`touch` it."
            )


def _backends(jails: Jails) -> Iterator[str]:
    """Looks for jails of the operator's own that trust a [DEFAULT] which reads the journal."""
    for jail in jails.ours():
        backend = jails.value(jail, "backend").strip()
        if backend.startswith("systemd"):
            yield f"the backend of [{jail}] is {backend}, which never reads our log: set it to auto."


def _banactions(root: Path, jails: Jails) -> Iterator[str]:
    """Looks for enabled jails of ours whose bans would go nowhere."""
    etc = root / "etc/fail2ban"
    for jail in jails.ours():
        for line in jails.value(jail, "banaction").splitlines():
            action = re.match(r"[\w.-]+", line.strip())
            if action is None:
                continue
            if not any((etc / f"action.d/{action[0]}{end}").exists() for end in _ACTION_ENDS):
                yield (
                    f"the banaction of [{jail}] is {action[0]}, and there is no "
                    f"{etc}/action.d/{action[0]}.conf: correct it, or nothing is banned."
                )
                continue
            for program in (program for start, program in _PROGRAMS.items() if start in action[0]):
                if not any((root / place / program).exists() for place in _PROGRAM_PLACES):
                    yield (
                        f"the banaction of [{jail}] is {action[0]}, which needs `{program}`, and it is not "
                        f"installed below {root}: install it or choose another, or nothing is banned."
                    )


def _failed_bans(root: Path) -> Iterator[str]:
    """Looks in fail2ban's log for bans since its start that it lists and that have no rule."""
    log = root / "var/log/fail2ban.log"
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return
    since = text[max(0, text.rfind("Starting Fail2ban")) :]
    failed = re.findall(rf"ERROR\s+Failed to execute ban jail '({JAIL}[\w-]*)' action '([\w-]+)'", since)
    for (jail, action), count in Counter(failed).items():
        yield (
            f"fail2ban could not carry out {count} bans of [{jail}] by {action} since it started ({log}): "
            "correct its banaction, then run `portsentry-py fail2ban test`."
        )


def _operator(etc: Path, jails: Jails, ssh_connection: str) -> Iterator[str]:
    """Says whether who types this could be banned by an innocent mistake."""
    words = ssh_connection.split()
    if not words:
        return
    with suppress(ValueError):
        address = ip_address(words[0].partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        for text in re.split(r"[\s,]+", jails.value(JAIL, "ignoreip")):
            with suppress(ValueError):
                if address in ip_network(text, strict=False):
                    return
        yield (
            f"you are logged in from {address}, which is not in ignoreip and could be banned: "
            f"add it to ignoreip below [DEFAULT] in {etc}/jail.local."
        )


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
    mode = settings.get("mode", "normal").strip()
    if mode.lower() not in MODES:
        yield f"sets mode = {mode} in [portsentry], which bans nobody: use one of {', '.join(MODES)}."
