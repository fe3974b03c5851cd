"""Opens the log so that nobody else can redirect its lines or add their own.

A link at the log's path would make root write elsewhere; a forged line makes fail2ban ban an innocent.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from portsentry_py.errors import OutputError, PermissionDenied, PortsentryError
from portsentry_py.replacement import replacement

_MODE = 0o640
# Read too, to see whether the last line is whole. Non-blocking, or a FIFO without a reader would hold us up.
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_ACCOUNT = "portsentry"
_READERS = "adm"  # the group that reads the logs of Debian and Ubuntu
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_FIXES = {
    errno.ENOENT: "create the directory or name another log",
    errno.ENOTDIR: "create the directory or name another log",
    errno.ENOSPC: "make room on its file system",
    errno.EDQUOT: "make room or raise the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f, LimitFSIZE=)",
    errno.EROFS: "make its file system writable (mount -o remount,rw; dmesg says why it is not)",
    errno.EIO: "look at its disk (dmesg)",
}


def open_log(path: Path) -> int:
    """Open the log for reading and appending; create it with mode 0640, whatever the umask.

    Raises:
        OutputError: it cannot be opened, or another user could write it.
        PermissionDenied: the user lacks a right.
    """
    try:
        with _directory(path) as directory:
            return _open(path, directory)
    except (OSError, ValueError) as error:
        raise refusal(path, error) from error


def _open(path: Path, directory: int) -> int:
    while True:
        try:
            _judge(path, os.stat(path.name, dir_fd=directory, follow_symlinks=False))
            descriptor = os.open(path.name, _FLAGS, dir_fd=directory)
        except FileNotFoundError:
            try:
                descriptor = os.open(path.name, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE, dir_fd=directory)
            except FileExistsError:
                continue  # logrotate has created it meanwhile
            with suppress(OSError):  # a file system without modes; the mode is judged below
                os.fchmod(descriptor, _MODE)
        try:
            status = os.fstat(descriptor)
            if status.st_nlink == 0:
                os.close(descriptor)
                continue  # deleted since
            _judge(path, status)  # again: another file may have been put in its place
            os.set_blocking(descriptor, True)
        except PortsentryError:
            os.close(descriptor)
            raise
        return descriptor


def examine(path: Path) -> str | None:
    """Check whether the log could be opened, and change nothing.

    Returns:
        Why lines would have to wait although it can be opened, with the fix; None if all is well.

    Raises:
        OutputError, PermissionDenied: as `open_log` would.
    """
    try:
        with _directory(path) as directory:
            room = os.fstatvfs(directory)
            try:
                _judge(path, os.stat(path.name, dir_fd=directory, follow_symlinks=False))
            except FileNotFoundError:
                if room.f_flag & os.ST_RDONLY:
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS)) from None
                if not os.access(f"/proc/self/fd/{directory}", os.W_OK | os.X_OK, effective_ids=True):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
            else:
                os.close(os.open(path.name, _FLAGS, dir_fd=directory))
                room = os.statvfs(path)
    except (OSError, ValueError) as error:
        raise refusal(path, error) from error
    # Root may use a part of the reserved blocks; no number says how large that part is.
    if room.f_blocks and not room.f_bavail:
        return f"{path}: its file system is full, or nearly so: lines will wait; {_FIXES[errno.ENOSPC]}."
    return None


@contextmanager
def replacing(path: Path) -> Iterator[int]:
    """The descriptor of a new file, which takes the place of `path` when the block ends without an error.

    It keeps the mode and the owner of an old file. After an error, the old file is as it was.

    Raises:
        OutputError, PermissionDenied: as `open_log` would.
    """
    examine(path)
    try:
        with replacement(path, _MODE) as descriptor:
            with suppress(FileNotFoundError):
                old = path.stat()
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
                os.fchown(descriptor, old.st_uid, old.st_gid)
            yield descriptor
    except OSError as error:
        raise refusal(path, error) from error


def refusal(path: Path, error: OSError | ValueError) -> PortsentryError:
    """Why the log cannot be written, and the fix, in one sentence."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EPERM and os.geteuid() == 0:
        return PermissionDenied(f"{path}: even root may not write the log; take away chattr's +i (see lsattr).")
    if isinstance(error, PermissionError):
        return PermissionDenied(f"{path}: you may not write the log; run as root or name another log.")
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    fix = _FIXES.get(number or 0, "name another log")
    return OutputError(f"{path}: cannot write the log ({reason}); {fix}.")


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """The log's directory, held open, so that the file that is judged and the one that is opened lie in it.

    Its owner and its group may rename the log: the operator gave them the directory, and on Ubuntu the group
    syslog may write /var/log. A file that they put in the log's place is judged like any other.
    """
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise OutputError(
                f"{path}: cannot write the log (anybody may exchange it, because everybody may write "
                f"{path.parent}); chmod o-w {path.parent} or name another log."
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _judge(path: Path, status: os.stat_result) -> None:
    fault = _fault(path, status)
    if fault is not None:
        raise OutputError(f"{path}: cannot write the log ({fault[0]}); {fault[1]}.")


def _fault(path: Path, status: os.stat_result) -> tuple[str, str] | None:
    """What makes a file unfit for the log, and the fix."""
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        # Not "remove it": it may be /dev/null.
        fix = "put a regular file in its place, or name another log"
        return f"it is {_KINDS.get(kind, 'no regular file')}", fix
    if status.st_nlink > 1:
        return (
            f"the file has {status.st_nlink} names, and another may be no log at all",
            "remove this one or the others (find -samefile)",
        )
    if status.st_uid not in _trusted_users():
        owner = _name(pwd.getpwuid, status.st_uid)
        return f"it belongs to {owner}, who could forge lines", f"run as {owner}, or remove or chown it"
    if status.st_mode & stat.S_IWOTH:
        return "everybody may write it and forge lines", f"chmod o-w {path}"
    if status.st_mode & stat.S_IWGRP and status.st_gid not in _trusted_groups(status):
        return f"the group {_name(grp.getgrgid, status.st_gid)} may write it and forge lines", f"chmod g-w {path}"
    return None


def _trusted_users() -> set[int]:
    """Root, our own user, and the service's account, whose log root may write."""
    users = {0, os.geteuid()}
    with suppress(KeyError):
        users.add(pwd.getpwnam(_ACCOUNT).pw_uid)
    return users


def _trusted_groups(status: os.stat_result) -> set[int]:
    """The groups that may have write permission.

    Members of root are root. Members of adm read every log and are administrators, and a logrotate
    configuration with mode 0660 means them. A file of root's can admit an unprivileged sensor only by a group
    of that sensor; a file of its own needs no group.
    """
    groups = {0}
    with suppress(KeyError):
        groups.add(grp.getgrnam(_READERS).gr_gid)
    if status.st_uid != os.geteuid():
        groups |= {os.getegid(), *os.getgroups()}
    return groups


def _name(entry_of: Callable[[int], Sequence[object]], number: int) -> str:
    """The name of a user or a group, which is the first field of its entry; the number if it has none."""
    with suppress(KeyError):
        return str(entry_of(number)[0])
    return str(number)
