"""Live captures of stand-ins for tshark and dumpcap, and of the real ones."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from portsentry_py.capture import worker as worker_file
from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.live import LiveCapture, _in_order
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Capture
from portsentry_py.errors import CaptureError, PermissionDenied
from portsentry_py.host.interfaces import OTHERS
from portsentry_py.privsep.client import LauncherClient
from tests.support.needs import require_root
from tests.support.programs import fake_capture_tools
from tests.support.waiting import wait_for


def tsharks() -> list[psutil.Process]:
    """All our children that are younger than the launcher."""
    begun = psutil.Process(LAUNCHERS[-1].pid).create_time()
    return [child for child in psutil.Process().children() if child.create_time() > begun]


@pytest.fixture(autouse=True)
def _launchers() -> Iterator[None]:
    """Every launcher ends with the test."""
    yield
    for launcher in LAUNCHERS:
        launcher.close()
    LAUNCHERS.clear()


LAUNCHERS: list[LauncherClient] = []


def live(tools: Tools, *interfaces: str, settings: Capture | None = None) -> LiveCapture:
    """A live capture, of loopback if nothing else is named, with a launcher of its own."""
    LAUNCHERS.append(LauncherClient(tools.dumpcap))
    host = FilterHost(frozenset({"192.0.2.1"}), frozenset({53}))
    capture = LiveCapture(tools, LAUNCHERS[-1], settings or Capture(), interfaces or ["lo"], host)
    capture.wait_until_started()
    return capture


def live_with(script: str, tmp_path: Path) -> LiveCapture:
    # A tshark that ends first would be the reason.
    script = f"case $0 in *tshark) exec cat ;; esac\n{script}"
    return live(fake_capture_tools(tmp_path, script))


def test_a_refused_interface_is_an_error_with_dumpcaps_reason(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot capture on lo: There is no device"):
        live_with("echo 'dumpcap: There is no device named lo.' >&2; exit 1", tmp_path)


def test_a_dumpcap_that_gives_no_reason_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="it gave no reason"):
        live_with("exit 1", tmp_path)


def test_missing_rights_are_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied, match="run as root, or give dumpcap"):
        live_with('echo "You don\'t have permission to capture on that device" >&2; exit 1', tmp_path)


def test_a_dumpcap_that_may_not_be_run_is_missing_rights(tmp_path: Path) -> None:
    tools = fake_capture_tools(tmp_path, "true")
    (tmp_path / "dumpcap").chmod(0o644)
    with pytest.raises(PermissionDenied, match="may not capture on lo"):
        live(tools)


def test_a_missing_dumpcap_is_an_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "dumpcap")
    with pytest.raises(CaptureError, match="cannot start"):
        live(Tools(missing, missing, "4.0.0"))


COUNTS = "Packets received/dropped on interface 'lo': 10/7 (pcap:7/dumpcap:0/flushed:0/ps_ifdrop:0) (58.8%)"
RUNNING = f"""
case $0 in
*dumpcap)
    echo 'File: -' >&2
    trap "echo \\"{COUNTS}\\" >&2; exit 0" TERM
    echo first
    while [ ! -e "$0.die" ]; do sleep 0.05; done
    echo 'dumpcap: The network went down.' >&2
    exit 2 ;;
