"""Asking the launcher: what it started can be watched and ended, and a launcher that died is replaced."""

from __future__ import annotations

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

from portsentry_py.errors import RightsLost
from portsentry_py.privsep.client import Launched, LauncherClient
from tests.support.needs import require_root, require_tool
from tests.support.other_users import AS_NOBODY, NET_RIGHTS, python_for_all
from tests.support.paths import ROOT
from tests.support.processes import capabilities, has_ended, open_files, status_of
from tests.support.waiting import wait_for

Start = Callable[[str], LauncherClient]

GOES_ON = "exec sleep 1000"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give clients of launchers whose dumpcap is a shell script; nothing that they started may be left."""
    clients: list[LauncherClient] = []

    def client(script: str) -> LauncherClient:
        program(tmp_path, script)
        clients.append(LauncherClient(str(tmp_path / "dumpcap")))
        return clients[-1]

    before = {child.pid for child in psutil.Process().children()}
    yield client
    for one in clients:
        one.close()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left


def program(folder: Path, script: str) -> None:
    """Let this be dumpcap."""
    (folder / "dumpcap").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "dumpcap").chmod(0o755)


def launched(client: LauncherClient, *options: str) -> Launched:
    """A dumpcap whose words nobody hears."""
    with Path(os.devnull).open("wb") as null:
        command = [client._dumpcap, *options, "-w", "-"]
        return client.capture(command, null.fileno(), null.fileno())


def test_what_was_started_writes_where_it_was_told(start: Start) -> None:
    client = start('echo "$@"; echo words >&2')
    readers = [os.pipe(), os.pipe()]
    command = [client._dumpcap, "-q", "-i", "lo", "-f", "udp", "-w", "-"]
    process = client.capture(command, readers[0][1], readers[1][1])
    said = []
    for reader, writer in readers:
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as file:
            said.append(file.read())
    assert said == ["-q -i lo -f udp -w -\n", "words\n"]
    assert process.wait() == 0


def test_it_runs_until_it_has_ended(start: Start) -> None:
    process = launched(start(GOES_ON))
    assert process.poll() is None
    assert psutil.Process(process.pid).is_running()
    process.kill()
    assert process.wait() == 0
    assert process.poll() == 0
    assert process.wait() == 0
    wait_for(lambda: not psutil.pid_exists(process.pid))


def test_a_signal_reaches_it(start: Start) -> None:
    process = launched(start("trap 'exit 7' TERM; while :; do sleep 0.05; done"))
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert has_ended(process.pid)


def test_one_that_has_ended_gets_no_signal(start: Start) -> None:
    process = launched(start("exit 0"))
    process.wait()
    process.send_signal(signal.SIGTERM)
    process.kill()


def test_one_that_ends_just_before_a_signal_is_fine(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = launched(start("exit 0"))
    wait_for(lambda: not psutil.pid_exists(process.pid))
    with monkeypatch.context() as late:
        late.setattr(process, "poll", lambda: None)  # it was asked a moment ago
        process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_what_watches_it_is_closed_once_it_has_ended(start: Start) -> None:
    client = start("exit 0")
    before = open_files()
    process = launched(client)
    assert len(open_files()) == len(before) + 1
    process.wait()
    assert open_files() == before


def test_two_hundred_starts_leave_nothing_open(start: Start) -> None:
    client = start("exit 0")
    launched(client).wait()
    before, theirs = open_files(), Path(f"/proc/{client.pid}/fd")
    wait_for(lambda: len(list(theirs.iterdir())) == 4)
    for _ in range(200):
        process = launched(client)
        process.kill()
        process.wait()
    assert open_files() == before
    wait_for(lambda: len(list(theirs.iterdir())) == 4)
    assert psutil.Process(client.pid).children() == []


def test_no_other_program_is_asked_for(start: Start) -> None:
    client = start(GOES_ON)
    for command in (["/bin/sh", "-w", "-"], [client._dumpcap, "-w", "/etc/x"], [client._dumpcap]):
        with pytest.raises(ValueError, match=r"dumpcap|sh"):
            client.capture(command, 1, 2)


@pytest.mark.parametrize(
    ("options", "error"), [(["-p"], errno.EINVAL), (["-f", "x" * 150_000], errno.E2BIG)], ids=["-p", "-f"]
)
def test_what_is_refused_is_an_error_with_its_number(start: Start, options: list[str], error: int) -> None:
    client = start(GOES_ON)
    with pytest.raises(OSError, match=r".") as caught:
        launched(client, *options)
    assert caught.value.errno == error
    assert launched(client).poll() is None, "the next one is started"


def test_what_is_too_long_for_a_message_is_an_error(start: Start) -> None:
    client = start(GOES_ON)
    pid = client.pid
    with pytest.raises(OSError, match=r".") as caught:
        launched(client, "-f", "x" * 1_000_000)
    assert caught.value.errno == errno.EMSGSIZE
    assert launched(client).poll() is None
    assert client.pid == pid


def test_a_dumpcap_that_is_missing_is_told_by_its_name(start: Start, tmp_path: Path) -> None:
    client = start(GOES_ON)
    (tmp_path / "dumpcap").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        launched(client)
    assert caught.value.filename == str(tmp_path / "dumpcap")


def test_one_that_may_not_be_run_is_told(start: Start, tmp_path: Path) -> None:
    client = start(GOES_ON)
    (tmp_path / "dumpcap").chmod(0o644)
    with pytest.raises(PermissionError):
        launched(client)


def test_a_launcher_that_died_is_replaced(start: Start) -> None:
    client = start(GOES_ON)
    first, process = client.pid, launched(client)
    os.kill(first, signal.SIGKILL)
    process.wait()
    again = launched(client)
    assert again.poll() is None
    assert client.pid != first
    assert not psutil.pid_exists(first), "collected"


def test_one_whose_successor_dies_too_is_an_error(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried for ever."""
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


