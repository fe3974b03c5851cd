"""What real programs can and cannot do in the sandbox."""

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from portsentry_py.capture.commands import environment, tshark_command
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.privsep import sandbox
from portsentry_py.privsep.sandbox import available, sandboxed
from tests.support import sandbox_probe
from tests.support.needs import require_root, require_tool, unsupported
from tests.support.other_users import AS_NOBODY, NET_RIGHTS, python_for_all
from tests.support.paths import CASES
from tests.support.processes import WITHOUT_SIGNALS, capabilities, has_ended, status_of
from tests.support.refused_calls import refusing
from tests.support.waiting import wait_for

SCENARIO = CASES / "syn_scan" / "capture.pcap"
PROBE = Path(sandbox_probe.__file__)
# Everything in it is ours to read, wherever it was installed.
PYTHON = Path(sys.executable).resolve()
PYTHON_READS = (sys.base_prefix, str(PROBE))
REFUSED = {"EPERM", "EACCES"}

# What needs Landlock, which Debian 11 had not.
FILES = {*("write", "append", "create", "create unnamed", "empty by opening"), *("read", "list", "read passwords")}


def require(*words: str) -> None:
    """Skip the test where the kernel lacks one of these."""
    lacking = set(words) - set(available())
    if lacking:
        unsupported(f"this machine lacks {', '.join(lacking)}")


