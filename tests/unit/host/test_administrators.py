"""Who is logged in, by the files of a made-up host."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from portsentry_py.host.administrators import administrators, can_tell_logins, sshd_ports
from portsentry_py.host.sockets import Connection

PEER, PEER6 = "203.0.113.9", "2001:db8::9"
SSHD_UID, USER = 104, 1000
LISTENER, SESSION, CHILD, HELPER = 100, 200, 201, 202
PROGRAM, SHELL = "/usr/sbin/sshd", "/bin/bash"
NOBODY = frozenset[str]()


class Machine:
    """Files as a kernel and a login manager write them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("etc/passwd", f"root:x:0:0:root:/root:/bin/bash\nsshd:x:{SSHD_UID}:65534::/run/sshd:/bin/false\n")
        self.process(LISTENER, PROGRAM, 0, parent=1)

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def session(self, name: str, **facts: str) -> None:
        """A session of the login manager."""
        facts = {"UID": "1000", "STATE": "active", "REMOTE": "1", "CLASS": "user", "SERVICE": "sshd"} | facts
        self.write(f"run/systemd/sessions/{name}", "".join(f"{key}={value}\n" for key, value in facts.items()))

    def process(self, pid: int, program: str, uid: int, *, parent: int, children: tuple[int, ...] = ()) -> None:
        """A process."""
        self.write(f"proc/{pid}/status", f"Name:\tsshd\nPPid:\t{parent}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        self.write(f"proc/{pid}/task/{pid}/children", " ".join(map(str, children)))
        (self.root / f"proc/{pid}/exe").symlink_to(program)

    def logged_in(self, port: int = 2222, *, held_by: int = SESSION) -> frozenset[str]:
        """With a connection that this process holds; process 200 forwards port 8080, and sshd listens on 2222."""
        sshd = sshd_ports([(LISTENER, 2222), (SESSION, 8080)], self.root)
        return administrators([Connection(held_by, port, PEER)], sshd, self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A host on which nobody is logged in."""
    return Machine(tmp_path)


def test_nobody_is_logged_in_where_nothing_can_be_read(tmp_path: Path) -> None:
    held = [Connection(SESSION, 22, PEER), Connection(None, 22, PEER)]
    sshd = sshd_ports([(LISTENER, 2222)], tmp_path / "nowhere")
    assert sshd == {22}
    assert administrators(held, sshd, tmp_path / "nowhere") == NOBODY


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"REMOTE_HOST": PEER}, {PEER}),
        ({"REMOTE_HOST": PEER6}, {PEER6}),
        ({"REMOTE_HOST": "fe80::9%eth0", "STATE": "online"}, {"fe80::9"}),
        ({"REMOTE_HOST": f"::ffff:{PEER}"}, {PEER}),
        ({"REMOTE_HOST": PEER, "STATE": "closing"}, NOBODY),
        ({"REMOTE_HOST": PEER, "REMOTE": "0"}, NOBODY),
        ({"REMOTE_HOST": "office.example"}, NOBODY),
        ({}, NOBODY),
    ],
)
def test_remote_sessions_of_the_login_manager_are_logins(
    machine: Machine, facts: dict[str, str], expected: set[str]
) -> None:
    machine.session("7", **facts)
    machine.session("8")
    assert machine.logged_in() == expected


def record(kind: int, pid: int, host: bytes, address: bytes, *, wide: bool) -> bytes:
    exit_session_and_time = bytes(28 if wide else 16)
    packed = struct.pack("=h2xi", kind, pid) + bytes(68) + host.ljust(256, b"\0") + exit_session_and_time
    return packed + address.ljust(16, b"\0") + bytes(24 if wide else 20)


@pytest.mark.parametrize("wide", [False, True])
def test_login_records_of_running_processes_are_logins(machine: Machine, *, wide: bool) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    v6 = bytes.fromhex("20010db8000000000000000000000009")
    records = (
        record(7, os.getpid(), b"whatever", bytes((203, 0, 113, 9)), wide=wide),
        record(7, os.getpid(), b"", v6, wide=wide),
        record(7, os.getpid(), b"203.0.113.66", b"", wide=wide),
        record(7, ended.pid, b"", bytes((203, 0, 113, 67)), wide=wide),
        record(8, os.getpid(), b"", bytes((203, 0, 113, 68)), wide=wide),
        *[record(0, 0, b"", b"", wide=wide)] * (3 if wide else 2),
    )
    machine.write("run/utmp", "")
    (machine.root / "run/utmp").write_bytes(b"".join(records))
    assert machine.logged_in() == {PEER, PEER6}


def test_broken_login_records_are_none(machine: Machine) -> None:
    machine.write("run/utmp", "x" * 383)
    assert machine.logged_in() == NOBODY


def test_a_client_that_is_connected_and_not_logged_in_is_no_administrator(machine: Machine) -> None:
    machine.process(SESSION, PROGRAM, 0, parent=LISTENER)
    assert machine.logged_in() == NOBODY


@pytest.mark.parametrize("helper", [("/usr/sbin/unix_chkpwd", 0), ("/usr/bin/keys", 65534), (PROGRAM, 0)])
def test_a_client_that_tries_passwords_is_no_administrator(machine: Machine, helper: tuple[str, int]) -> None:
    machine.process(SESSION, PROGRAM, 0, parent=LISTENER, children=(CHILD, HELPER))
    machine.process(CHILD, PROGRAM, SSHD_UID, parent=SESSION)
    machine.process(HELPER, *helper, parent=SESSION)
    assert machine.logged_in() == NOBODY
    assert machine.logged_in(held_by=CHILD) == NOBODY


@pytest.mark.parametrize("program", [PROGRAM, "/usr/lib/openssh/sshd-session", f"{PROGRAM} (deleted)"])
@pytest.mark.parametrize("child", ["user", "root"])
def test_a_session_of_sshd_is_a_login(machine: Machine, program: str, child: str) -> None:
    machine.process(SESSION, program, 0, parent=LISTENER, children=(CHILD,))
    machine.process(CHILD, *((program, USER) if child == "user" else (SHELL, 0)), parent=SESSION)
    assert machine.logged_in() == {PEER}
    assert machine.logged_in(held_by=CHILD) == {PEER}, "both hold it"
    assert machine.logged_in(8080) == NOBODY, "a port that the session forwards"


@pytest.mark.parametrize(("program", "uid"), [("/home/mallory/sshd", USER), ("/usr/bin/python3", 0)])
def test_a_program_that_calls_itself_sshd_is_none(machine: Machine, program: str, uid: int) -> None:
    machine.process(SESSION, program, uid, parent=LISTENER, children=(CHILD,))
    machine.process(CHILD, program, uid or USER, parent=SESSION)
    assert machine.logged_in() == NOBODY


def test_without_the_user_of_sshd_no_login_is_known(machine: Machine) -> None:
    machine.process(SESSION, PROGRAM, 0, parent=LISTENER, children=(CHILD,))
    machine.process(CHILD, PROGRAM, USER, parent=SESSION)
    machine.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    assert machine.logged_in() == NOBODY


@pytest.mark.parametrize("place", ["run/systemd/sessions/7", "run/utmp", ""])
@pytest.mark.parametrize("user", [0, 1000])
def test_logins_can_be_told_by_root_or_where_they_are_written_down(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, place: str, user: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if place:
        machine.write(place, "")
    assert can_tell_logins(machine.root) is (user == 0 or bool(place))
