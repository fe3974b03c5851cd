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
from portsentry_py.privsep.launcher import check_options
from tests.support.needs import require_root, require_tool
from tests.support.other_users import AS_NOBODY, NET_RIGHTS, python_for_all
from tests.support.processes import WITHOUT_SIGNALS, has_ended, status_of
from tests.support.programs import write_program
from tests.support.refused_calls import refusing
from tests.support.waiting import wait_for

GOES_ON = "exec sleep 1000"
INVALID = errno.EINVAL


class Client:
    """A launcher, and our end of its socket."""

    def __init__(self, dumpcap: Path | str, *before: str, python: str = sys.executable) -> None:
        self.dumpcap = dumpcap
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(30)
        with theirs:
            command = [*before, python, "-I", "-S", launcher.__file__, str(dumpcap), str(theirs.fileno())]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
            )

    def request(self, message: bytes, *descriptors: int) -> tuple[dict[str, object], list[int]]:
        """Send a message as it is; returns the answer."""
        socket.send_fds(self.socket, [message], descriptors)
        answer, given, _, _ = socket.recv_fds(self.socket, launcher.MAX_MESSAGE, 4)
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found, given

    def capture(self, *options: str) -> Captured:
        """Request a dumpcap."""
        return Captured(self, options)

    def still_answers(self) -> None:
        """Check that it does, whatever was requested before."""
        assert self.process.poll() is None
        answer, given = self.request(b'{"do": "capture", "options": ["-p"]}')
        assert (answer["errno"], given) == (INVALID, [])

    @property
    def descriptors(self) -> int:
        """How many descriptors the launcher has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def close(self) -> str:
        """Close the socket; returns what the launcher wrote to stderr."""
        self.socket.close()
        _, errors = self.process.communicate(timeout=30)
        return str(errors, "utf-8")


class Captured:
    """A dumpcap that was requested; its standard output and standard error are one pipe."""

    def __init__(self, client: Client, options: Sequence[str]) -> None:
        self.output, writer = os.pipe()
        try:
            message = json.dumps({"do": "capture", "options": options}).encode()
            self.answer, self.given = client.request(message, writer, writer)
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
        """Everything that it writes until it ends."""
        with os.fdopen(os.dup(self.output), encoding="utf-8") as file:
            return file.read()

    def close(self) -> None:
        """Close its descriptors."""
        for descriptor in (self.output, *self.given):
            os.close(descriptor)


Start = Callable[..., Client]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start launchers whose dumpcap is a shell script; afterwards none of their processes may be left."""
    started: list[Client] = []

    def launch(script: str, *before: str) -> Client:
        dumpcap = write_program(tmp_path / "dumpcap", f"#!/bin/sh\n{script}\n")
        started.append(Client(dumpcap, *before))
        return started[-1]

    before = {child.pid for child in psutil.Process().children()}
    yield launch
    for one in started:
        one.close()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left


def test_dumpcap_gets_the_options_and_writes_to_its_output(start: Start) -> None:
    options = ["-q", "-s", "128", "-B", "4", "-C", "4194304", "-i", "any", "-f", "udp and (not port 53)"]
    captured = start('printf "<%s>" "$@"').capture(*options)
    assert captured.written == "".join(f"<{word}>" for word in [*options, "-w", "-"])
    captured.close()


@pytest.mark.parametrize("before", [(), WITHOUT_SIGNALS], ids=["plain", "signals ignored"])
def test_dumpcap_inherits_nothing_that_it_does_not_need(start: Start, before: tuple[str, ...]) -> None:
    """No socket of ours, no descriptor of another dumpcap, no signal that is ignored or blocked."""
    client = start(
        '[ "$2" = 2 ] || exec sleep 1000\npwd; readlink /proc/$$/fd/*; exec cat /proc/self/status /proc/self/stat',
        *before,
    )
    others = [client.capture("-s", "1") for _ in range(3)]
    captured = client.capture("-s", "2")
    written = captured.written.splitlines()
    assert written[0] == "/"
    open_files = [line for line in written[1:] if line.startswith(("/", "pipe:", "socket:", "anon_inode:"))]
    assert open_files[0] == "/dev/null"
    script = str(client.dumpcap)  # the shell has it open
    assert {name.split(":")[0] for name in open_files[1:]} <= {"pipe", script}
    status = status_of("\n".join(written))
    assert [int(status[name], 16) for name in ("SigIgn", "SigBlk")] == [0, 0]
    session = int(written[-1].rpartition(")")[2].split()[3])
    assert session == captured.pid, "a key pressed in a terminal is not for it"
    wait_for(lambda: has_ended(captured.pid))
    for one in (captured, *others):
        one.close()


