"""The client of the launcher: it watches and ends what the launcher started, and replaces a dead launcher."""

import errno
import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from portsentry_py.errors import PermissionDenied, RightsLost
from portsentry_py.privsep.client import Launched, LauncherClient
from tests.support.needs import require_root, require_tool
from tests.support.other_users import AS_NOBODY, NET_RIGHTS, python_for_all
from tests.support.paths import ROOT
from tests.support.processes import capabilities, has_ended, open_files, status_of
from tests.support.programs import write_program
from tests.support.refused_calls import refusing
from tests.support.waiting import wait_for

Start = Callable[[str], LauncherClient]

GOES_ON = "exec sleep 1000"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Make clients of launchers whose dumpcap is a shell script; in the end no process may be left."""
    clients: list[LauncherClient] = []

    def client(script: str) -> LauncherClient:
        dumpcap = write_program(tmp_path / "dumpcap", f"#!/bin/sh\n{script}\n")
        clients.append(LauncherClient(str(dumpcap)))
        return clients[-1]

    before = {child.pid for child in psutil.Process().children()}
    yield client
    for one in clients:
        one.close()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left


def launched(client: LauncherClient, *options: str) -> Launched:
    """A dumpcap whose output nobody reads."""
    with Path(os.devnull).open("wb") as null:
        command = [client._dumpcap, *options, "-w", "-"]
        return client.capture(command, null.fileno(), null.fileno())


def test_dumpcap_writes_to_the_descriptors_that_it_was_given(start: Start) -> None:
    client = start('echo "$@"; echo words >&2')
    readers = [os.pipe(), os.pipe()]
    command = [client._dumpcap, "-q", "-i", "lo", "-f", "udp", "-w", "-"]
    process = client.capture(command, readers[0][1], readers[1][1])
    written = []
    for reader, writer in readers:
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as file:
            written.append(file.read())
    assert written == ["-q -i lo -f udp -w -\n", "words\n"]
    assert process.wait() == 0


def test_a_killed_process_ends_once(start: Start) -> None:
    process = launched(start(GOES_ON))
    assert process.poll() is None
    assert psutil.Process(process.pid).is_running()
    process.kill()
    assert process.wait() == 0
    assert process.poll() == 0
    assert process.wait() == 0
    wait_for(lambda: not psutil.pid_exists(process.pid))


def test_a_signal_reaches_the_process(start: Start) -> None:
    process = launched(start("trap 'exit 7' TERM; while :; do sleep 0.05; done"))
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert has_ended(process.pid)


def test_a_process_that_has_ended_gets_no_signal(start: Start) -> None:
    process = launched(start("exit 0"))
    process.wait()
    process.send_signal(signal.SIGTERM)
    process.kill()


def test_a_process_may_end_just_before_a_signal(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = launched(start("exit 0"))
    wait_for(lambda: not psutil.pid_exists(process.pid))
    with monkeypatch.context() as late:
        late.setattr(process, "poll", lambda: None)  # as it was a moment ago
        process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_the_pidfd_is_closed_once_the_process_has_ended(start: Start) -> None:
    client = start("exit 0")
    before = open_files()
    process = launched(client)
    assert len(open_files()) == len(before) + 1
    process.wait()
    assert open_files() == before


def test_many_starts_leave_nothing_open(start: Start) -> None:
    client = start("exit 0")
    launched(client).wait()
    before, theirs = open_files(), Path(f"/proc/{client.pid}/fd")
    wait_for(lambda: len(list(theirs.iterdir())) == 4)
    for _ in range(50):
        process = launched(client)
        process.kill()
        process.wait()
    assert open_files() == before
    wait_for(lambda: len(list(theirs.iterdir())) == 4)
    assert psutil.Process(client.pid).children() == []


def test_no_other_program_is_requested(start: Start) -> None:
    client = start(GOES_ON)
    for command in (["/bin/sh", "-w", "-"], [client._dumpcap, "-w", "/etc/x"], [client._dumpcap]):
        with pytest.raises(ValueError, match=r"dumpcap|sh"):
            client.capture(command, 1, 2)


@pytest.mark.parametrize(
    ("options", "error"), [(["-p"], errno.EINVAL), (["-f", "x" * 150_000], errno.E2BIG)], ids=["-p", "-f"]
)
def test_a_refusal_is_an_error_with_its_number(start: Start, options: list[str], error: int) -> None:
    client = start(GOES_ON)
    with pytest.raises(OSError, match=r".") as caught:
        launched(client, *options)
    assert caught.value.errno == error
    assert launched(client).poll() is None, "the next one is started"


def test_a_request_that_is_too_long_is_an_error(start: Start) -> None:
    client = start(GOES_ON)
    pid = client.pid
    with pytest.raises(OSError, match=r".") as caught:
        launched(client, "-f", "x" * 1_000_000)
    assert caught.value.errno == errno.EMSGSIZE
    assert launched(client).poll() is None
    assert client.pid == pid


def test_a_missing_dumpcap_is_named(start: Start, tmp_path: Path) -> None:
    client = start(GOES_ON)
    (tmp_path / "dumpcap").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        launched(client)
    assert caught.value.filename == str(tmp_path / "dumpcap")


def test_a_dumpcap_that_may_not_be_run_is_an_error(start: Start, tmp_path: Path) -> None:
    client = start(GOES_ON)
    (tmp_path / "dumpcap").chmod(0o644)
    with pytest.raises(PermissionError):
        launched(client)


def test_a_dead_launcher_is_replaced(start: Start) -> None:
    client = start(GOES_ON)
    first, process = client.pid, launched(client)
    os.kill(first, signal.SIGKILL)
    process.wait()
    again = launched(client)
    assert again.poll() is None
    assert client.pid != first
    assert not psutil.pid_exists(first), "collected"


def test_a_launcher_is_replaced_once_for_each_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(GOES_ON)
    started: list[int] = []

    def start_one_that_dies() -> None:
        LauncherClient._start(client)
        client._process.kill()
        client._process.wait()
        started.append(client.pid)

    monkeypatch.setattr(client, "_start", start_one_that_dies)
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(ProcessLookupError, match="the launcher has ended"):
        launched(client)
    assert len(started) == 1


def test_a_launcher_cannot_be_replaced_after_the_privileges_were_dropped(start: Start) -> None:
    client = start(GOES_ON)
    client._replaceable = False
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(RightsLost, match="restart portsentry-py"):
            launched(client)
        with pytest.raises(RightsLost):
            client.counter()
    assert client.pid == pid


def test_a_launcher_that_dies_before_it_answers_is_replaced(start: Start) -> None:
    client = start(GOES_ON)
    launched(client).kill()
    first = client.pid
    os.kill(first, signal.SIGSTOP)
    with subprocess.Popen(["sh", "-c", f"sleep 0.1; kill -KILL {first}"]):
        assert launched(client).poll() is None
    assert client.pid != first


def test_a_late_answer_is_not_the_answer_to_the_next_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(GOES_ON)
    assert launched(client).poll() is None
    with monkeypatch.context() as patched:
        patched.setattr("portsentry_py.privsep.client._ANSWER_SECONDS", 0.001)  # none starts so fast
        client._socket.settimeout(0.001)
        os.kill(client.pid, signal.SIGSTOP)
        with pytest.raises(ProcessLookupError):
            client.counter()
    assert launched(client).poll() is None


def test_close_ends_the_launcher_and_every_dumpcap(start: Start) -> None:
    client = start(GOES_ON)
    processes = [launched(client) for _ in range(3)]
    pid = client.pid
    client.close()
    client.close()
    assert [process.poll() for process in processes] == [0, 0, 0]
    assert not psutil.pid_exists(pid)


def test_a_counter_is_a_packet_socket(start: Start) -> None:
    require_root()
    before = open_files()
    client = start(GOES_ON)
    with client.counter() as counter:
        assert counter.family == socket.AF_PACKET
    client.close()
    assert open_files() == before


def test_an_answer_without_room_for_its_descriptor_is_an_error(start: Start) -> None:
    client = start("exit 0")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open("wb") as null:
        full = max(int(entry) for entry in open_files()) + 1
        filling = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (full, hard))
        try:
            while True:
                filling.append(os.dup(null.fileno()))
        except OSError:
            with pytest.raises(OSError, match=r".") as caught:
                client.capture([client._dumpcap, "-w", "-"], null.fileno(), null.fileno())
        finally:
            for descriptor in filling:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert launched(client).wait() == 0


CAPTURES = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import json, os, socket, time
from portsentry_py.privsep.client import LauncherClient
client = LauncherClient(sys.argv[1])
client.drop_privileges()
output, writer = os.pipe()
words, their_words = os.pipe()
options = ["-q", "-s", "128", "-B", "1", "-i", "lo", "-f", "udp port 40124", "-w", "-"]
process = client.capture([sys.argv[1], *options], writer, their_words)
os.close(writer), os.close(their_words)
os.set_blocking(output, False)
seen, deadline = b"", time.monotonic() + 30
while b"here I am" not in seen and time.monotonic() < deadline:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"here I am", ("127.0.0.1", 40124))
    time.sleep(0.1)
    try:
        seen += os.read(output, 65536)
    except BlockingIOError:
        pass
client.counter().close()
process.kill()
process.wait()
print(json.dumps([client._replaceable, b"here I am" in seen]))
print(open("/proc/self/status").read())
"""


