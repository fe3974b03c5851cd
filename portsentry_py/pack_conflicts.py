"""What on a system keeps the jail [portsentry] from working as shipped."""

import configparser
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from portsentry_py.pack_samples import FILTER, MODES

LOG = "var/log/portsentry.log"
JAIL = "portsentry"
_TRUE = {"1", "true", "yes", "on"}
_ACTION_ENDS = (".conf", ".local", ".py")
_MAX_DEPTH = 5
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
    found = [*_fail2ban_itself(root), *_overrides(etc), *_banactions(etc), *_operator(etc, ssh_connection)]
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


def _banactions(etc: Path) -> Iterator[str]:
    """Looks for enabled jails of ours whose bans would go nowhere."""
    settings = _merged(etc)
    for jail in settings:
        section = settings[jail]
        if jail.split("-")[0] != JAIL or section.get("enabled", "").strip().lower() not in _TRUE:
            continue
        for line in _resolved(settings, jail, "banaction").splitlines():
            action = re.match(r"[\w.-]+", line.strip())
            if action and not any((etc / f"action.d/{action[0]}{end}").exists() for end in _ACTION_ENDS):
                yield (
                    f"the banaction of [{jail}] is {action[0]}, and there is no "
                    f"{etc}/action.d/{action[0]}.conf: correct it, or nothing is banned."
                )


def _operator(etc: Path, ssh_connection: str) -> Iterator[str]:
    """Says whether who types this could be banned by an innocent mistake."""
    words = ssh_connection.split()
    if not words:
        return
    with suppress(ValueError):
        address = ip_address(words[0].partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        for text in re.split(r"[\s,]+", _resolved(_merged(etc), JAIL, "ignoreip")):
            with suppress(ValueError):
                if address in ip_network(text, strict=False):
                    return
        yield (
            f"you are logged in from {address}, which is not in ignoreip and could be banned: "
            f"add it to ignoreip below [DEFAULT] in {etc}/jail.local."
        )


def _merged(etc: Path) -> configparser.RawConfigParser:
    """Reads all jail files in fail2ban's order; one that cannot be read has a sentence of its own."""
    merged = configparser.RawConfigParser(strict=False, allow_no_value=True)
    ordered = [
        etc / "jail.conf",
        *sorted(etc.glob("jail.d/*.conf")),
        etc / "jail.local",
        *sorted(etc.glob("jail.d/*.local")),
    ]
    for path in ordered:
        with suppress(configparser.Error, OSError):
            merged.read_string(path.read_text("utf-8", "replace"))
    return merged


def _resolved(settings: configparser.RawConfigParser, jail: str, key: str) -> str:
    """Gives a value with the references in it replaced, as far as they are plain ones."""
    if jail not in settings:
        return settings.defaults().get(key) or ""
    value = settings[jail].get(key) or ""
    for _depth in range(_MAX_DEPTH):
        value = re.sub(r"%\((\w+)\)s", lambda found: settings[jail].get(found[1]) or "", value)
    return value


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