*) exec cat ;;
esac
"""


def test_a_capture_delivers_lines_until_it_is_stopped(tmp_path: Path) -> None:
    capture = live_with(RUNNING, tmp_path)
    wait_for(lambda: capture.read() == ["first\tlo"])
    assert capture.ended is None
    assert capture.stop() == []
    assert capture.dropped == 7


def test_lines_of_several_interfaces_have_the_one_that_tshark_prints(tmp_path: Path) -> None:
    script = f"case $0 in *tshark) case $* in *frame.interface_name*) exec cat ;; esac; exit 1 ;; esac\n{RUNNING}"
    capture = live(fake_capture_tools(tmp_path, script), "eth0", "eth1")
    wait_for(lambda: capture.read() == ["first"])
    assert capture.complete_until == 0, "they come in any order"
    assert capture.stop() == []


def test_a_capture_that_ends_knows_the_process_and_the_reason(tmp_path: Path) -> None:
    capture = live_with(RUNNING, tmp_path)
    (tmp_path / "dumpcap.die").touch()
    wait_for(lambda: not capture.read() and capture.ended == "dumpcap_ended")
    capture.stop()
    assert "The network went down" in capture.end_reason


def test_the_real_thing_starts_and_stops_on_loopback(tools: Tools) -> None:
    require_root()
    capture = live(tools, settings=Capture(buffer_mib=2))
    assert capture.ended is None
    capture.stop()
    assert capture.dropped == 0
    assert not psutil.Process(LAUNCHERS[-1].pid).children()


@pytest.mark.parametrize("name", ["no_such_if0", "-w", "lo; true"])
def test_a_missing_interface_is_an_error(tools: Tools, name: str) -> None:
    require_root()
    with pytest.raises(CaptureError, match="cannot capture on"):
        live(tools, name)


SHARING = f"""
case $0 in
*dumpcap)
    case $* in
    *'& 1 = 0'*) number=0 ;;
    *) number=1 ;;
    esac
    [ ! -e "$0.refuse$number" ] || {{ echo 'dumpcap: No room for two.' >&2; exit 1; }}
    trap "echo \\"{COUNTS}\\" >&2; exit 0" TERM
    second=1700000000
    for at in 1 3 5; do printf "$second.00000%d\\tx%d\\n" $((at + number)) $((at + number)); done
    echo 'File: -' >&2
    while [ ! -e "$0.die$number" ]; do sleep 0.05; done
    echo "dumpcap: Worker $number fell." >&2
    exit 2 ;;