def test_the_launcher_captures_for_a_process_that_dropped_its_privileges() -> None:
    require_root()
    command = [*AS_NOBODY, *NET_RIGHTS, python_for_all(), "-I", "-S", "-c", CAPTURES, require_tool("dumpcap")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    found, _, status = done.stdout.partition("\n")
    assert json.loads(found) == [False, True]
    assert capabilities(status_of(status)) == [0, 0, 0, 0]


DROPS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.errors import PermissionDenied
client = LauncherClient("/bin/true")
try:
    client.drop_privileges()
except PermissionDenied as error:
    print(error)
    sys.exit(error.exit_code)
finally:
    client.close()
print(f"replaceable:\\t{{client._replaceable}}")
print(open("/proc/self/status").read())
"""
RAW_SOCKET = """
import socket
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    print("raw socket:\\topened")
except PermissionError:
    print("raw socket:\\trefused")
"""
NET_RAW_AND_ADMIN = 1 << 13 | 1 << 12
NONE = [0, 0, 0, 0]


def fields(*before: str, script: str = DROPS + RAW_SOCKET) -> dict[str, str]:
    """What a script prints, as the status of a process."""
    command = [*before, python_for_all(), "-I", "-S", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return status_of(done.stdout)


def test_a_user_without_dropped_privileges_can_capture() -> None:
    """Otherwise the tests below would test nothing."""
    assert fields(*AS_NOBODY, *NET_RIGHTS, script=RAW_SOCKET) == {"raw socket": "opened"}


def test_dropped_privileges_cannot_be_regained() -> None:
    found = fields(*AS_NOBODY, *NET_RIGHTS)
    assert found["replaceable"] == "False"
    assert capabilities(found) == NONE
    assert found["NoNewPrivs"] == "1"
    assert found["raw socket"] == "refused"


def test_capabilities_that_are_only_permitted_are_dropped_too() -> None:
    """They are not effective, but one call would make them so."""
    sleeping = "import ctypes; h=(ctypes.c_uint32*2)(0x20080522, 0); d=(ctypes.c_uint32*6)(0, 1<<13, 0); "
    sleeping += "assert ctypes.CDLL(None).capset(h, d) == 0"
    found = fields(*AS_NOBODY, *NET_RIGHTS, script=f"{sleeping}\n{DROPS}")
    assert found["replaceable"] == "False"
    assert capabilities(found) == NONE


def test_a_user_without_capabilities_has_none_to_drop() -> None:
    found = fields(*AS_NOBODY)
    assert found["replaceable"] == "True"
    assert capabilities(found) == NONE


def test_root_keeps_its_capabilities() -> None:
    found = fields()
    assert found["replaceable"] == "True"
    assert int(found["CapEff"], 16) & NET_RAW_AND_ADMIN == NET_RAW_AND_ADMIN
    assert found["NoNewPrivs"] == "0"
    assert found["raw socket"] == "opened"


def test_children_have_no_capabilities_either() -> None:
    spawn = "import os; os.execv('/bin/cat', ['cat', '/proc/self/status'])"
    found = fields(*AS_NOBODY, *NET_RIGHTS, script=f"{DROPS}\nsys.stdout.flush()\n{spawn}")
    assert found["Name"] == "cat"
    assert capabilities(found) == NONE


@pytest.mark.parametrize(
    ("rule", "call"), [("prctl:0=38:EPERM", "prctl(38)"), ("capset:EPERM", "capset"), ("capget:EIO", "capget")]
)
def test_a_kernel_that_refuses_to_drop_privileges_ends_the_sensor(rule: str, call: str) -> None:
    python = python_for_all()
    refused = refusing([python, "-I", "-S", "-c", DROPS], rule)
    command = [*AS_NOBODY, *NET_RIGHTS, python, *refused[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == PermissionDenied.exit_code, done.stderr
    assert done.stdout.startswith(f"cannot give up capabilities ({call}: ")
