"""What on a system keeps the jail [portsentry] from working as shipped, or makes it unsafe."""

import configparser
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from portsentry_py.config.settings import DEFAULT_LOG
from portsentry_py.errors import PortsentryError
from portsentry_py.fail2ban.client import NotInstalled, server_version
from portsentry_py.fail2ban.firewall import missing_programs
from portsentry_py.fail2ban.jail_config import JailConfig, jail_files
from portsentry_py.fail2ban.pack import ETC, FILTER, JAIL, LOG, MODES

_ACTION_ENDS = (".conf", ".local", ".py")
_LOG_TAIL_BYTES = 1 << 20
_C_DAEMONS = ("usr/sbin/portsentry", "usr/local/sbin/portsentry")
# The filter needs <ADDR>, which came with this version.
_OLDEST_FAIL2BAN = (0, 11)
_VERSION_FILES = "usr/{}lib/python3*/*-packages/fail2ban/version.py"
_SERVERS = ("usr/bin/fail2ban-server", "usr/local/bin/fail2ban-server")


def conflicts(root: Path, ssh_connection: str = "") -> list[str]:
    """One sentence for each conflict on the system whose tree begins at `root`.

    `ssh_connection` is SSH_CONNECTION of the operator's shell; empty without SSH.
    """
    etc = root / ETC
    jails = JailConfig(etc)
    return [
        *_fail2ban_itself(root),
        *_overrides(etc),
        *faults(root),
        *_operator(etc, jails, ssh_connection),
        *_jail_sections(etc),
        *_c_daemons(root),
    ]


def faults(root: Path) -> list[str]:
    """Those of the conflicts with which nobody is banned, or fail2ban lists bans that no rule carries out."""
    jails = JailConfig(root / ETC)
    return [*_logs(root, jails), *_backends(jails), *_banactions(root, jails), *_failed_bans(root)]


def taken(root: Path) -> list[str]:
    """Those of the conflicts in which the name of our jail is another program's: our keys would change that jail."""
    found = []
    for path in _others(root / ETC):
        with suppress(configparser.Error, OSError):
            found += [f"{path} {complaint}" for complaint in _other_filter(_section(path))]
    return found


def _fail2ban_itself(root: Path) -> Iterator[str]:
    try:
        version = server_version() if root == Path("/") else _version_below(root)
    except PortsentryError as error:
        yield str(error)
        return
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < _OLDEST_FAIL2BAN:
        yield f"fail2ban {version} is too old for the filter; install 0.11 or newer."


def _version_below(root: Path) -> str:
    """The version in a tree that can belong to another system, whose programs do not run here."""
    files = [file for place in ("", "local/") for file in root.glob(_VERSION_FILES.format(place))]
    if not files and not any((root / server).exists() for server in _SERVERS):
        raise NotInstalled(root=root)
    texts = (file.read_text("utf-8", "replace") for file in files)
    found = (re.search(r"^version\s*=\s*[\"'](\d[\w.]*)", text, re.MULTILINE) for text in texts)
    return next((version[1] for version in found if version), "")


def _overrides(etc: Path) -> Iterator[str]:
    """Files that change our filter or actions. To override a jail, in contrast, is the intended way."""
    for folder in ("filter.d", "action.d"):
        for path in sorted((etc / folder).glob(f"{FILTER}*.local")):
            shipped = path.with_suffix(".conf").name
            yield f"{path} overrides our {shipped}, which is tested only as shipped; remove it, or test it."


def _logs(root: Path, jails: JailConfig) -> Iterator[str]:
    """Missing logs: without one of them fail2ban does not start, and all of its jails are down."""
    logs = [log for jail in jails.ours() for log in jails.value(jail, "logpath").split() if log[0] == "/"]
    for log in dict.fromkeys(logs):
        path = root / log[1:]
        if not re.search(r"[*?[]", log) and not path.exists():
            yield f"{path} does not exist, and fail2ban before 1.1.1 starts no jail without it; `touch` it."