def test_without_the_rights_to_start_another_they_are_lost(start: Start) -> None:
    client = start(GOES_ON)
    client.irreplaceable = True
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(RightsLost, match="restart portsentry-py"):
            launched(client)
        with pytest.raises(RightsLost):
            client.counter()
    assert client.pid == pid


def test_a_launcher_that_dies_before_it_answers_is_replaced_too(start: Start) -> None:
    client = start(GOES_ON)
    launched(client).kill()
    first = client.pid
    os.kill(first, signal.SIGSTOP)
    with subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -KILL {first}"]):
        assert launched(client).poll() is None
    assert client.pid != first


def test_when_it_is_closed_all_have_ended(start: Start) -> None:
    client = start(GOES_ON)
    processes = [launched(client) for _ in range(3)]
    pid = client.pid
    client.close()
    client.close()
    assert [process.poll() for process in processes] == [0, 0, 0]
    assert not psutil.pid_exists(pid)


def test_it_counts_what_it_is_told_to(start: Start) -> None:
    require_root()
    before = open_files()
    client = start(GOES_ON)
    with client.counter() as counter:
        assert counter.family == socket.AF_PACKET
    client.close()
    assert open_files() == before


def test_without_room_for_another_descriptor_the_answer_is_an_error(start: Start) -> None:
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
from portsentry_py.privsep.capabilities import drop_privileges
client = LauncherClient(sys.argv[1])
client.irreplaceable = drop_privileges()
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
print(json.dumps([client.irreplaceable, b"here I am" in seen]))
print(open("/proc/self/status").read())
"""


def test_whoever_gave_up_its_rights_captures_through_the_launcher() -> None:
    require_root()
    command = [*AS_NOBODY, *NET_RIGHTS, python_for_all(), "-I", "-S", "-c", CAPTURES, require_tool("dumpcap")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    said, _, status = done.stdout.partition("\n")
    assert json.loads(said) == [True, True]
    assert capabilities(status_of(status)) == [0, 0, 0, 0]
