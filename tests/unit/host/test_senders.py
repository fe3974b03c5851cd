"""Who may send what a scan by this host sends: read from a /proc of the test, and once from the real one."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from portsentry_py.events.model import Proto, ScanEvent, ScanType
from portsentry_py.host.senders import senders
from tests.support.build import HOST, SCANNER, refused, scans, strict, syn, watch

NOBODY = 54_321
INET = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
PACKET = "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"


def row(remote_port: int, inode: int, *, state: str = "02", uid: int = 0) -> str:
    ends, queues = f"0A0000C0:9C40 09007133:{remote_port:04X} {state}", "00000001:00000000 01:00000064 00000003"
    return f"   0: {ends} {queues} {uid} 0 {inode} 2\n"


def packet_row(inode: int, *, uid: int = 0) -> str:
    return f"ffff8880 3      3    0003   2     1 0      {uid}      {inode}\n"


def line(proto: Proto = "tcp", scan_type: ScanType = "connect", port: int = 22, src: str = HOST) -> ScanEvent:
    (scan, *_) = scans(watch(strict(), refused(syn(SCANNER, 20, 21, 22, 23))))
    return replace(scan, proto=proto, scan_type=scan_type, dest_port=port, src_ip=src, direction="outbound")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    return tmp_path


def table(proc: Path, name: str, *rows: str) -> None:
    (proc / "net" / name).write_text((PACKET if name == "packet" else INET) + "".join(rows), encoding="ascii")


def process(proc: Path, pid: int, name: str, *inodes: int) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(f"{name}\n", encoding="utf-8")
    (proc / str(pid) / "fd" / "0").symlink_to("/dev/null")
    for nth, inode in enumerate(inodes, 3):
        (proc / str(pid) / "fd" / str(nth)).symlink_to(f"socket:[{inode}]")


def named(proc: Path, one: ScanEvent) -> str:
    return senders(one, {HOST}, proc)


def test_the_process_that_connects_to_the_port_is_named_with_its_user(proc: Path) -> None:
    table(proc, "tcp", row(22, 7), row(22, 8), row(443, 9), row(22, 10, state="01"))
    table(proc, "tcp6", row(22, 11, uid=NOBODY))
    process(proc, 40, "worm", 7, 8)
    process(proc, 41, "browser", 9, 10)
    process(proc, 42, "script", 11)
    assert named(proc, line()) == f"worm (pid 40, user root), script (pid 42, user {NOBODY})"
    assert (
        named(proc, line(port=80))
        == "worm (pid 40, user root), browser (pid 41, user root), script (pid 42, user 54321)"
    )


def test_raw_probes_come_from_raw_and_packet_sockets_and_the_sensors_own_are_the_last_suspects(proc: Path) -> None:
    table(proc, "tcp", row(22, 7))
    table(proc, "raw", row(0, 20, state="07"))
    table(proc, "packet", packet_row(21), packet_row(22), "broken\n")
    process(proc, 50, "dumpcap", 22)
    process(proc, 51, "zmap", 21)
    process(proc, 52, "nmap", 20)
    assert named(proc, line(scan_type="syn")) == "nmap (pid 52, user root), zmap (pid 51, user root)"
    assert named(proc, line("icmp", "icmp", 8)) == named(proc, line(scan_type="syn"))
    (proc / "51" / "fd" / "3").unlink()
    (proc / "52" / "fd" / "3").unlink()
    table(proc, "raw")
    table(proc, "packet", packet_row(22))
    assert named(proc, line(scan_type="syn")) == "dumpcap (pid 50, user root)"


def test_datagrams_come_from_a_socket_that_is_connected_to_the_port(proc: Path) -> None:
    table(proc, "udp", row(0, 7), row(161, 8))
    process(proc, 60, "poller", 7, 8)
    assert named(proc, line("udp", "udp", 161)) == "poller (pid 60, user root)"


def test_a_process_that_cannot_be_seen_is_known_by_its_user_and_the_reason_is_given(proc: Path) -> None:
    table(proc, "tcp", row(22, 7, uid=NOBODY))
    assert named(proc, line()) == (
        "a process of user 54321 (only root sees the processes of others: run `portsentry-py status` as root)"
    )


def test_without_such_a_socket_nobody_is_named(proc: Path) -> None:
    assert named(proc, line()) == "a process that is not known, because no socket is open now that could send it"


def test_a_host_behind_this_one_is_named_by_its_address(proc: Path) -> None:
    assert named(proc, line(src="192.0.2.77")) == "192.0.2.77, a host behind this one"


def test_a_process_may_end_while_it_is_read(proc: Path) -> None:
    table(proc, "tcp", row(22, 7))
    process(proc, 70, "gone", 7)
    (proc / "70" / "comm").unlink()
    (proc / "70" / "fd" / "9").write_text("", encoding="ascii")
    assert named(proc, line()) == "an ended process (pid 70, user root)"


def test_the_real_tables_name_this_process() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("127.0.0.1", 47_999))
        assert f"(pid {os.getpid()}, user " in senders(line("udp", "udp", 47_999), {HOST})