def _backends(jails: JailConfig) -> Iterator[str]:
    """The operator's own jails that inherit a backend for the journal from [DEFAULT]."""
    for jail in jails.ours():
        backend = jails.value(jail, "backend").strip()
        if backend.startswith("systemd"):
            yield f"the backend of [{jail}] is {backend}, which never reads our log; set it to auto."


def _banactions(root: Path, jails: JailConfig) -> Iterator[str]:
    """Enabled jails of ours whose bans have no effect."""
    for jail in jails.ours():
        for action in re.findall(r"^\s*([\w.-]+)", jails.value(jail, "banaction"), re.MULTILINE):
            yield from _banaction(root, jail, action)


def _banaction(root: Path, jail: str, action: str) -> Iterator[str]:
    folder = root / ETC / "action.d"
    if not any((folder / f"{action}{end}").exists() for end in _ACTION_ENDS):
        yield (
            f"the banaction of [{jail}] is {action}, and there is no {folder}/{action}.conf; "
            "correct it, or nothing is banned."
        )
        return
    for program in missing_programs(root, action):
        yield (
            f"the banaction of [{jail}] is {action}, which needs `{program}`, and that is not installed "
            f"below {root}; install it or choose another, or nothing is banned."
        )


def _failed_bans(root: Path) -> Iterator[str]:
    """Bans that failed since fail2ban started: it lists them, but there is no rule."""
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
            f"fail2ban could not carry out {count} bans of [{jail}] by {action} since it started ({log}); "
            "correct its banaction, then run `portsentry-py fail2ban test`."
        )


def _operator(etc: Path, jails: JailConfig, ssh_connection: str) -> Iterator[str]:
    """The operator's own address, if an innocent mistake can have it banned."""
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
            f"you are logged in from {address}, which is not in ignoreip and could be banned; "
            f"add it to ignoreip below [DEFAULT] in {etc}/jail.local."
        )


def _jail_sections(etc: Path) -> Iterator[str]:
    for path in _others(etc):
        yield from (f"{path} {complaint}" for complaint in _complaints(path))


def _others(etc: Path) -> list[Path]:
    return [path for path in jail_files(etc) if path != etc / f"jail.d/{FILTER}.conf"]


def _section(path: Path) -> dict[str, str]:
    """A file's own [portsentry]: its keys override ours, or are lost if the file is read before ours."""
    # No default section: [DEFAULT] does not reach the keys that our own section sets.
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="")
    parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    section = parser[JAIL].items() if JAIL in parser else ()
    return {key: value or "" for key, value in section if "%(known/" not in (value or "")}


def _other_filter(settings: dict[str, str]) -> Iterator[str]:
    """Portsentry 2.x, say, calls its jail as we call ours."""
    jail_filter = settings.get("filter", FILTER).strip()
    if not re.match(rf"{FILTER}(?:\[|\s|$)", jail_filter):
        yield f"gives [{JAIL}] another filter ({jail_filter}); give that jail another name."


def _complaints(path: Path) -> Iterator[str]:
    try:
        settings = _section(path)
    except (configparser.Error, OSError) as error:
        yield f"cannot be read ({str(error).splitlines()[0]}); correct it, then run `fail2ban-client -t`."
        return
    yield from _other_filter(settings)
    if DEFAULT_LOG not in settings.get("logpath", DEFAULT_LOG).split():
        yield f"gives [{JAIL}] a logpath without {DEFAULT_LOG}; remove it, unless the sensor writes there."
    mode = settings.get("mode", "normal").strip()
    if mode.lower() not in MODES:
        yield f"sets mode = {mode} in [{JAIL}], which bans nobody; use one of {', '.join(MODES)}."


def _c_daemons(root: Path) -> Iterator[str]:
    for daemon in _C_DAEMONS:
        if (root / daemon).exists():
            yield f"{root / daemon} is another portsentry, which writes to the same {root / LOG}; remove it."
