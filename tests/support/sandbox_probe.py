"""Tries, one after another, what an attacker in tshark would; prints what came of each as JSON.

    sandbox_probe.py FOLDER VICTIM SEGMENT QUEUE

`done` is a success, anything else the name of the error. The folder has the files `file`, `gone`, `move` and
the folder `empty`; the victim is a process, the others are a System V memory segment and a message queue of
somebody else's. Standard library only: it is run alone, in the sandbox and outside.
"""

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW = -100, 0x100
# Numbers that every architecture of late shares, and those that do not: x86-64, and asm-generic's.
_FCHMODAT2, _PIDFD_OPEN, _SETXATTRAT, _IO_URING_SETUP = 452, 434, 463, 425
_OF_X86 = platform.machine() == "x86_64"
_TKILL, _TGKILL = (200, 234) if _OF_X86 else (130, 131)
_RT_SIGQUEUEINFO = 129 if _OF_X86 else 138
_PRLIMIT64, _KCMP = (302, 312) if _OF_X86 else (261, 272)
_PTRACE_SEIZE, _CLONE_NEWUSER = 0x4206, 0x10000000
_IPC_NOWAIT = 0o4000
_SIZE = ctypes.c_size_t(16)


def _called(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _call(number: int, *arguments: object) -> None:
    _called(_libc.syscall(number, *arguments))


def _written(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


def _socket(family: int, kind: int) -> None:
    socket.socket(family, kind).close()


def _pair() -> None:
    for one in socket.socketpair():
        one.close()


def _bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))


def _limited(victim: int) -> None:
    """Limit its CPU time, to more than it will ever use."""
    _call(_PRLIMIT64, victim, 0, struct.pack("QQ", 1 << 40, 1 << 40), None)


def _queued(victim: int) -> None:
    """A signal with a message (siginfo_t: number, error, code)."""
    _call(_RT_SIGQUEUEINFO, victim, signal.SIGCONT, struct.pack("iii", signal.SIGCONT, 0, -1) + bytes(116))


def _attached(segment: int) -> None:
    _libc.shmat.restype = ctypes.c_long
    _called(_libc.shmat(segment, None, 0))


def _peeked(victim: int) -> None:
    """Read nothing from nowhere: allowed, it succeeds."""
    _called(_libc.process_vm_readv(victim, None, 0, None, 0, 0))


def attempts(folder: Path, victim: int, segment: int, queue: int) -> dict[str, Callable[[], object]]:
    file = folder / "file"
    message = struct.pack("l", 1) + b"x"
    return {
        "write": lambda: _written(file, os.O_WRONLY),
        "append": lambda: _written(file, os.O_WRONLY | os.O_APPEND),
        "create": lambda: os.close(os.open(folder / "new", os.O_WRONLY | os.O_CREAT, 0o600)),
        "create unnamed": lambda: os.close(os.open(folder, os.O_WRONLY | os.O_TMPFILE, 0o600)),
        "empty by name": lambda: os.truncate(file, 0),
        "empty by opening": lambda: os.close(os.open(file, os.O_RDONLY | os.O_TRUNC)),
        "delete": (folder / "gone").unlink,
        "delete a folder": (folder / "empty").rmdir,
        "make a folder": (folder / "made").mkdir,
        "make a pipe": lambda: os.mkfifo(folder / "pipe"),
        "rename": lambda: (folder / "move").rename(folder / "moved"),
        "link": lambda: os.link(file, folder / "link"),
        "symlink": lambda: (folder / "symlink").symlink_to("/etc/shadow"),
        "chmod": lambda: file.chmod(0o644),
        "fchmodat2": lambda: _call(_FCHMODAT2, _AT_FDCWD, bytes(file), 0o644, 0),
        "chown": lambda: os.chown(file, os.geteuid(), os.getegid()),
        "touch": lambda: os.utime(file, (1, 1)),
        "attribute": lambda: os.setxattr(file, "user.x", b"x"),
        "remove attribute": lambda: os.removexattr(file, "user.x"),
        "setxattrat": lambda: _call(
            *(_SETXATTRAT, _AT_FDCWD, bytes(file), 0, b"user.z", struct.pack("QII", 0, 0, 0), _SIZE)
        ),
        "read": file.read_bytes,
        "list": lambda: list(folder.iterdir()),
        "read passwords": Path("/etc/shadow").read_bytes,
        "read memory of others": lambda: Path(f"/proc/{victim}/environ").read_bytes(),
        "socket": lambda: _socket(socket.AF_INET, socket.SOCK_DGRAM),
        "socket of six": lambda: _socket(socket.AF_INET6, socket.SOCK_STREAM),
        "socket here": lambda: _socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "socket of the kernel": lambda: _socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "socket of packets": lambda: _socket(socket.AF_PACKET, socket.SOCK_RAW),
        "socket pair": _pair,
        "bind": lambda: _bound(folder / "socket"),
        "signal": lambda: os.kill(victim, 0),
        "signal a parent": lambda: os.kill(os.getppid(), 0),
        "signal all": lambda: os.kill(-1, 0),
        "signal a thread": lambda: _call(_TKILL, victim, 0),
        "signal a thread of a group": lambda: _call(_TGKILL, victim, victim, 0),
        "signal with a message": lambda: _queued(victim),
        "watch": lambda: _call(_PIDFD_OPEN, victim, 0),
        "limit": lambda: _limited(victim),
        "trace": lambda: _called(_libc.ptrace(_PTRACE_SEIZE, victim, None, None)),
        "peek": lambda: _peeked(victim),
        "compare": lambda: _call(_KCMP, victim, victim, 0, 0, 0),
        "share memory": lambda: _attached(segment),
        "send a message": lambda: _called(_libc.msgsnd(queue, message, 1, _IPC_NOWAIT)),
        "new rights": lambda: _called(_libc.unshare(_CLONE_NEWUSER)),
        "root": lambda: os.chroot("/"),
        "ring": lambda: _call(_IO_URING_SETUP, 1, ctypes.create_string_buffer(120)),
    }


def came_of(attempt: Callable[[], object]) -> str:
    """`done`, or the error."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


if __name__ == "__main__":
    _folder, *_numbers = sys.argv[1:]
    _tried = attempts(Path(_folder), *map(int, _numbers))
    sys.stdout.write(json.dumps({name: came_of(attempt) for name, attempt in _tried.items()}))
