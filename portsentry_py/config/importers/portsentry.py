"""portsentry.conf of portsentry 1.2 and 2.x, and Debian's /etc/default/portsentry."""

import re
from collections.abc import Sequence
from pathlib import Path

from portsentry_py.config.importers.imported import Imported, Note
from portsentry_py.config.importers.option import Options, notes_about, options_of
from portsentry_py.config.importers.ports import as_yaml, port_list, port_range
from portsentry_py.config.importers.portsentry_jail import jail_options
from portsentry_py.config.importers.source import Source
from portsentry_py.config.values import quoted

LINE = re.compile(r'([A-Z_]+)\s*=\s*"([^"]*)".*')

_NO_EQUIVALENT = {
    "HISTORY_FILE": "the sensor's own log takes its place (log)",
    "BLOCKED_FILE": "fail2ban keeps its bans in a database, over restarts too",
    "RESOLVE_HOST": "the sensor asks no name server about a source",
}
_ADVANCED = (
    "portsentry reads it in advanced mode alone; if yours ran in it, give /etc/default/portsentry to the import too"
)
_BANNER = "visitors get it only with traps.listen: true"
_CONNECT = "portsentry opened its ports; the sensor does so with traps.listen: true, and sees them closed as well"
_IGNORE_FILE = "the import reads no file by itself; name this one too"
_TRIGGER = "a source is banned at its second touch of a trap, or by the sensor's own rules"
_UNKNOWN = "portsentry has no such option"


def read(sources: Sequence[Source], ignore_files: Sequence[Path]) -> Imported:
    """The traps, the profile and the jail.

    Args:
        sources: every file of this format.
        ignore_files: the address lists that are imported with them.

    Raises:
        InputError: a line is wrong.
    """
    options = options_of(sources, LINE, 'NAME="VALUE"')
    settings, used = _settings(options)
    jail, notes = jail_options(options)
    notes += _differences(options, used, {path.name for path in ignore_files})
    return Imported(settings, jail, tuple(notes))


def _settings(options: Options) -> tuple[dict[str, object], set[str]]:
    """The settings, and the names of the options that they came from."""
    trigger = _trigger(options)
    settings: dict[str, object] = {"traps.ban_on": "second"} if trigger else {"profile": "portsentry"}
    used: set[str] = set()
    for proto in ("TCP", "UDP"):
        names, ports = _ports(options, proto)
        used.update(names)
        settings[f"traps.{proto.lower()}"] = as_yaml(ports)
    if "PORT_BANNER" in options:
        settings["traps.banner"] = options["PORT_BANNER"].text
    return settings, used


def _trigger(options: Options) -> int:
    option = options.get("SCAN_TRIGGER")
    if option is None:
        return 0
    if not re.fullmatch("[0-9]{1,5}", option.text, re.ASCII):
        raise option.source.wrong(option.line, f"{quoted(option.text)} is not a number of touches", "write a number")
    return int(option.text)


def _ports(options: Options, proto: str) -> tuple[set[str], set[int]]:
    """The ports of a protocol, and the options that name them."""
    mode = options.get(f"{proto}_MODE")
    if mode is None or not mode.text.startswith("a"):
        listed = options.get(f"{proto}_PORTS")
        return {f"{proto}_PORTS"}, port_list(listed.source, listed.line, listed.text) if listed else set()
    names = (f"ADVANCED_PORTS_{proto}", f"ADVANCED_EXCLUDE_{proto}")
    highest, excluded = map(options.get, names)
    ports = set(range(1, port_range(highest.source, highest.line, highest.text)[-1] + 1)) if highest else set()
    return {*names}, ports - (port_list(excluded.source, excluded.line, excluded.text) if excluded else set())


def _differences(options: Options, used: set[str], ignore_files: set[str]) -> list[Note]:
    """The notes about all that is no trap and no action."""
    notes: list[Note] = []
    for name, option in options.items():
        if name in _NO_EQUIVALENT:
            reason = _NO_EQUIVALENT[name] if name != "RESOLVE_HOST" or option.text == "1" else ""
        elif name.startswith("ADVANCED_"):
            reason = "" if name in used else _ADVANCED
        elif name == "IGNORE_FILE":
            reason = "" if Path(option.text).name in ignore_files else _IGNORE_FILE
        elif name in {"TCP_MODE", "UDP_MODE"}:
            reason = _CONNECT if option.text in {"tcp", "udp"} else ""
        else:
            reason = _LEFT.get(name, _UNKNOWN)
        notes += [Note(name, option.source.place(option.line), reason)] if reason else []
    trigger = _trigger(options)
    return notes + (notes_about(options, ("SCAN_TRIGGER",), _TRIGGER) if trigger else [])


_LEFT = {
    **dict.fromkeys(("TCP_PORTS", "UDP_PORTS", "BLOCK_TCP", "BLOCK_UDP", "SCAN_TRIGGER", "KILL_RUN_CMD_FIRST"), ""),
    **dict.fromkeys(("KILL_ROUTE", "KILL_HOSTS_DENY", "KILL_RUN_CMD"), ""),
    "PORT_BANNER": _BANNER,
}
