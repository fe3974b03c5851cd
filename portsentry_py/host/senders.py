"""Which processes of this host may send what a scan by this host sends: a hint, read from the socket tables."""

import pwd
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from portsentry_py.events.model import EvidenceEvent

_PROC = Path("/proc")
_SYN_SENT = "02"  # include/net/tcp_states.h
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_MOST_SHOWN = 3
# The sensor's own packet sockets are the last suspects.
_OURS = frozenset({"dumpcap", "portsentry-py"})


class _Row(NamedTuple):
    """A socket; `remote_port` is 0 where it has none."""

    state: str
    remote_port: int
    uid: int
    inode: str


class Sender(NamedTuple):
    """A process with such sockets; `pid` is None if this process may not see whose a socket is."""

    name: str
    pid: int | None
    user: str

    def __str__(self) -> str:
        who = f"user {self.user}"
        return f"a process of {who}" if self.pid is None else f"{self.name} (pid {self.pid}, {who})"


def senders(line: EvidenceEvent, own: Collection[str], proc: Path = _PROC) -> str:
    """Who may send now what a line about a scan by this host reports, in words.

    Args:
        line: the line.
        own: the addresses of this host.
        proc: the file system of processes.
    """
    if line.src_ip not in own:
        return f"{line.src_ip}, a host behind this one"
    raw = line.proto not in {"tcp", "udp"} or (line.proto == "tcp" and line.scan_type != "connect")
    found = _owners(_suspects(line.proto, line.dest_port, raw, proc), proc)
    if not found:
        return "a process that is not known, because no socket is open now that could send it"
    known = [one for one in found if one.name not in _OURS] or found
    text = ", ".join(map(str, known[:_MOST_SHOWN]))
    if all(one.pid is not None for one in known[:_MOST_SHOWN]):
        return text
    return f"{text} (only root sees the processes of others: run `portsentry-py status` as root)"


def _suspects(proto: str, port: int, raw: bool, proc: Path) -> list[_Row]:
    """The sockets of the strongest kind of evidence that there is; raw probes come from raw or packet sockets."""
    calling = [row for row in _inet(proc, "tcp") if row.state == _SYN_SENT] if proto == "tcp" else []
    asking = [row for row in _inet(proc, "udp") if row.remote_port] if proto == "udp" else []
    to_port = [row for row in calling + asking if row.remote_port == port]
    by_hand = [*_inet(proc, "raw"), *_packet(proc)]
    kinds = (by_hand, to_port) if raw else (to_port, by_hand)
    return next((rows for rows in (*kinds, calling) if rows), [])


def _inet(proc: Path, table: str) -> Iterator[_Row]:
    """The rows of /proc/net/TABLE and its IPv6 twin, see proc(5)."""
    for name in (table, f"{table}6"):
        for cells in _cells(proc, name):
            with suppress(ValueError, IndexError):
                yield _Row(cells[3], int(cells[2].rpartition(":")[2], 16), int(cells[7]), cells[9])


def _packet(proc: Path) -> Iterator[_Row]:
    for cells in _cells(proc, "packet"):
        with suppress(ValueError, IndexError):
            yield _Row("", 0, int(cells[7]), cells[8])


def _cells(proc: Path, table: str) -> Iterator[list[str]]:
    with suppress(OSError):
        for line in (proc / "net" / table).read_text(encoding="ascii", errors="replace").splitlines()[1:]:
            yield line.split()


def _owners(rows: list[_Row], proc: Path) -> list[Sender]:
    """The processes that hold the sockets, those with the most first."""
    holders = _holders({row.inode for row in rows}, proc) if rows else {}
    counts = Counter(_sender(holders.get(row.inode), row.uid, proc) for row in rows)
    return [sender for sender, _ in counts.most_common()]


def _holders(inodes: set[str], proc: Path) -> dict[str, int]:
    """The process of each socket, as far as this process may look."""
    found: dict[str, int] = {}
    for folder in proc.glob("[0-9]*"):
        with suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                socket = _SOCKET.fullmatch(_link(descriptor))
                if socket and socket[1] in inodes:
                    found[socket[1]] = int(folder.name)
    return found


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed meanwhile
        return ""


def _sender(pid: int | None, uid: int, proc: Path) -> Sender:
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    name = ""
    if pid is not None:
        with suppress(OSError):
            name = (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return Sender(name or "an ended process", pid, user)