def test_a_dumpcap_that_would_outlive_the_launcher_is_not_started(start: Start, tmp_path: Path) -> None:
    client = start(f"touch {tmp_path}/started", *refusing([], "prctl:0=1:EPERM"))
    captured = client.capture("-q")
    assert (captured.answer["errno"], captured.given) == (errno.ECANCELED, [])
    captured.close()
    client.still_answers()
    assert not (tmp_path / "started").exists()


def test_the_answer_is_a_process_number_and_a_pidfd(start: Start) -> None:
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


def test_many_dumpcaps_leave_nothing_behind(start: Start) -> None:
    client = start("exit 3")
    client.still_answers()
    before = client.descriptors
    for _ in range(30):
        captured = client.capture("-q")
        pid = captured.pid
        assert captured.written == ""
        captured.close()
    wait_for(lambda: not psutil.pid_exists(pid) and client.descriptors == before)
    assert psutil.Process(client.process.pid).children() == []


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
    with pytest.raises(ValueError, match="dumpcap may not get"):
        check_options(options)


def test_refused_options_start_nothing(start: Start, tmp_path: Path) -> None:
    client = start(f"touch {tmp_path}/started")
    for options in REFUSED_OPTIONS:
        captured = client.capture(*options)
        assert captured.answer["errno"] == INVALID
        assert captured.given == []
        assert captured.written == ""
        captured.close()
    client.still_answers()
    assert client.close() == ""
    assert not (tmp_path / "started").exists()


def test_the_options_of_the_sensor_are_allowed() -> None:
    check_options([])
    check_options(["-q", "-s", "128", "-B", "2", "-i", "eth0.7", "-f", "", "-i", "wg-home:1", "-f", "-tcp"])


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
def test_a_malformed_request_is_refused(start: Start, message: bytes) -> None:
    client = start(GOES_ON)
    client.still_answers()
    before = client.descriptors
    with Path(os.devnull).open("wb") as null:
        answer, given = client.request(message, null.fileno(), null.fileno())
        assert (answer["errno"], given) == (INVALID, [])
    client.still_answers()
    wait_for(lambda: client.descriptors == before)
    assert psutil.Process(client.process.pid).children() == []
    assert client.close() == ""


@pytest.mark.parametrize("verb", ["exec", "counter", "", None, ["capture"]])
def test_an_unknown_request_starts_nothing(start: Start, verb: object) -> None:
    client = start(GOES_ON)
    with Path(os.devnull).open("wb") as null:
        message = json.dumps({"do": verb, "options": []}).encode()
        answer, given = client.request(message, null.fileno(), null.fileno())
    assert (answer, given) == ({"errno": INVALID, "what": "no such request"}, [])
    assert not psutil.Process(client.process.pid).children()


def test_the_number_of_dumpcaps_is_bounded(start: Start) -> None:
    """Code that has taken over the client must not fill the machine."""
    client = start(GOES_ON)
    captured = [client.capture() for _ in range(launcher._MAX_DUMPCAPS)]
    refused = client.capture()
    assert refused.answer["errno"] == errno.EAGAIN
    os.kill(captured[0].pid, signal.SIGKILL)
    wait_for(lambda: "pid" in client.capture().answer, "room for another")
    for one in (refused, *captured):
        one.close()


def test_the_number_of_packet_sockets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_MAX_COUNTERS_A_MINUTE", 2)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        one = launcher.Launcher("/bin/false", theirs)
        monkeypatch.setattr("time.monotonic", lambda: 60.0)
        one._note_counter()
        one._note_counter()
        with pytest.raises(BlockingIOError):
            one._note_counter()
        monkeypatch.setattr("time.monotonic", lambda: 120.0)
        one._note_counter()


@pytest.mark.parametrize("count", [0, 1])
def test_dumpcap_is_not_started_without_its_descriptors(start: Start, count: int) -> None:
    client = start(GOES_ON)
    with Path(os.devnull).open("wb") as null:
        answer, given = client.request(b'{"do": "capture", "options": []}', *[null.fileno()] * count)
    assert (answer["errno"], given) == (INVALID, [])
    client.still_answers()
    assert psutil.Process(client.process.pid).children() == []


def test_superfluous_descriptors_are_closed(start: Start) -> None:
    client = start("exit 0")
    client.still_answers()
    before = client.descriptors
    with Path(os.devnull).open("wb") as null:
        for number in range(50):
            _, given = client.request(b'{"do": "capture", "options": []}', *[null.fileno()] * (3 + number))
            for descriptor in given:
                os.close(descriptor)
    wait_for(lambda: client.descriptors == before)


