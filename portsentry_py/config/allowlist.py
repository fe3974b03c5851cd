"""The allowlist: a text file of sources that must never be banned, each until its end.

A line is `NETWORK [UNTIL] [# REASON]`, with the end in UTC. `portsentry-py allow` and `deny` change the file.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from portsentry_py.config.own_file import read_own
from portsentry_py.config.settings import Network
from portsentry_py.config.values import quoted, read_network, shortened
from portsentry_py.errors import ConfigError, OutputError, PermissionDenied
from portsentry_py.replacement import replace

# Room for five thousand entries with long reasons.
_MAX_BYTES = 1 << 19
_MODE, _FOLDER_MODE = 0o644, 0o755
_UNTIL = "%Y-%m-%dT%H:%M:%SZ"
_MAX_REASON = 200
_HEAD = "# See `portsentry-py allow --help`.  NETWORK [UNTIL, in UTC] [# REASON]\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """A source that must never be banned; `until_us`, in microseconds since 1970, is None for one without an end."""

    network: Network
    until_us: int | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The network; an address without its prefix."""
        single = self.network.num_addresses == 1
        return str(self.network.network_address) if single else str(self.network)

    @property
    def until(self) -> str:
        """The end as the file has it; empty without one."""
        if self.until_us is None:
            return ""
        return datetime.fromtimestamp(self.until_us // 1_000_000, timezone.utc).strftime(_UNTIL)

    def holds(self, now_us: int) -> bool:
        """Whether the entry is in force."""
        return self.until_us is None or now_us < self.until_us

    def __str__(self) -> str:
        reason = f"# {shortened(self.reason, _MAX_REASON)}" if self.reason else ""
        return "  ".join(filter(None, (self.name, self.until, reason)))


def overlap(one: Network, other: Network) -> bool:
    """Whether an address lies in both networks."""
    return one.version == other.version and one.overlaps(other)


def read(path: Path) -> tuple[Entry, ...]:
    """The entries of the file; none without a file.

    Raises:
        ConfigError: the file cannot be read, others may write it, it is a link, or a line of it is wrong.
        PermissionDenied: the user may not read it.
    """
    return tuple(entry for _, entry in _parsed(_text(path), path) if entry is not None)


def add(path: Path, entry: Entry, now_us: int) -> None:
    """Write an entry in place of an older one of the same network; entries that ended go.

    Raises:
        ConfigError, PermissionDenied: as `read`; PermissionDenied also if the user may not write it.
        OutputError: it cannot be written.
    """
    _rewrite(path, lambda other: other.network != entry.network and other.holds(now_us), str(entry))


def remove(path: Path, network: Network, now_us: int) -> None:
    """Remove the entry of a network; entries that ended go.

    Raises:
        ConfigError, PermissionDenied, OutputError: as `add`.
    """
    _rewrite(path, lambda other: other.network != network and other.holds(now_us))


def _text(path: Path) -> str:
    try:
        if path.is_symlink():
            # A writer would replace the link and leave its target as it was.
            raise ConfigError(f"{path}: the allowlist is a symbolic link; name its target in allowlist.")
        return read_own(path, _MAX_BYTES, "take out entries, or name the right file in allowlist")
    except FileNotFoundError:
        return ""
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read the allowlist; run as root or fix its mode.") from error
    except OSError as error:
        reason = error.strerror
        raise ConfigError(f"{path}: cannot read the allowlist ({reason}); name a file in allowlist.") from error


def _parsed(text: str, path: Path) -> Iterator[tuple[str, Entry | None]]:
    """Each line, with the entry that it holds."""
    for number, line in enumerate(text.splitlines(), 1):
        yield line, _entry(line, f"{path}:{number}")


def _entry(line: str, place: str) -> Entry | None:
    text, _, reason = line.partition("#")
    network, *ends = text.split() or [""]
    if not network:
        return None
    try:
        return Entry(read_network(network), _until_us(" ".join(ends)) if ends else None, reason.strip())
    except ValueError as error:
        raise ConfigError(f"{place}: {error}; write NETWORK [UNTIL] [# REASON].") from error


def _until_us(text: str) -> int:
    try:
        moment = datetime.strptime(text, _UNTIL).replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is no end such as 2027-01-31T12:00:00Z") from error
    return int(moment.timestamp()) * 1_000_000


def _rewrite(path: Path, stays: Callable[[Entry], bool], *more: str) -> None:
    with _writing(path), _locked(path.parent):
        text = _text(path) or _HEAD
        kept = [line for line, entry in _parsed(text, path) if entry is None or stays(entry)]
        content = "".join(f"{line}\n" for line in (*kept, *more)).encode()
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: the allowlist is full; take out entries, or write networks.")
        replace(path, content, _MODE)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two commands at once must not lose each other's entry. The folder is the lock, so no file stays behind."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(_FOLDER_MODE)  # the sensor's user has to read it, whatever the umask
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise PermissionDenied(f"{path}: you may not write the allowlist; run as root.") from error
        raise OutputError(
            f"{path}: cannot write the allowlist ({error.strerror}); correct that and try again."
        ) from error
