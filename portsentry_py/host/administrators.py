"""Reads who is logged in from another host: sessions of the login manager, login records, sessions of sshd.

Each source speaks of logins that succeeded; a connection alone protects nobody. A file that is missing, or that the
user may not read, adds nothing.
"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.core.decode import canonical_address
from portsentry_py.host.never_ban import ssh_ports
from portsentry_py.host.sockets import Connection

# logind(8). The files have a line NAME=VALUE for each fact, and only root can write them.
_SESSIONS = "run/systemd/sessions"
_ENDING = "closing"
# utmp(5): type, process and address of a record, with 32-bit times and with 64-bit ones.
_UTMP = "run/utmp"
_RECORDS = tuple(map(struct.Struct, ("=h2xi340x16s20x", "=h2xi352x16s24x")))
_USER_PROCESS = 7
_SSH_PORT = 22
_SSHD_PROGRAMS = {"sshd", "sshd-session"}
# The user of the process that speaks with a client before its login.
_SSHD_USER = "sshd"


@dataclass(frozen=True, slots=True)
class _Process:
    program: str
    parent: int
    uids: frozenset[int]


def sshd_ports(listeners: Iterable[tuple[int, int]], root: Path = Path("/")) -> frozenset[int]:
    """The ports of sshd, by its configuration and by the processes that listen; only root sees those of others.

    Args:
        listeners: pairs of a process and a port on which it listens.
        root: top of the tree with the files.
    """
    found = {port for pid, port in listeners if _is_listener(pid, root)}
    return frozenset({_SSH_PORT, *ssh_ports(root), *found})


def administrators(connections: Iterable[Connection], sshd: frozenset[int], root: Path = Path("/")) -> frozenset[str]:
    """The addresses from which somebody is logged in.

    Args:
        connections: those with served ports.
        sshd: the ports of sshd.
        root: top of the tree with the files.
    """
    held = (one.peer for one in connections if one.port in sshd and one.pid and _has_authenticated(one.pid, root))
    return frozenset((*_sessions(root), *_login_records(root), *held))


def can_tell_logins(root: Path = Path("/")) -> bool:
    """Whether a client of sshd that is no administrator is known to be not logged in."""
    return os.geteuid() == 0 or any((root / place).exists() for place in (_SESSIONS, _UTMP))


def _sessions(root: Path) -> Iterator[str]:
    """The remote hosts of the login manager's sessions; host names are skipped."""
    for path in root.glob(f"{_SESSIONS}/*"):
        with suppress(OSError):
            facts = dict(line.partition("=")[::2] for line in path.read_text("utf-8", "replace").splitlines())
            if facts.get("STATE") != _ENDING and facts.get("REMOTE") == "1":
                yield from _address(facts.get("REMOTE_HOST", ""))


def _address(text: str) -> Iterator[str]:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, text.partition("%")[0])
            yield canonical_address(text.partition("%")[0]).removeprefix("::ffff:")


def _login_records(root: Path) -> Iterator[str]:
    """The addresses of login records whose process runs. Their text is not used: programs of users can choose it."""
    with suppress(OSError):
        data = (root / _UTMP).read_bytes()
        record = next((one for one in _RECORDS if len(data) % one.size == 0), None)
        for kind, pid, address in record.iter_unpack(data) if record else ():
            if kind == _USER_PROCESS and any(address) and _runs(pid):
                family = socket.AF_INET6 if any(address[4:]) else socket.AF_INET
                size = len(address) if family == socket.AF_INET6 else 4
                yield from _address(socket.inet_ntop(family, address[:size]))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0


def _is_listener(pid: int, root: Path) -> bool:
    """Whether this is root's sshd; its sessions listen too, for clients who forward a port."""
    process = _process(pid, root)
    return process is not None and _is_roots_sshd(process) and not _is_roots_sshd(_process(process.parent, root))


def _has_authenticated(pid: int, root: Path) -> bool:
    """Whether the client has logged in whose connection this process holds: root's sshd, or a child of it.

    Until then it has a child of the user `sshd`, and helpers may run as root or as another user. Afterwards it has a
    child that runs sshd as the user, or, where root logged in, the shell itself.
    """
    before_login = _sshd_user(root)
    holder = _process(pid, root)
    session = holder.parent if holder and not _is_roots_sshd(holder) else pid
    children = [process for child in _children(session, root) if (process := _process(child, root))]
    return (
        _is_roots_sshd(_process(session, root))
        and before_login is not None
        and all(before_login not in child.uids for child in children)
        and any((child.program in _SSHD_PROGRAMS) != (0 in child.uids) for child in children)
    )


def _is_roots_sshd(process: _Process | None) -> bool:
    return process is not None and process.uids == {0} and process.program in _SSHD_PROGRAMS


def _process(pid: int, root: Path) -> _Process | None:
    folder = root / "proc" / str(pid)
    try:
        lines = (folder / "status").read_text("utf-8", "replace").splitlines()
        facts = dict(line.partition(":\t")[::2] for line in lines)
        program = (folder / "exe").readlink().name.removesuffix(" (deleted)")  # sshd was upgraded
        return _Process(program, int(facts["PPid"]), frozenset(map(int, facts["Uid"].split())))
    except (OSError, ValueError, KeyError):
        return None


def _children(pid: int, root: Path) -> list[int]:
    try:
        return list(map(int, (root / f"proc/{pid}/task/{pid}/children").read_text("ascii").split()))
    except (OSError, ValueError):
        return []


def _sshd_user(root: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "etc/passwd").read_text("utf-8", "replace").splitlines():
            name, _, number, *_rest = line.split(":")
            if name == _SSHD_USER:
                return int(number)
    return None