def completed(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def ran(command: Sequence[str], *, readable: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A command in the sandbox, to its end."""
    return completed(sandboxed(command, readable))


def python(script: str, *arguments: str) -> list[str]:
    """The command line of a Python script that can run in the sandbox, with PYTHON_READS."""
    return [str(PYTHON), "-I", "-S", "-c", script, *arguments]


@dataclass
class Prey:
    """What the probe tries to harm."""

    folder: Path
    victim: subprocess.Popen[bytes]
    segment: int
    queue: int

    def fresh(self) -> list[str]:
        """The probe's command line, with everything that it needs restored."""
        for name in ("file", "gone", "move"):
            (self.folder / name).write_text("secret", encoding="utf-8")
        (self.folder / "empty").mkdir(exist_ok=True)
        numbers = (self.victim.pid, self.segment, self.queue)
        return [str(PYTHON), "-I", "-S", str(PROBE), str(self.folder), *map(str, numbers)]


@pytest.fixture
def prey(tmp_path: Path) -> Iterator[Prey]:
    """Files, a process, and what processes share."""
    require_root()
    libc = ctypes.CDLL(None)
    segment, queue = libc.shmget(0, 4096, 0o600), libc.msgget(0, 0o600)
    assert min(segment, queue) >= 0
    folder = tmp_path / "prey"
    folder.mkdir()
    with subprocess.Popen(["sleep", "1000"]) as victim:
        try:
            yield Prey(folder, victim, segment, queue)
        finally:
            victim.kill()
    libc.shmctl(segment, 0, None)
    libc.msgctl(queue, 0, None)


def came_of(command: Sequence[str]) -> dict[str, str]:
    """The result of each attempt of the probe."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    assert len(found) > 40
    return found


def refused(found: dict[str, str]) -> set[str]:
    return {name for name, result in found.items() if result in REFUSED}


def test_outside_the_sandbox_every_attempt_succeeds(prey: Prey) -> None:
    """Otherwise the tests below would test nothing; what fails, this kernel or container lacks."""
    found = came_of(prey.fresh())
    lacking = {name for name, result in found.items() if result != "done"}
    younger = {"fchmodat2", "setxattrat", "attribute", "remove attribute", "create unnamed"}
    forbidden_in_containers = {"ring", "new rights", "compare", "trace", "peek", "watch"}
    assert lacking <= younger | forbidden_in_containers


def test_inside_the_sandbox_every_attempt_is_refused(prey: Prey) -> None:
    require("landlock", "seccomp")
    found = came_of(sandboxed(prey.fresh(), PYTHON_READS))
    assert found.keys() - refused(found) == set()
    assert {path.name for path in prey.folder.iterdir()} == {"file", "gone", "move", "empty"}
    assert (prey.folder / "file").read_text(encoding="utf-8") == "secret"
    assert prey.victim.poll() is None


# Stands for another machine: `python -c AS_IF CHANGE [--read=PATH]... -- COMMAND`.
AS_IF = f"""
import sys
sys.path.insert(0, {str(Path(sandbox.__file__).parents[2])!r})
from portsentry_py.privsep import sandbox
exec(sys.argv[1])
sys.exit(sandbox._main(sys.argv[2:]))
"""


def elsewhere(change: str, command: Sequence[str]) -> list[str]:
    """The command in the sandbox of a machine that differs from this one."""
    start = sandboxed(command, PYTHON_READS)
    begin = start.index(sandbox.__file__)
    return [*start[:begin], "-c", AS_IF, change, *start[begin + 1 :]]


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_the_sandbox_holds_on_older_kernels(prey: Prey, version: int) -> None:
    require("landlock", "seccomp")
    if sandbox._landlock_version() < version:
        unsupported(f"this kernel's Landlock is older than {version}")
    found = came_of(elsewhere(f"sandbox._landlock_version = lambda: {version}", prey.fresh()))
    assert found.keys() - refused(found) == set()


NO_LANDLOCK = [f"landlock_{name}:ENOSYS" for name in ("create_ruleset", "add_rule", "restrict_self")]
LANDLOCK_OFF = ["landlock_create_ruleset:EOPNOTSUPP"]
NO_SECCOMP = ["seccomp:ENOSYS", "prctl:0=22:EINVAL"]


@pytest.mark.parametrize("rules", [NO_LANDLOCK, LANDLOCK_OFF])
def test_without_landlock_calls_are_still_refused(prey: Prey, rules: list[str]) -> None:
    require("landlock", "seccomp")
    found = came_of(refusing(sandboxed(prey.fresh(), PYTHON_READS), *rules))
    # The limit of the size of files is left.
    assert found.keys() - refused(found) == FILES
    assert [found[name] for name in ("write", "append")] == ["EFBIG"] * 2


def test_without_libseccomp_files_are_still_out_of_reach(prey: Prey) -> None:
    require("landlock")
    found = came_of(elsewhere("sandbox._libseccomp = lambda: None", prey.fresh()))
    assert refused(found) >= FILES
    assert refused(found) >= {"delete", "make a folder", "rename", "symlink", "bind", "socket of packets"}


def test_a_program_runs_on_a_kernel_with_neither(prey: Prey) -> None:
    require("seccomp")
    found = came_of(refusing(sandboxed(prey.fresh(), PYTHON_READS), *NO_LANDLOCK, *NO_SECCOMP))
    assert found["read"] == "done"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], ["landlock", "seccomp"]),
        (NO_LANDLOCK, ["seccomp"]),
        (LANDLOCK_OFF, ["seccomp"]),
        (NO_SECCOMP, ["landlock"]),
        ([*NO_LANDLOCK, *NO_SECCOMP], []),
    ],
)
def test_a_program_runs_with_what_the_machine_has(rules: list[str], words: list[str]) -> None:
    require("landlock", "seccomp")
    done = completed(refusing(sandboxed(["/bin/echo", "here"]), *rules))
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")
    assert completed(refusing([sys.executable, "-I", "-S", sandbox.__file__], *rules)).stdout.split() == words


@pytest.mark.parametrize(
    ("rule", "call"),
    [
        ("prctl:0=38:EPERM", "prctl(38)"),
        ("prctl:0=24:EIO", "prctl(24)"),
        ("capset:EPERM", "capset"),
        ("landlock_create_ruleset:EPERM", "landlock_create_ruleset"),
        ("landlock_create_ruleset:0!=0:ENOSYS", "landlock_create_ruleset"),
        ("landlock_add_rule:EPERM", "landlock_add_rule"),
        ("landlock_restrict_self:EPERM", "landlock_restrict_self"),
        ("prctl:0=22:EPERM", "prctl(22)"),
        ("prctl:0=22:2!=0:EPERM", "seccomp_load"),
        ("prctl:0=1:EPERM", "prctl(1)"),
    ],
)
def test_no_program_runs_where_a_call_fails(rule: str, call: str) -> None:
    """A call that fails is not one that the kernel lacks."""
    require("landlock", "seccomp")
    done = completed(refusing(sandboxed(["/bin/echo", "here"]), "seccomp:ENOSYS", rule))
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.startswith(f"cannot confine /bin/echo: {call}: ")


def test_no_program_runs_where_a_limit_cannot_be_set() -> None:
    require("seccomp")
    done = completed(refusing(sandboxed(["/bin/echo", "here"]), "prlimit64:2!=0:EIO"))
    assert (done.returncode, done.stdout) == (126, "")


@pytest.mark.parametrize("function", ["seccomp_init", "seccomp_rule_add_array"])
def test_no_program_runs_without_all_of_its_filter(function: str) -> None:
    require("seccomp")
    change = f"""
library = sandbox._libseccomp()
library.{function} = lambda *_: {{"seccomp_init": None}}.get("{function}", -12)
sandbox._libseccomp = lambda: library
"""
    done = completed(elsewhere(change, ["/bin/echo", "here"]))
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr == f"cannot confine /bin/echo: {function}: Cannot allocate memory\n"


def test_ignored_and_blocked_signals_are_not_inherited() -> None:
    """A sensor that `nohup` started ignores some, and Python itself ignores SIGPIPE."""
    status, _ = status_inside(*WITHOUT_SIGNALS)
    assert [int(status[name], 16) for name in ("SigIgn", "SigBlk")] == [0, 0]


def status_inside(*before: str, interpreter: str = sys.executable) -> tuple[dict[str, str], str]:
    """What the kernel says of a program that runs in the sandbox, and its limits."""
    command = [*before, interpreter, *sandboxed(["/bin/cat"])[1:]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        cat.stdin.write(b"ready\n")
        cat.stdin.flush()
        assert cat.stdout.readline() == b"ready\n"
        folder = Path(f"/proc/{cat.pid}")
        status = status_of((folder / "status").read_text(encoding="utf-8"))
        limits = (folder / "limits").read_text(encoding="utf-8")
    return status, limits


def test_a_program_has_no_capability_and_gains_none() -> None:
    require_root()
    require("seccomp")
    status, _ = status_inside()
    assert status["Name"] == "cat"
    assert [*capabilities(status), int(status["CapBnd"], 16)] == [0] * 5
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_a_program_of_a_user_who_may_capture_has_no_capability() -> None:
    require_root()
    require("seccomp")
    status, _ = status_inside(*AS_NOBODY, *NET_RIGHTS, interpreter=python_for_all())
    assert status["Uid"].split() == ["65534"] * 4
    assert capabilities(status) == [0] * 4
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_the_resources_of_a_program_are_limited() -> None:
    _, limits = status_inside()
    found = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert found["Max address space"] == [str(2 << 30)] * 2
    assert found["Max file size"] == ["0", "0"]
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max open files"] == ["64", "64"]


def test_lower_limits_stay() -> None:
    script = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    done = subprocess.run(
        sandboxed(python(script), PYTHON_READS),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)),
    )
    assert done.stdout == "(32, 32)\n"


@pytest.mark.parametrize(("mib", "fits"), [(100, True), (2100, False)])
def test_memory_beyond_the_limit_is_refused(mib: int, fits: bool) -> None:
    script = "import mmap, sys; mmap.mmap(-1, int(sys.argv[1]) << 20); print('fits')"
    done = ran(python(script, str(mib)), readable=PYTHON_READS)
    assert (done.stdout == "fits\n") is fits, done.stderr
    assert ("Cannot allocate memory" in done.stderr) is not fits


STARTS_AND_WAITS = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(b"ready\\n"); child.stdin.flush(); child.stdout.readline()
print(child.pid, flush=True)
time.sleep(1000)
"""


def test_a_program_ends_with_its_parent() -> None:
    # `sleep` reads and writes nothing, so it would not end by itself.
    inside = sandboxed(["/bin/sh", "-c", "read word; echo $word; exec sleep 1000"])
    command = [sys.executable, "-c", STARTS_AND_WAITS, *inside]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        try:
            pid = int(starter.stdout.readline())
            wait_for(lambda: psutil.Process(pid).name() == "sleep")
        finally:
            starter.kill()
    wait_for(lambda: has_ended(pid))


def test_a_parent_that_ended_first_is_noticed() -> None:
    """If the parent ends before the signal is requested, the signal never comes."""
    script = "sandbox.os.getppid = iter([os.getppid(), 1]).__next__"
    command = elsewhere(f"import os\n{script}", ["/bin/echo", "alone"])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")


def test_only_named_paths_can_be_read(tmp_path: Path) -> None:
    require("landlock")
    for name in ("named", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    (tmp_path / "single").write_text("single", encoding="utf-8")
    readable = [str(tmp_path / "named"), str(tmp_path / "single"), str(tmp_path / "missing")]
    read = [str(tmp_path / name) for name in ("named/file", "single", "other/file", "named/../other/file")]
    done = ran(["/bin/cat", *read], readable=readable)
    assert done.stdout == "namedsingle"
    assert done.stderr.count("Permission denied") == 2


def test_a_link_is_no_way_out(tmp_path: Path) -> None:
    require("landlock")
    (tmp_path / "named").mkdir()
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (tmp_path / "named" / "link").symlink_to(tmp_path / "secret")
    done = ran(["/bin/cat", str(tmp_path / "named" / "link")], readable=[str(tmp_path / "named")])
    assert done.stdout == ""
    assert "Permission denied" in done.stderr


def test_the_children_of_a_program_are_confined_too(tmp_path: Path) -> None:
    require("landlock", "seccomp")
    script = f"cat {tmp_path}/file; kill -0 $PPID; ls {tmp_path}"
    (tmp_path / "file").write_text("secret", encoding="utf-8")
    done = ran(["/bin/sh", "-c", f"sh -c '{script}'"])
    assert "secret" not in done.stdout
    assert "file" not in done.stdout
    assert done.stderr.count("denied") + done.stderr.count("not permitted") == 3


def test_a_program_can_abort_itself() -> None:
    """As the C library does when it finds damaged memory."""
    done = ran(python("import os; os.abort()"), readable=PYTHON_READS)
    assert done.returncode == -6


def test_output_errors_and_exit_code_are_the_programs() -> None:
    done = ran(["/bin/sh", "-c", "cat; echo words >&2; exit 7"])
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "words\n")


@pytest.mark.parametrize("name", ["/nonexistent/tshark", "tshark-that-is-not-here"])
def test_a_missing_program_is_named(name: str) -> None:
    done = ran([name, "-v"])
    assert (done.returncode, done.stderr) == (126, f"{name}: No such file or directory\n")


def test_a_program_that_may_not_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\n", encoding="utf-8")
    done = ran([str(tmp_path / "program")])
    assert (done.returncode, done.stderr) == (126, f"{tmp_path}/program: Permission denied\n")


def test_options_behind_the_dashes_are_the_programs() -> None:
    done = ran(["/bin/echo", "--", "--read=/etc/shadow", "-n"])
    assert done.stdout == "-- --read=/etc/shadow -n\n"


def test_without_libseccomp_there_is_no_seccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str | None, **_options: object) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert "seccomp" not in available()


def test_tshark_gives_the_same_lines_as_outside() -> None:
    require_tool("tshark")
    inside = tshark_command(find_tools().tshark, str(SCENARIO))
    outside = inside[inside.index("--") + 1 :]
    both = [
        subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env={**environment(), "HOME": os.devnull}
        )
        for command in (inside, outside)
    ]
    assert [done.returncode for done in both] == [0, 0], both[0].stderr
    assert both[0].stdout == both[1].stdout
    assert len(both[0].stdout.splitlines()) > 10


def test_tshark_reads_no_other_capture(tmp_path: Path) -> None:
    require_tool("tshark")
    require("landlock")
    copy = tmp_path / "other.pcap"
    copy.write_bytes(SCENARIO.read_bytes())
    named = tshark_command(find_tools().tshark, str(SCENARIO))
    end = named.index("--")
    command = [*named[:end], *(str(copy) if word == str(SCENARIO) else word for word in named[end:])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "permission" in done.stderr.lower()
