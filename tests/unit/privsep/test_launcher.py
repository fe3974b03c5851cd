"""The launcher as a process, through its socket: what it does, what it refuses, and how everything ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from portsentry_py.privsep import launcher
from portsentry_py.privsep.launcher import check
from tests.support.needs import require_root, require_tool
from tests.support.other_users import AS_NOBODY, NET_RIGHTS, python_for_all
from tests.support.processes import has_ended
from tests.support.waiting import wait_for

GOES_ON = "exec sleep 1000"
INVALID = errno.EINVAL


class Asker:
    """A launcher, and the end of its socket that asks."""

    def __init__(self, dumpcap: Path | str, *before: str, python: str = sys.executable) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(30)
        with theirs:
            command = [*before, python, "-I", "-S", launcher.__file__, str(dumpcap), str(theirs.fileno())]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
            )

    def say(self, message: bytes, *descriptors: int) -> tuple[dict[str, object], list[int]]:
        """A message as it is, and the answer."""
        socket.send_fds(self.socket, [message], descriptors)
        answer, given, _, _ = socket.recv_fds(self.socket, launcher.MAX_MESSAGE, 4)
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found, given

    def capture(self, *options: str) -> Captured:
        """Let dumpcap be started, and see what it writes."""
        return Captured(self, options)

    def still_answers(self) -> None:
        """Whatever was asked before."""
        assert self.process.poll() is None
        answer, given = self.say(b'{"do": "capture", "options": ["-p"]}')
        assert (answer["errno"], given) == (INVALID, [])

    @property
    def descriptors(self) -> int:
        """How many the launcher has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def end(self) -> str:
        """Ask no more; what it said to us meanwhile."""
        self.socket.close()
        _, said = self.process.communicate(timeout=30)
        return str(said, "utf-8")


class Captured:
    """A dumpcap that was asked for; its standard output and standard error are one pipe."""

    def __init__(self, asker: Asker, options: Sequence[str]) -> None:
        self.output, writer = os.pipe()
        try:
            message = json.dumps({"do": "capture", "options": options}).encode()
            self.answer, self.given = asker.say(message, writer, writer)
        finally:
            os.close(writer)

    @property
    def pid(self) -> int:
        """Its process number."""
        pid = self.answer["pid"]
        assert isinstance(pid, int)
        return pid

    @property
    def written(self) -> str:
        """All that it writes until it ends."""
        with os.fdopen(os.dup(self.output), encoding="utf-8") as file:
            return file.read()

    def close(self) -> None:
        """Hear no more of it."""
        for descriptor in (self.output, *self.given):
            os.close(descriptor)


