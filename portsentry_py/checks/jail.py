"""Checks the jail: its files against ours, what the running fail2ban has made of them, and what its bans reach."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from portsentry_py.checks.forwarded import COVERING, forwarded_ports, kernel_rules, shown
from portsentry_py.checks.names import own_name_is_slow
from portsentry_py.checks.result import Result, broken, warning
from portsentry_py.config.settings import DEFAULT_LOG
from portsentry_py.errors import Fail2banError, PermissionDenied
from portsentry_py.fail2ban.client import CommandFailed, Fail2banClient, JailNotLoaded, NotInstalled
from portsentry_py.fail2ban.conflicts import conflicts, faults
from portsentry_py.fail2ban.installer import MANIFEST
from portsentry_py.fail2ban.jails import read_jails
from portsentry_py.fail2ban.pack import ETC, JAIL, PackFile, pack_files
from portsentry_py.fail2ban.placing import key, read_manifest

_INSTALL = "run `portsentry-py fail2ban install --reload`"
_TIMEOUT_SECONDS = 10
_ACTION = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fail2banHost:
    """The fail2ban that is checked; the defaults are this host's."""

    root: Path = Path("/")
    client: Fail2banClient = field(default_factory=Fail2banClient)
    kernel_rules: Callable[[], str] = kernel_rules
    own_name_is_slow: Callable[[], bool] = own_name_is_slow


def check_jail(log: str, host: Fail2banHost, now_us: int) -> Iterator[Result]:
    """Findings about the files, the server and the ban action.

    Args:
        log: the log of the sensor.
        host: the host.
        now_us: the time, in microseconds since 1970.
    """
    etc, files = host.root / ETC, pack_files()
    if not files:
        yield broken("jail", "this installation holds no jail and no filter; reinstall portsentry-py.")
        return
    if not etc.is_dir():
        yield warning("jail", str(NotInstalled(root=host.root)))
        return
    missing = [file for file in files if not (etc / file.target).exists()]
    if len(missing) == len(files):
        yield warning("jail", str(JailNotLoaded(JAIL)))
    elif missing:
        yield broken("jail", f"{etc / missing[0].target} is missing; {_INSTALL}.")
    else:
        yield Result("jail", f"installed in {etc}")
        yield from _contents(host.root, files)
        yield from _server(log, host, now_us)
    grave = set(faults(host.root))
    for sentence in conflicts(host.root, os.environ.get("SSH_CONNECTION", "")):
        yield (broken if sentence in grave else warning)("jail", sentence)


def _contents(root: Path, files: list[PackFile]) -> Iterator[Result]:
    """Files that are not those of this version: what was tested is another filter."""
    try:
        known = read_manifest(root / MANIFEST)
    except (Fail2banError, PermissionDenied):
        known = frozenset()
    for file in files:
        path = root / ETC / file.target
        installed = path.read_bytes()
        if installed == file.content:
            continue
        if key(file, installed) in known:
            yield warning("jail", f"{path} is of an earlier version; {_INSTALL}.")
        else:
            yield warning("jail", f"{path} was edited; move your changes to a .local file, remove it, and {_INSTALL}.")


def _server(log: str, host: Fail2banHost, now_us: int) -> Iterator[Result]:
    state = read_jails(host.client, now_us)
    if state.standing == "forbidden":
        yield warning("jail", f"not asked whether it runs: {state.note}")
        return
    if state.note:
        yield broken("jail", f"nobody is banned: {state.note}")
        return
    ours = {jail.name: jail for jail in state.jails}
    jail = ours.get(JAIL)
    if jail is None:
        yield warning("jail", f"[{JAIL}] is disabled; {', '.join(ours)} may ban in its place.")
        return
    if log == "-":
        yield warning("jail", f"it reads {DEFAULT_LOG}, but the log is -; set logpath in jail.local.")
    elif os.path.realpath(log) not in {os.path.realpath(path) for path in jail.logs}:
        read = ", ".join(jail.logs) or "no file"
        yield broken("jail", f"nobody is banned: it reads {read}, and the log is {log}; set logpath in jail.local.")
    yield from _actions(host)


def _actions(host: Fail2banHost) -> Iterator[Result]:
    answer = _ask(host.client, "get", JAIL, "actions").partition("\n")[2]
    actions = _ACTION.findall(answer)
    if not actions:
        yield broken(
            "jail",
            f"nobody is banned: [{JAIL}] has no action; correct `action` in jail.local, then run "
            f"`fail2ban-client reload --restart {JAIL}`.",
        )
        return
    yield Result("jail", f"runs, and bans with {', '.join(actions)}")
    words = [(name, word) for name in actions for word in ("chain_hook", "chain")]
    hooks = {_ask(host.client, "get", JAIL, "action", *pair) for pair in words}
    ports = forwarded_ports(host.kernel_rules())
    if ports and {"input", "INPUT"} & hooks and not COVERING & {hook.lower() for hook in hooks}:
        yield warning(
            "jail",
            f"this host forwards ports ({shown(ports)}), and a ban covers only what comes to the host itself; "
            "run `portsentry-py fail2ban install --reload` for an action that covers both.",
        )
    if _ask(host.client, "get", JAIL, "ignoreself") == "True" and host.own_name_is_slow():
        yield warning(
            "jail",
            "this host cannot look up its own name in time, and fail2ban does so before the first ban, which comes "
            "late; write the name into /etc/hosts, or set ignoreself = false.",
        )


def _ask(client: Fail2banClient, *words: str) -> str:
    """The answer; empty if an action has no such parameter."""
    try:
        return client.ask(*words, timeout_seconds=_TIMEOUT_SECONDS).strip()
    except CommandFailed:
        return ""