*) exec cat ;;
esac
"""
ODD, EVEN = ([f"1700000000.{at:06d}\tx{at}\tlo" for at in times] for times in ((1, 3, 5), (2, 4, 6)))
ALL = [line for both in zip(ODD, EVEN, strict=True) for line in both]


def sharing(folder: Path) -> LiveCapture:
    return live(fake_capture_tools(folder, SHARING), settings=Capture(workers=2))


def gathered(capture: LiveCapture, count: int) -> list[str]:
    """The first lines, in as many reads as it takes."""
    found: list[str] = []

    def enough() -> bool:
        found.extend(capture.read())
        return len(found) >= count

    wait_for(enough)
    return found


def test_the_lines_of_one_read_are_in_order() -> None:
    assert _in_order([ODD, EVEN]) == ALL
    assert _in_order([[], ["x", "a"]]) == ["x", "a"]
    assert _in_order([[], []]) == []


def test_several_workers_deliver_all_lines(tmp_path: Path) -> None:
    capture = sharing(tmp_path)
    last_lines = capture.record_last_lines()
    assert sorted(gathered(capture, 6)) == ALL
    assert last_lines == [{"": ODD[-1]}, {"": EVEN[-1]}]
    assert 1700000000 < capture.complete_until < 1700000000.000006, "the older one of their newest packets"
    assert capture.ended is None
    assert len(tsharks()) == 2
    assert capture.tshark_bytes > max(tshark.memory_info().rss for tshark in tsharks())
    assert 0 <= capture.tshark_growth_bytes < capture.tshark_bytes / 2
    assert capture.stop() == []
    assert capture.dropped == 14
    assert not tsharks()


def test_each_of_several_workers_skips_what_its_predecessor_delivered(tmp_path: Path) -> None:
    capture = sharing(tmp_path)
    capture.skip_until([{"": ODD[0]}, {"": EVEN[1]}])
    assert sorted(gathered(capture, 3)) == [ODD[1], ODD[2], EVEN[2]]
    assert capture.stop() == []
    capture = sharing(tmp_path)
    capture.skip_until([{}, {"": EVEN[1]}])
    assert capture.stop() == [ODD[0], ODD[1], ODD[2], EVEN[2]]


def test_waiting_ends_when_the_time_is_over(tmp_path: Path) -> None:
    capture = sharing(tmp_path)
    gathered(capture, 6)
    before = time.monotonic()
    capture.wait(0.1)
    assert time.monotonic() - before >= 0.1
    assert capture.read() == []
    capture._next_read = time.monotonic() + 1000
    capture.wait(0.01)
    assert time.monotonic() < capture._next_read, "the pause between two reads is no longer than the wait"
    capture.stop()


def test_a_busy_capture_is_read_at_intervals(tmp_path: Path) -> None:
    capture = live_with(RUNNING.replace("echo first", "while :; do echo busy; done &"), tmp_path)
    gathered(capture, 1)
    capture.wait(60)
    assert time.monotonic() >= capture._next_read
    assert capture.read()
    capture.kill()


@pytest.mark.parametrize("number", [0, 1])
def test_one_worker_that_ends_ends_the_capture(tmp_path: Path, number: int) -> None:
    capture = sharing(tmp_path)
    gathered(capture, 6)
    assert capture.ended is None
    (tmp_path / f"dumpcap.die{number}").touch()
    wait_for(lambda: capture.read() == [] and capture.ended == "dumpcap_ended")
    capture.stop()
    assert capture.end_reason == f"Worker {number} fell"
    assert capture.dropped == 7
    assert not tsharks()


@pytest.mark.parametrize("number", [0, 1])
def test_one_worker_that_is_refused_leaves_no_other_behind(tmp_path: Path, number: int) -> None:
    before = {child.pid for child in psutil.Process().children()}
    (tmp_path / f"dumpcap.refuse{number}").touch()
    with pytest.raises(CaptureError, match="cannot capture on lo: No room for two"):
        sharing(tmp_path)
    assert {child.pid for child in psutil.Process().children()} - before == {LAUNCHERS[-1].pid}
    # The launcher collects a dead child when it is told of it, which may be after its answer.
    wait_for(lambda: not psutil.Process(LAUNCHERS[-1].pid).children())


def test_the_lag_is_that_of_the_slowest_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_010.0)
    script = SHARING.replace("second=1700000000", "second=$((1700000000 + 8 * number))")
    capture = live(fake_capture_tools(tmp_path, script), settings=Capture(workers=2))
    gathered(capture, 6)
    assert capture.lag == pytest.approx(10, abs=0.01)
    monkeypatch.setattr(worker_file, "_SILENT_SECONDS", 0.0)
    assert capture.lag is None
    capture.stop()


def test_the_worker_of_interfaces_that_come_and_go_decodes_when_it_must(tmp_path: Path) -> None:
    capture = live(fake_capture_tools(tmp_path, SHARING), "lo", OTHERS, settings=Capture(workers=1))
    gathered(capture, 3)
    assert (len(tsharks()), capture.reads_others) == (1, False)
    assert capture.tshark_bytes > 0
    assert (capture.start_others(), capture.start_others()) == (True, False)
    assert len(gathered(capture, 3)) == 3
    assert (len(tsharks()), capture.reads_others) == (2, True)
    assert capture.stop() == []
    assert not tsharks()


def test_a_capture_ends_without_a_worker_that_received_nothing(tmp_path: Path) -> None:
    capture = live(fake_capture_tools(tmp_path, SHARING), "lo", OTHERS, settings=Capture(workers=1))
    assert len(capture.stop()) == 3


def test_where_nothing_else_is_watched_all_others_decode_at_once(tmp_path: Path) -> None:
    capture = live(fake_capture_tools(tmp_path, SHARING), OTHERS)
    assert len(gathered(capture, 3)) == 3
    assert (capture.reads_others, capture.start_others()) == (True, False)
    assert capture.stop() == []
