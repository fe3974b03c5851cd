"""Confines a program that parses hostile bytes: `sandbox.py [--read=PATH]... -- COMMAND`.

Without arguments it prints which of `landlock` and `seccomp` this machine has. Standard library only.
"""

import ctypes
import errno
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterable, Iterator

NOT_STARTED = 126
"""The exit code when the program was not started; the reason is on standard error."""
_MEMORY_BYTES = 2 << 30
_DESCRIPTORS = 64
# Programs and libraries, but no home, log or /proc. Single files of /etc, because it holds secrets.
_READABLE = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/dev/urandom"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/wireshark", "/etc/passwd", "/etc/group"),
)
_BOTH = ("/dev/null",)

# linux/prctl.h, linux/capability.h, linux/seccomp.h
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64
_MODE_FILTER = 2

# linux/landlock.h; these system calls have the same number on every architecture of Debian.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_BIND_AND_CONNECT = _SOCKETS_AND_SIGNALS = 3

# libseccomp's seccomp.h
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
# What a decoder never needs and an attacker in it would need next. Unknown names are skipped.
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
# fchmodat2, setxattrat, removexattrat, file_setattr: many libraries do not know these names yet. The numbers
# are the same on every architecture.
_REFUSED_NUMBERS = (452, 463, 466, 469)
_NOT_EQUAL = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


def sandboxed(command: Iterable[str], readable: Iterable[str] = ()) -> list[str]:
    """The command line that runs `command` in the sandbox, where it may also read these paths."""
    return [sys.executable, "-I", "-S", __file__, *(f"--read={path}" for path in readable), "--", *command]


def available() -> list[str]:
    """What this machine has: `landlock`, `seccomp`."""
    has_seccomp = _libseccomp() is not None and _has_seccomp()
    return [*(["landlock"] if _landlock_version() else []), *(["seccomp"] if has_seccomp else [])]


def _main(words: list[str]) -> int:
    if not words:
        sys.stdout.write("".join(f"{word}\n" for word in available()))
        return 0
    parent = os.getppid()
    end = words.index("--")
    command = words[end + 1 :]
    readable = [word.removeprefix("--read=") for word in words[:end]]
    try:
        _limit_resources()
        _reset_signals()
        drop_capabilities()
        _confine_files([*readable, os.path.dirname(command[0])])  # noqa: PTH120 - pathlib costs 10 ms
        _confine_calls()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except OSError as error:
        sys.stderr.write(f"cannot confine {command[0]}: {error.strerror}\n")
        return NOT_STARTED
    if os.getppid() != parent:  # it ended before the kernel knew that it shall end us too
        return 1
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is what we want
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_STARTED


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


def _reset_signals() -> None:
    """Ignored and blocked signals are inherited, from nohup for example, and Python ignores SIGPIPE."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def has_capabilities() -> bool:
    """Whether this thread holds a capability, or could make one effective.

    Raises:
        OSError: the kernel refuses.
    """
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    _succeed(_libc.capget(_capability_header(), sets), "capget")
    return bool(sets[1] | sets[4])


def drop_capabilities() -> None:
    """Give up every capability for good, for this thread and what it starts.

    Raises:
        OSError: the kernel refuses.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for number in range(_CAPABILITIES):
        # EINVAL: this kernel has fewer. EPERM: without CAP_SETPCAP; no_new_privs does the same then.
        if _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            code = ctypes.get_errno()
            if code == errno.EINVAL:
                break
            if code != errno.EPERM:
                raise OSError(code, f"prctl({_PR_CAPBSET_DROP}): {os.strerror(code)}")
    # The ambient set loses what is no longer permitted.
    _succeed(_libc.capset(_capability_header(), (ctypes.c_uint32 * 6)()), "capset")


def _capability_header() -> "ctypes.Array[ctypes.c_uint32]":
    return (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)


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
    result = _libc.syscall(_CREATE_RULESET, attributes, ctypes.sizeof(attributes), 0)
    ruleset = _succeed(result, "landlock_create_ruleset")
    for paths, allowed in (
        ((*_READABLE, *readable), _EXECUTE | _READ_FILE | _READ_DIR),
        (_BOTH, _READ_FILE | _WRITE_FILE),
    ):
        for path in paths:
            _allow(ruleset, path, allowed)
    _succeed(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
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
        _succeed(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, packed, 0), "landlock_add_rule")
    finally:
        os.close(place)


def _landlock_version() -> int:
    """0 for a kernel that lacks Landlock, or has it switched off."""
    version = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 0 and ctypes.get_errno() in {errno.ENOSYS, errno.EOPNOTSUPP}:
        return 0
    return _succeed(version, "landlock_create_ruleset")


def _has_seccomp() -> bool:
    """Ask with a filter at address 0: a kernel that has seccomp cannot read it."""
    _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, 0, 0, 0)
    code = ctypes.get_errno()
    if code in {errno.EFAULT, errno.EINVAL}:
        return code == errno.EFAULT
    raise OSError(code, f"prctl({_PR_SET_SECCOMP}): {os.strerror(code)}")


def _libseccomp() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None


def _confine_calls() -> None:
    library = _libseccomp()
    if library is None or not _has_seccomp():
        return
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    if not context:
        raise OSError(errno.ENOMEM, f"seccomp_init: {os.strerror(errno.ENOMEM)}")
    for number in (*_numbers(library, _REFUSED_CALLS), *_REFUSED_NUMBERS):
        _refuse(library, context, number)
    # The C library aborts and reads its limits with these two; aimed at other processes they are refused.
    for name, own in (("tgkill", os.getpid()), ("prlimit64", 0)):
        for number in _numbers(library, (name,)):
            _refuse(library, context, number, _Comparison(0, _NOT_EQUAL, own, 0))
    result = library.seccomp_load(context)
    _succeed(result, "seccomp_load", -result)
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
    _succeed(result, "seccomp_rule_add_array", -result)


def _numbers(library: ctypes.CDLL, names: Iterable[str]) -> Iterator[int]:
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode("ascii"))
        if number >= 0:  # not of this architecture, or newer than the library
            yield number


def _prctl(option: int, argument: int) -> None:
    _succeed(_libc.prctl(option, argument, 0, 0, 0), f"prctl({option})")


def _succeed(result: int, call: str, code: int | None = None) -> int:
    """The result of a C call, unless it failed with errno, or with the code that libseccomp returned."""
    if result < 0:
        code = code or ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