Start = Callable[..., Asker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start launchers whose dumpcap is a shell script; nothing that they started may be left."""
    started: list[Asker] = []

    def launch(script: str) -> Asker:
        dumpcap = tmp_path / "dumpcap"
        dumpcap.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        dumpcap.chmod(0o755)
        started.append(Asker(dumpcap))
        return started[-1]

    before = {child.pid for child in psutil.Process().children()}
    yield launch
    for one in started:
        one.end()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left


def test_dumpcap_is_told_what_was_asked_for_and_to_write_to_its_output(start: Start) -> None:
    options = ["-q", "-s", "128", "-B", "4", "-C", "4194304", "-i", "any", "-f", "udp and (not port 53)"]
    captured = start('printf "<%s>" "$@"').capture(*options)
    assert captured.written == "".join(f"<{word}>" for word in [*options, "-w", "-"])
    captured.close()


def test_dumpcap_inherits_nothing_that_it_does_not_need(start: Start) -> None:
    """No socket of ours, no descriptor of another dumpcap, no signal that is ignored or blocked."""
    asker = start(
        '[ "$2" = 2 ] || exec sleep 1000\n'
        "pwd; readlink /proc/$$/fd/*; exec cat /proc/self/status /proc/self/stat"
    )
    others = [asker.capture("-s", "1") for _ in range(3)]
    captured = asker.capture("-s", "2")
    written = captured.written.splitlines()
    assert written[0] == "/"
    open_files = [line for line in written[1:] if line.startswith(("/", "pipe:", "socket:", "anon_inode:"))]
    assert open_files[0] == "/dev/null"
    assert {name.split(":")[0] for name in open_files[1:]} <= {"pipe", str(Path(asker_script(asker)))}
    status = dict(line.split(":\t", 1) for line in written if ":\t" in line)
    assert int(status["SigIgn"], 16) == 0
    assert int(status["SigBlk"], 16) == 0
    session = int(written[-1].rpartition(")")[2].split()[3])
    assert session == captured.pid, "a key pressed in a terminal is not for it"
    for one in (captured, *others):
        one.close()


def asker_script(asker: Asker) -> str:
    """The script that plays dumpcap, which its shell has open."""
    arguments = asker.process.args
    assert isinstance(arguments, list)
    return str(arguments[-2])


def test_the_answer_is_the_process_and_how_to_watch_it(start: Start) -> None:
    captured = start(GOES_ON).capture("-q")
    (pidfd,) = captured.given
    watch = select.poll()
    watch.register(pidfd, select.POLLIN)
    assert watch.poll(100) == []
    assert not has_ended(captured.pid)
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    assert watch.poll(10_000)
    wait_for(lambda: not psutil.pid_exists(captured.pid))  # collected: no zombie is left
    captured.close()


def test_many_come_and_go_and_none_is_left(start: Start) -> None:
    asker = start("exit 3")
    asker.still_answers()
    before = asker.descriptors
    for _ in range(100):
        captured = asker.capture("-q")
        pid = captured.pid
        assert captured.written == ""
        captured.close()
    wait_for(lambda: not psutil.pid_exists(pid) and asker.descriptors == before)
    assert psutil.Process(asker.process.pid).children() == []


REFUSED_OPTIONS = [
    ["-w", "/etc/passwd"],
    ["-w", "-"],
    ["-i", "/etc/shadow"],
    ["-i", "../tmp/pipe"],
    ["-i", "-"],
    ["-i", "-L"],
    ["-i", "TCP@192.0.2.1:19000"],
    ["-i", "rpcap://192.0.2.1/eth0"],
    ["-i", "eth0\n"],
    ["-i", "two words"],
    ["-i", ""],
    ["-i", "x" * 256],
    ["-i"],
    ["-f"],
    ["-f", "tcp\nudp"],
    ["-f", "caf\u00e9"],
    ["-s", "-1"],
    ["-s", "1e3"],
    ["-s", "\u0661"],  # a digit, but not of ours
    ["-s", "1234567890"],
    ["-B", ""],
    ["-qw", "/etc/x"],
    ["-q-w"],
    ["--"],
    [""],
    ["-b", "printname:/tmp/x"],
    ["-Z", "none"],
    ["-a", "duration:1"],
    ["-D"],
    ["-L"],
    ["-S"],
    ["-p"],
    ["-y", "EN10MB"],
    ["-q", "-f", "tcp", "-w", "/etc/x"],
]


@pytest.mark.parametrize("options", REFUSED_OPTIONS, ids=repr)
def test_other_options_are_refused(options: list[str]) -> None:
    with pytest.raises(ValueError, match="dumpcap is not told"):
        check(options)


def test_and_nothing_is_started_then(start: Start, tmp_path: Path) -> None:
    asker = start(f"touch {tmp_path}/started")
    for options in REFUSED_OPTIONS:
        captured = asker.capture(*options)
        assert captured.answer["errno"] == INVALID
        assert captured.given == []
        assert captured.written == ""
        captured.close()
    asker.still_answers()
    assert asker.end() == ""
    assert not (tmp_path / "started").exists()


def test_what_the_sensor_asks_for_is_allowed() -> None:
    check([])
    check(["-q", "-s", "128", "-B", "2", "-i", "eth0.7", "-f", "", "-i", "wg-home:1", "-f", "-tcp"])


MALFORMED = {
    "no JSON": b"capture",
    "half a message": b'{"do": "capture", "options": [',
    "no UTF-8": b'{"do": "\xff\xfe"}',
    "a list": b"[]",
    "a number": b"7",
    "nothing": b"null",
    "no verb": b"{}",
    "another verb": b'{"do": "run", "command": "/bin/sh"}',
    "a verb that is a list": b'{"do": ["count"]}',
    "no options": b'{"do": "capture"}',
    "options that are null": b'{"do": "capture", "options": null}',
    "options that are numbers": b'{"do": "capture", "options": [1, 2]}',
    "options in options": b'{"do": "capture", "options": [["-q"]]}',
    "a value that is a number": b'{"do": "capture", "options": ["-s", 5]}',
    "a value that is null": b'{"do": "capture", "options": ["-i", null]}',
    "a NUL in a name": b'{"do": "capture", "options": ["-i", "a\\u0000b"]}',
    "half a character": b'{"do": "capture", "options": ["-i", "\\ud800"]}',
    "a deep nest": b"[" * 100_000,
    "a number of many digits": b'{"do": ' + b"9" * 100_000 + b"}",
    "a long word": b'{"do": "capture", "options": ["' + b"x" * 190_000 + b'"]}',
    "a long word of which the answer would be longer": b'{"do": "capture", "options": ["'
    + "\u00e9".encode() * 95_000
    + b'"]}',
    "more than there is room for": b'{"do": "capture", "options": ["' + b"-q" * 101_000 + b'"]}',
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
def test_what_it_does_not_understand_is_refused(start: Start, message: bytes) -> None:
    asker = start(GOES_ON)
    asker.still_answers()
    before = asker.descriptors
    with Path(os.devnull).open("wb") as null:
        answer, given = asker.say(message, null.fileno(), null.fileno())
        assert (answer["errno"], given) == (INVALID, [])
    asker.still_answers()
    wait_for(lambda: asker.descriptors == before)
    assert psutil.Process(asker.process.pid).children() == []
    assert asker.end() == ""


@pytest.mark.parametrize("count", [0, 1])
def test_without_its_descriptors_dumpcap_is_not_started(start: Start, count: int) -> None:
    asker = start(GOES_ON)
    with Path(os.devnull).open("wb") as null:
        answer, given = asker.say(b'{"do": "capture", "options": []}', *[null.fileno()] * count)
    assert (answer["errno"], given) == (INVALID, [])
    asker.still_answers()
    assert psutil.Process(asker.process.pid).children() == []


def test_descriptors_that_nobody_asked_for_are_closed(start: Start) -> None:
    asker = start("exit 0")
    asker.still_answers()
    before = asker.descriptors
    with Path(os.devnull).open("wb") as null:
        for number in range(50):
            _, given = asker.say(b'{"do": "capture", "options": []}', *[null.fileno()] * (3 + number))
            for descriptor in given:
                os.close(descriptor)
    wait_for(lambda: asker.descriptors == before)


def test_a_filter_that_no_command_line_can_hold_is_refused(start: Start) -> None:
    captured = start(GOES_ON).capture("-f", "x" * 150_000)
    assert captured.answer["errno"] == errno.E2BIG
    captured.close()


def test_a_dumpcap_that_is_missing_is_told(start: Start, tmp_path: Path) -> None:
    asker = start(GOES_ON)
    (tmp_path / "dumpcap").unlink()
    captured = asker.capture("-q")
    assert captured.answer == {"errno": errno.ENOENT, "what": str(tmp_path / "dumpcap")}
    captured.close()
    asker.still_answers()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_is_for_whoever_asks(start: Start, number: int) -> None:
    asker = start(GOES_ON)
    asker.still_answers()
    captured = asker.capture("-q")
    asker.process.send_signal(number)
    asker.still_answers()
    assert not has_ended(captured.pid)
    os.kill(captured.pid, number)
    wait_for(lambda: has_ended(captured.pid))  # dumpcap is not deaf to it
    captured.close()


def test_when_nobody_asks_any_more_everything_ends(start: Start) -> None:
    asker = start(GOES_ON)
    captured = [asker.capture("-q") for _ in range(3)]
    assert asker.end() == ""
    assert asker.process.returncode == 0
    for one in captured:
        assert not psutil.pid_exists(one.pid), "killed and collected"
        one.close()


def test_whoever_asks_and_goes_gets_no_answer_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    asker = start(f"touch {tmp_path}/$$; {GOES_ON}")
    asker.still_answers()
    asker.process.send_signal(signal.SIGSTOP)
    with Path(os.devnull).open("wb") as null:
        for _ in range(2):
            message = b'{"do": "capture", "options": []}'
            socket.send_fds(asker.socket, [message], [null.fileno(), null.fileno()])
    asker.socket.close()
    asker.process.send_signal(signal.SIGCONT)
    assert asker.end() == ""
    assert asker.process.returncode == 0
    assert not [path for path in tmp_path.glob("[0-9]*") if psutil.pid_exists(int(path.name))]


def test_when_the_launcher_is_killed_every_dumpcap_ends(start: Start) -> None:
    asker = start(GOES_ON)
    captured = [asker.capture("-q") for _ in range(3)]
    asker.process.kill()
    for one in captured:
        wait_for(lambda pid=one.pid: has_ended(pid))  # type: ignore[misc]
        one.close()


ASKS_AND_WAITS = """
import os, sys, time
from portsentry_py.privsep.client import LauncherClient
client = LauncherClient(sys.argv[1])
pids = [client.capture([sys.argv[1], "-q", "-w", "-"], 2, 2).pid for _ in range(2)]
print(client.pid, *pids, flush=True)
time.sleep(1000)
"""


def test_when_the_asker_is_killed_everything_ends(start: Start, tmp_path: Path) -> None:
    start(GOES_ON)
    command = [sys.executable, "-c", ASKS_AND_WAITS, str(tmp_path / "dumpcap")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        try:
            pids = [int(word) for word in asking.stdout.readline().split()]
            assert len(pids) == 3
            assert not any(map(has_ended, pids))
        finally:
            asking.kill()
    wait_for(lambda: all(map(has_ended, pids)))


def test_a_socket_that_counts_is_opened_and_hears_nothing(start: Start) -> None:
    require_root()
    asker = start(GOES_ON)
    asker.still_answers()
    before = asker.descriptors
    answer, (descriptor,) = asker.say(b'{"do": "count"}')
    assert answer == {}
    asker.still_answers()
    assert asker.descriptors == before
    with socket.socket(fileno=descriptor) as counter:
        assert (counter.family, counter.type) == (socket.AF_PACKET, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unix:
            unix.sendto(b"x", ("127.0.0.1", 9))
        counter.setblocking(False)
        with pytest.raises(BlockingIOError):
            counter.recv(1)


def test_without_the_right_no_socket_is_opened() -> None:
    require_root()
    asker = Asker("/bin/true", *AS_NOBODY, python=python_for_all())
    answer, given = asker.say(b'{"do": "count"}')
    assert (answer["errno"], given) == (errno.EPERM, [])
    asker.still_answers()
    assert asker.end() == ""


def test_an_ordinary_user_with_the_right_to_capture_captures() -> None:
    require_root()
    dumpcap = require_tool("dumpcap")
    asker = Asker(dumpcap, *AS_NOBODY, *NET_RIGHTS, python=python_for_all())
    captured = asker.capture("-q", "-s", "128", "-B", "1", "-i", "lo", "-f", "udp port 40123")
    assert "pid" in captured.answer, captured.answer
    assert psutil.Process(captured.pid).uids().real == 65534
    seen = b""
    fcntl.fcntl(captured.output, fcntl.F_SETFL, os.O_NONBLOCK)

    def sees() -> bool:
        nonlocal seen
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"here I am", ("127.0.0.1", 40123))
        select.select([captured.output], [], [], 0.2)
        try:
            seen += os.read(captured.output, 65_536)
        except BlockingIOError:
            return False
        return b"here I am" in seen

    wait_for(sees)
    _, (descriptor,) = asker.say(b'{"do": "count"}')
    os.close(descriptor)
    asker.end()
    assert has_ended(captured.pid)
    captured.close()
