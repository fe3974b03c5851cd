"""Runs a program over hostile bytes where it can do little harm: `sandbox.py [--read=PATH]... -- COMMAND`.

No capabilities and no way to gain any, no sockets and no other process's business (seccomp), nothing to write
and only what is named to read (Landlock), a limit of memory, and an end with whoever started it. What a
kernel or a machine lacks is left out; without arguments, what is at hand is printed, a word a line.

Standard library only: it is run as a script, before any other code, and becomes the program.
"""

import ctypes
import errno
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterable, Iterator

_MEMORY_BYTES = 2 << 30
_DESCRIPTORS = 64
# Programs and libraries; no home, no log, no /proc of others. Single files of /etc, because most is a secret.
_READABLE = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/dev/urandom"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/wireshark", "/etc/passwd", "/etc/group"),
)
_BOTH = ("/dev/null",)

# linux/prctl.h, linux/capability.h
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_HIGHEST_CAPABILITY = 63

# linux/landlock.h; the numbers of the calls are the same on every architecture that Debian has.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_BIND_AND_CONNECT = _SOCKETS_AND_SIGNALS = 3

# libseccomp's seccomp.h
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
# What a decoder never needs, and what an attacker in it would need next. Unknown names are passed over.
_REFUSED_CALLS = """
    socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg
    socketcall
    ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_open pidfd_getfd pidfd_send_signal
    kill tkill rt_sigqueueinfo rt_tgsigqueueinfo
    shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semctl semtimedop semtimedop_time64 ipc
    mq_open mq_unlink
    mount umount umount2 pivot_root chroot move_mount open_tree fsopen fsmount fsconfig fspick mount_setattr
    unshare setns
    init_module finit_module delete_module kexec_load kexec_file_load bpf perf_event_open userfaultfd
    add_key request_key keyctl io_uring_setup io_uring_enter io_uring_register
    open_by_handle_at name_to_handle_at quotactl quotactl_fd acct swapon swapoff reboot sethostname
    setdomainname settimeofday clock_settime clock_adjtime adjtimex iopl ioperm mknod mknodat
    chmod fchmod fchmodat chown fchown fchownat lchown chown32 fchown32 lchown32
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
    utime utimes utimensat utimensat_time64 futimesat truncate64
    link linkat symlink symlinkat rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir truncate
""".split()  # noqa: SIM905 - a hundred quotes would hide the names
# fchmodat2, setxattrat, removexattrat, file_setattr: younger than many a library that should know their
# names, and of the same number on every architecture.
_REFUSED_NUMBERS = (452, 463, 466, 469)
_NOT_EQUAL = 1

_libc = ctypes.CDLL(None, use_errno=True)


def sandboxed(command: Iterable[str], readable: Iterable[str] = ()) -> list[str]:
    """The command line that runs `command` in the sandbox, where it may also read these paths."""
    return [sys.executable, "-I", "-S", __file__, *(f"--read={path}" for path in readable), "--", *command]


def at_hand() -> list[str]:
    """What this machine has: `landlock`, `seccomp`."""
    return [*(["landlock"] if _landlock_version() else []), *(["seccomp"] if _libseccomp() else [])]


def _main(words: list[str]) -> int:
    if not words:
        sys.stdout.write("".join(f"{word}\n" for word in at_hand()))
        return 0
    parent = os.getppid()
    end = words.index("--")
    command = words[end + 1 :]
    readable = [word.removeprefix("--read=") for word in words[:end]]
    try:
        _limit_resources()
        without_capabilities()
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _confine_files([*readable, os.path.dirname(command[0])])  # noqa: PTH120 - pathlib costs 10 ms
        _confine_calls()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we could ask for its signal
            return 1
        os.execv(command[0], command)  # noqa: S606 - no shell is what we want
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 126


def _limit_resources() -> None:
    for kind, most in (
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    ):
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))


def without_capabilities(*keep: int) -> None:
    """Give up every capability, for this thread and what it starts; those to `keep` may still be gained.

    Raises:
        OSError: the kernel refuses.
    """
    for number in range(_HIGHEST_CAPABILITY + 1):
        if number not in keep:  # refused to whoever lacks CAP_SETPCAP, who cannot gain any either
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    if keep:
        return
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _succeed(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def _confine_files(readable: Iterable[str]) -> None:
    version = _landlock_version()
    if not version:
        return
    rights = (1 << _FS_BITS.get(version, max(_FS_BITS.values()))) - 1
    attributes = (ctypes.c_uint64 * 3)(
        rights,
        _BIND_AND_CONNECT if version >= _TCP_SINCE else 0,
        _SOCKETS_AND_SIGNALS if version >= _SCOPES_SINCE else 0,
    )
    # An older kernel refuses what it does not know, unless it is zero.
    ruleset = _succeed(_libc.syscall(_CREATE_RULESET, attributes, ctypes.sizeof(attributes), 0))
    for paths, allowed in (
        ((*_READABLE, *readable), _EXECUTE | _READ_FILE | _READ_DIR),
        (_BOTH, _READ_FILE | _WRITE_FILE),
    ):
        for path in paths:
            _allow(ruleset, path, allowed)
    _succeed(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= ~_READ_DIR
    rule = bytearray(rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder))
    packed = (ctypes.c_char * len(rule)).from_buffer(rule)
    try:
        _succeed(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, packed, 0))
    finally:
        os.close(place)


def _landlock_version() -> int:
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


def _libseccomp() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None


def _confine_calls() -> None:
    library = _libseccomp()
    if library is None:
        return
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    for number in (*_numbers(library, _REFUSED_CALLS), *_REFUSED_NUMBERS):
        _refuse(library, context, number)
    # The C library needs both for itself, to abort and to learn its limits, and others may be meant.
    for name, own in (("tgkill", os.getpid()), ("prlimit64", 0)):
        for number in _numbers(library, (name,)):
            _refuse(library, context, number, _Comparison(0, _NOT_EQUAL, own, 0))
    library.seccomp_load(context)  # a kernel without it does without
    library.seccomp_release(context)


class _Comparison(ctypes.Structure):
    """libseccomp's struct scmp_arg_cmp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("operand", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
    )


def _refuse(library: ctypes.CDLL, context: ctypes.c_void_p, number: int, *conditions: _Comparison) -> None:
    array = (_Comparison * len(conditions))(*conditions)
    result = library.seccomp_rule_add_array(context, _REFUSE, number, len(conditions), array)
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _numbers(library: ctypes.CDLL, names: Iterable[str]) -> Iterator[int]:
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode("ascii"))
        if number >= 0:  # not of this architecture, or newer than the library
            yield number


def _succeed(result: int) -> int:
    """A C call's result, if it is none of an error."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
