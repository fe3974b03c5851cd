"""One dumpcap and one tshark, played by shell scripts."""

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from portsentry_py.capture import worker as working
from portsentry_py.capture.worker import Worker, reason_in
from tests.support.build import SCANNER, syn
from tests.support.waiting import wait_for

FIRST, SECOND, THIRD = (f"1700000000.{n:06d}\tx{n}" for n in (1, 2, 3))
READY = "echo 'File: -' >&2"
GOES_ON = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
Start = Callable[..., Worker]
MIB = 1 << 20


@pytest.fixture
def start() -> Iterator[Start]:
    """Start workers whose dumpcap runs these commands; they are stopped in the end."""
    started: list[Worker] = []

    def worker(*commands: str, tshark: str = "cat") -> Worker:
        script = "\n".join(commands)
        started.append(Worker(["sh", "-c", script], ["sh", "-c", tshark]))
        return started[-1]

    yield worker
    for one in started:
        one.stop()


def printed(*lines: str) -> str:
    return "".join(f"echo '{line}'\n" for line in lines)


def columns(micros: int, port: int, interface: str = "eth0") -> str:
    """A line with the columns that tshark prints."""
    return replace(syn(SCANNER, port, at=micros / 1e6)[0], iface=interface).line


def gathered(worker: Worker, count: int) -> list[str]:
    """The first lines, in as many reads as it takes."""
    found: list[str] = []

    def enough() -> bool:
        found.extend(worker.read())
        return len(found) >= count

    wait_for(enough)
    return found


def test_lines_from_before_it_is_ready_are_kept(start: Start) -> None:
    worker = start(printed(FIRST, SECOND), "sleep 0.1", READY, GOES_ON)
    wait_for(worker.check_start)
    assert gathered(worker, 2) == [FIRST, SECOND]
    assert worker.read() == []
    worker = start(printed(FIRST), "sleep 0.1", READY, GOES_ON)
    wait_for(worker.check_start)
    assert worker.stop() == [FIRST]


@pytest.mark.parametrize("command", ["exit 1", GOES_ON])
def test_a_dumpcap_that_does_not_capture_is_noticed(start: Start, command: str) -> None:
    worker = start(command)
    wait_for(lambda: worker.check_start() is None or command == GOES_ON)
    assert not worker.check_start()


def test_what_another_worker_delivered_is_skipped(start: Start) -> None:
    worker = start(printed(FIRST, SECOND, THIRD, SECOND), READY, GOES_ON)
    worker.skip_until({"": SECOND})
    assert gathered(worker, 2) == [THIRD, SECOND]
    worker = start(printed(FIRST, SECOND, THIRD), READY, GOES_ON)
    worker.skip_until({"": THIRD})
    wait_for(worker.check_start)
    assert worker.stop() == []


def test_what_tshark_grows_by_counts_from_its_first_line(start: Start, tmp_path: Path) -> None:
    go = tmp_path / "go"
    waits = f"until [ -e {shlex.quote(str(go))} ]; do sleep 0.05; done"
    program = [
        "print(input(), flush=True)",
        "line = input()",
        f"x = b'x' * {50 * MIB}",
        "print(line, flush=True)",
        "input()",
    ]
    tshark = shlex.join([sys.executable, "-c", "\n".join(program)])
    worker = start(printed(FIRST), waits, printed(SECOND), READY, GOES_ON, tshark=f"exec {tshark}")
    assert worker.tshark_growth_bytes == 0, "nothing is known of it yet"
    gathered(worker, 1)
    assert worker.tshark_growth_bytes < 2 * MIB < worker.tshark_bytes
    go.touch()
    gathered(worker, 1)
    assert 48 * MIB < worker.tshark_growth_bytes < worker.tshark_bytes


def test_the_same_packet_is_skipped_although_each_capture_has_its_own_time(start: Start) -> None:
    """The next packet may have a time that is not later than that of the last one in the other capture."""
    mine = [columns(at, port) for at, port in ((100, 1), (200, 2), (210, 3), (500, 4))]
    worker = start(printed(*mine), READY, GOES_ON)
    worker.skip_until({"eth0": columns(215, 2)})
    assert gathered(worker, 2) == mine[2:]
    worker = start(printed(*mine), READY, GOES_ON)
    worker.skip_until({"eth0": columns(215, 9)})
    assert gathered(worker, 1) == mine[3:], "it did not receive that one"
    again = [columns(100, 1), columns(100 + 2000, 1), columns(100 + 4000, 1)]
    worker = start(printed(*again), READY, GOES_ON)
    worker.skip_until({"eth0": columns(100 + 2000, 1)})
    assert gathered(worker, 1) == again[2:], "a packet that looks the same is another one"