def test_a_filter_too_long_for_a_command_line_is_refused(start: Start) -> None:
    captured = start(GOES_ON).capture("-f", "x" * 150_000)
    assert captured.answer["errno"] == errno.E2BIG
    captured.close()


def test_a_missing_dumpcap_is_named(start: Start, tmp_path: Path) -> None:
    client = start(GOES_ON)
    (tmp_path / "dumpcap").unlink()
    captured = client.capture("-q")
    assert captured.answer == {"errno": errno.ENOENT, "what": str(tmp_path / "dumpcap")}
    captured.close()
    client.still_answers()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_launcher_ignores_a_signal_to_the_whole_service(start: Start, number: int) -> None:
    client = start(GOES_ON)
    client.still_answers()
    captured = client.capture("-q")
    client.process.send_signal(number)
    client.still_answers()
    assert not has_ended(captured.pid)
    os.kill(captured.pid, number)
    wait_for(lambda: has_ended(captured.pid))  # dumpcap itself does not ignore it
    captured.close()


def test_everything_ends_when_the_client_closes_its_socket(start: Start) -> None:
    client = start(GOES_ON)
    captured = [client.capture("-q") for _ in range(3)]
    assert client.close() == ""
    assert client.process.returncode == 0
    for one in captured:
        assert not psutil.pid_exists(one.pid), "killed and collected"
        one.close()


def test_a_client_that_leaves_before_the_answer_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    client = start(f"touch {tmp_path}/$$; {GOES_ON}")
    client.still_answers()
    client.process.send_signal(signal.SIGSTOP)
    with Path(os.devnull).open("wb") as null:
        for _ in range(2):
            message = b'{"do": "capture", "options": []}'
            socket.send_fds(client.socket, [message], [null.fileno(), null.fileno()])
    client.socket.close()
    client.process.send_signal(signal.SIGCONT)
    assert client.close() == ""
    assert client.process.returncode == 0
    assert not [path for path in tmp_path.glob("[0-9]*") if psutil.pid_exists(int(path.name))]


def test_every_dumpcap_ends_when_the_launcher_is_killed(start: Start) -> None:
    client = start(GOES_ON)
    captured = [client.capture("-q") for _ in range(3)]
    client.process.kill()
    wait_for(lambda: all(has_ended(one.pid) for one in captured))
    for one in captured:
        one.close()


REQUESTS_AND_WAITS = """
import os, sys, time
from portsentry_py.privsep.client import LauncherClient
client = LauncherClient(sys.argv[1])
pids = [client.capture([sys.argv[1], "-q", "-w", "-"], 2, 2).pid for _ in range(2)]
print(client.pid, *pids, flush=True)
time.sleep(1000)
"""


def test_everything_ends_when_the_client_is_killed(start: Start, tmp_path: Path) -> None:
    start(GOES_ON)
    command = [sys.executable, "-c", REQUESTS_AND_WAITS, str(tmp_path / "dumpcap")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            pids = [int(word) for word in process.stdout.readline().split()]
            assert len(pids) == 3
            assert not any(map(has_ended, pids))
        finally:
            process.kill()
    wait_for(lambda: all(map(has_ended, pids)))


def test_a_packet_socket_receives_nothing_at_first(start: Start) -> None:
    require_root()
    client = start(GOES_ON)
    client.still_answers()
    before = client.descriptors
    answer, (descriptor,) = client.request(b'{"do": "count"}')
    assert answer == {}
    client.still_answers()
    assert client.descriptors == before
    with socket.socket(fileno=descriptor) as counter:
        assert (counter.family, counter.type) == (socket.AF_PACKET, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unix:
            unix.sendto(b"x", ("127.0.0.1", 9))
        counter.setblocking(False)
        with pytest.raises(BlockingIOError):
            counter.recv(1)


def test_a_user_without_rights_gets_no_packet_socket() -> None:
    require_root()
    client = Client("/bin/true", *AS_NOBODY, python=python_for_all())
    answer, given = client.request(b'{"do": "count"}')
    assert (answer["errno"], given) == (errno.EPERM, [])
    client.still_answers()
    assert client.close() == ""


def test_a_user_with_the_right_to_capture_captures() -> None:
    require_root()
    dumpcap = require_tool("dumpcap")
    client = Client(dumpcap, *AS_NOBODY, *NET_RIGHTS, python=python_for_all())
    captured = client.capture("-q", "-s", "128", "-B", "1", "-i", "lo", "-f", "udp port 40123")
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
    _, (descriptor,) = client.request(b'{"do": "count"}')
    os.close(descriptor)
    client.close()
    assert has_ended(captured.pid)
    captured.close()