def test_each_interface_has_its_own_last_line(start: Start) -> None:
    received = ((100, "eth1"), (200, "eth0"), (300, "eth2"), (400, "eth0"), (500, "eth1"))
    mine = [columns(at, at, interface) for at, interface in received]
    worker = start(printed(*mine), READY, GOES_ON)
    worker.skip_until({"eth0": mine[3], "eth1": mine[0]})
    assert gathered(worker, 2) == [mine[2], mine[4]]


def test_the_last_line_of_each_interface_is_remembered(start: Start) -> None:
    lines = [columns(at, 1, f"eth{at % 2}") for at in range(5)]
    worker = start(printed(*lines, "torn"), READY, GOES_ON)
    last = worker.record_last_lines()
    gathered(worker, 6)
    assert last == {"eth0": lines[4], "eth1": lines[3], "": "torn"}


def test_skipping_ends_after_a_while(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "_MAX_OVERLAP_SECONDS", -1.0)
    worker = start(printed(FIRST), READY, GOES_ON)
    worker.skip_until({"": SECOND, "eth0": SECOND})
    assert gathered(worker, 1) == [FIRST]
    assert not worker._overlap._last_lines


def test_a_clock_that_was_set_back_ends_skipping(start: Start) -> None:
    much_earlier = "1600000000.000000\tx"
    worker = start(printed(much_earlier, FIRST), READY, GOES_ON)
    worker.skip_until({"": SECOND})
    assert gathered(worker, 2) == [much_earlier, FIRST]


def test_the_lag_is_that_of_the_newest_line(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_005.0)
    worker = start(printed(FIRST, "1700000003.000000\tx"), READY, GOES_ON)
    assert worker.lag is None
    gathered(worker, 2)
    assert worker.lag == 2.0
    assert worker.read() == []
    assert worker.lag == 2.0, "a moment without lines says nothing"
    monkeypatch.setattr(working, "_SILENT_SECONDS", 0.0)
    assert worker.lag is None


@pytest.mark.parametrize(("dumpcap", "tshark", "ended"), [("exit 1", "cat", "dumpcap"), (GOES_ON, "exit 1", "tshark")])
def test_the_process_that_ended_first_is_named(start: Start, dumpcap: str, tshark: str, ended: str) -> None:
    worker = start(dumpcap, tshark=tshark)
    wait_for(lambda: worker.read() == [] and worker.ended == f"{ended}_ended")


def test_a_tshark_that_closes_its_output_has_ended(start: Start) -> None:
    worker = start(READY, GOES_ON, tshark="exec >&- 2>&-; sleep 60")
    wait_for(lambda: worker.read() == [] and worker.ended == "tshark_ended")


def test_drops_are_the_sum_over_all_interfaces(start: Start) -> None:
    counts = [f"Packets received/dropped on interface '{name}': 9/{n} (pcap:{n})" for name, n in (("a", 3), ("b c", 4))]
    worker = start(*(f'echo "{line}" >&2' for line in counts), READY, GOES_ON)
    wait_for(worker.check_start)
    assert worker.dropped == 7
    assert start(READY, GOES_ON).dropped == 0


def test_the_reason_is_dumpcaps_or_else_tsharks(start: Start) -> None:
    def ended(dumpcap: str) -> Worker:
        worker = start(f"{dumpcap} >&2; exit 1", tshark="echo 'tshark: what?' >&2")
        wait_for(lambda: worker.read() == [] and worker.ended == "dumpcap_ended")
        worker.stop()
        return worker

    assert ended("echo 'dumpcap: The network went down.'").end_reason == "The network went down"
    assert ended("true").end_reason == "what?"
    assert ended('echo "You don\'t have permission to capture"').lacks_permission
    assert not ended("true").lacks_permission


def test_noise_is_no_reason() -> None:
    errors = [
        'Running as user "root"',
        "Capturing on 'lo'",
        "File: -",
        "Packets captured: 5",
        "",
        "tshark: ",
        "dumpcap: One.",
        "Two.",
        "Three.",
    ]
    assert reason_in(errors) == "One. Two"
    assert reason_in(errors[:6]) == ""


def test_a_worker_whose_tshark_does_not_start_has_ended() -> None:
    worker = Worker(["sh", "-c", f"{READY}; {GOES_ON}"], ["/nonexistent"], decode=False)
    wait_for(worker.check_start)
    assert worker.ended is None
    worker.start_tshark()
    assert worker.ended == "tshark_ended"
    assert worker.end_reason == "tshark does not start: No such file or directory"
    assert worker.read() == []
    assert worker.stop() == []
    assert worker.ended == "tshark_ended"
