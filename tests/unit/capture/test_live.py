"""The real tshark over capture files of our own, and every way in which it can be missing."""

from __future__ import annotations

import gzip
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from portsentry_py.capture import live as capturing
from portsentry_py.capture import worker as worker_file
from portsentry_py.capture.bpf import kernel_filter
from portsentry_py.capture.live import (
    DamagedCapture,
    LiveCapture,
    Tools,
    find_tools,
    interface_names,
    replay_lines,
)
from portsentry_py.config.settings import Capture
from portsentry_py.core.decode import decode
from portsentry_py.core.packet import Packet
from portsentry_py.errors import CaptureError, InputError, PermissionDenied
from portsentry_py.host.interfaces import Interface, interface
from portsentry_py.privsep.client import LauncherClient
from tests.support.build import (
    HOST6,
    SCANNER,
    SCANNER6,
    Sent,
    connect,
    icmp_unreachable,
    rst,
    syn,
    udp,
    write_pcap,
    write_pcapng,
    xmas,
)
from tests.support.needs import require_root, require_tool
from tests.support.programs import fake_capture_tools
from tests.support.waiting import wait_for

SIZE_OF_HEADER = 24


@pytest.fixture
def tools() -> Tools:
    require_tool("tshark")
    return find_tools()


def traffic() -> list[Sent]:
    """One of each kind, so that builder, tshark and decode are held together."""
    return [
        *syn(SCANNER, 22, 23),
        rst(syn(SCANNER, 22)[0]),
        *connect(SCANNER6, 443),
        *xmas(SCANNER, 80, at=1),
        *udp(SCANNER6, 161, at=2),
        icmp_unreachable(udp(SCANNER, 162, at=3)[0]),
        icmp_unreachable(udp(SCANNER6, 161, at=3)[0]),
        *syn(SCANNER, 25, vlan=7, at=4),
    ]


def read(tools: Tools, path: Path) -> list[Packet]:
    found = [decode(text) for lines in replay_lines(tools, path) for text in lines]
    packets = [packet for packet in found if isinstance(packet, Packet)]
    assert len(packets) == len(found)
    return packets


def test_tools_are_found(tools: Tools) -> None:
    assert Path(tools.tshark).name == "tshark"
    assert Path(tools.dumpcap).name == "dumpcap"
    assert tools.version[0].isdigit()


def test_packets_come_as_they_were_sent(tools: Tools, tmp_path: Path) -> None:
    assert read(tools, write_pcap(tmp_path / "x.pcap", traffic())) == [sent.packet for sent in traffic()]


def test_pcapng_tells_its_interface(tools: Tools, tmp_path: Path) -> None:
    packets = read(tools, write_pcapng(tmp_path / "x.pcapng", "eth7", traffic()))
    assert [packet._replace(in_iface="") for packet in packets] == [sent.packet for sent in traffic()]
    assert {packet.in_iface for packet in packets} == {"eth7"}


def test_editcap_agrees_about_our_files(tools: Tools, tmp_path: Path) -> None:
    source, made = write_pcap(tmp_path / "x.pcap", traffic()), tmp_path / "made.pcapng"
    command = [require_tool("editcap"), "-F", "pcapng", str(source), str(made)]
    subprocess.run(command, check=True, capture_output=True)
    assert [packet._replace(in_iface="") for packet in read(tools, made)] == read(tools, source)


def test_gzip_is_read(tools: Tools, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap.gz"
    path.write_bytes(gzip.compress(write_pcap(tmp_path / "x.pcap", traffic()).read_bytes()))
    assert len(read(tools, path)) == len(traffic())


@pytest.mark.parametrize("name", ["-w", "--help.pcap", "-r -.pcap", "a b.pcap", 'q"uote.pcap', "ümläut.pcap"])
def test_any_name_will_do(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_pcap(tmp_path / name, syn(SCANNER, 22))
    monkeypatch.chdir(tmp_path)
    assert len(read(tools, Path(name))) == 1


def until_damage(tools: Tools, path: Path) -> tuple[list[str], str]:
    """The lines before the damage, and what is said about it."""
    some: list[list[str]] = []
    with pytest.raises(DamagedCapture) as caught:
        some.extend(replay_lines(tools, path))  # what came before stays in the list
    return [line for lines in some for line in lines], str(caught.value)


@pytest.mark.parametrize("kept", [-1, -40, SIZE_OF_HEADER + 16 + 20])
def test_a_capture_that_breaks_off_is_read_up_to_there(tools: Tools, tmp_path: Path, kept: int) -> None:
    whole = write_pcap(tmp_path / "whole.pcap", syn(SCANNER, *range(1, 51))).read_bytes()
    path = tmp_path / "cut.pcap"
    path.write_bytes(whole[:kept])
    lines, sentence = until_damage(tools, path)
    assert len(lines) == (49 if kept < 0 else 0)
    assert sentence.startswith(f"{path}: ")
    assert sentence.endswith("; what came before the damage was read.")


def test_a_cut_gzip_is_read_up_to_there(tools: Tools, tmp_path: Path) -> None:
    whole = write_pcap(tmp_path / "whole.pcap", syn(SCANNER, *range(1, 5001))).read_bytes()
    path = tmp_path / "cut.pcap.gz"
    path.write_bytes(gzip.compress(whole)[:-500])
    lines, _ = until_damage(tools, path)
    assert 0 < len(lines) < 5000


def test_a_capture_without_packets_is_fine(tools: Tools, tmp_path: Path) -> None:
    assert read(tools, write_pcap(tmp_path / "x.pcap")) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text\n" * 50, "pcap"),
        (bytes(range(1, 250)), "give a pcap or pcapng file"),
    ],
)
def test_what_is_no_capture_is_refused(tools: Tools, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        list(replay_lines(tools, path))
    assert not isinstance(caught.value, DamagedCapture)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_capture_is_told(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(replay_lines(tools, tmp_path / "none.pcap"))


def test_a_directory_is_no_capture(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="directory"):
        list(replay_lines(tools, tmp_path))


def test_a_name_with_control_characters_is_shown_without_them(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(replay_lines(tools, tmp_path / "a\x1b[31m\nb"))
    assert str(caught.value).isprintable()


def test_reading_that_is_given_up_leaves_no_process(tools: Tools, tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "x.pcap", syn(SCANNER, *range(1, 20_000)))
    reading = replay_lines(tools, path)
    next(reading)
    reading.close()  # type: ignore[attr-defined] # it is a generator
    assert not [name for name in processes() if "x.pcap" in name]


def processes() -> list[str]:
    """The command lines of our children."""
    return [" ".join(child.cmdline()) for child in psutil.Process().children()]


def test_no_tshark_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="not installed; install it with"):
        find_tools()


@pytest.mark.parametrize("version", ["1.12.6", "2.6.20", "3.5.99"])
def test_a_tshark_that_is_too_old_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_capture_tools(tmp_path, f"echo 'TShark (Wireshark) {version} (Git v{version})'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match=f"version {version} is too old"):
        find_tools()


@pytest.mark.parametrize("version", ["3.6.0", "4.0.17", "10.2.0"])
def test_a_newer_tshark_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    fake_capture_tools(tmp_path, f"echo 'TShark (Wireshark) {version} (Git v{version})'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tools() == Tools(str(tmp_path / "tshark"), str(tmp_path / "dumpcap"), version)


def test_tshark_starts_no_programs_for_other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 3.6 does to tell its version, and waits for them."""
    monkeypatch.setenv("WIRESHARK_EXTCAP_DIR", str(tmp_path))
    refuse = 'test -n "$WIRESHARK_EXTCAP_DIR" && test ! -e "$WIRESHARK_EXTCAP_DIR" || exit 1'
    fake_capture_tools(tmp_path, f"{refuse}\necho 'TShark (Wireshark) 3.6.2'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_tools().version == "3.6.2"
    given = capturing._environment()["WIRESHARK_EXTCAP_DIR"]
    assert given
    assert not Path(given).exists()


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "exec /nonexistent", "true", "printf '\\377'"])
def test_a_tshark_that_is_broken_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    fake_capture_tools(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="cannot tell its version; reinstall"):
        find_tools()


def test_a_tshark_that_may_not_be_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_capture_tools(tmp_path, "true")
    (tmp_path / "tshark").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermissionDenied, match="may not run it"):
        find_tools()


def test_a_config_ini_in_the_current_directory_is_not_obeyed(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pyshark reads one; as root that would run somebody else's program."""
    fake_capture_tools(tmp_path, "echo 'TShark (Wireshark) 9.9.9'")
    ini = "[tshark]\ntshark_path = ./tshark\n[dumpcap]\ndumpcap_path = ./dumpcap\n"
    (tmp_path / "config.ini").write_text(ini, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert find_tools() == tools


LO = [Interface("lo", ethernet=True)]


@pytest.fixture(autouse=True)
def _launchers() -> Iterator[None]:
    """Whoever was started to start dumpcap ends with the test."""
    yield
    for launcher in LAUNCHERS:
        launcher.close()
    LAUNCHERS.clear()


LAUNCHERS: list[LauncherClient] = []


def live(
    tools: Tools, interfaces: list[Interface], served_udp: frozenset[int], settings: Capture
) -> LiveCapture:
    """A live capture, with a launcher of its own."""
    LAUNCHERS.append(LauncherClient(tools.dumpcap))
    return LiveCapture(tools, interfaces, served_udp, settings, LAUNCHERS[-1])


def said_by(script: str, tmp_path: Path) -> LiveCapture:
    # A tshark that ends first would be the reason.
    fake_capture_tools(tmp_path, f"case $0 in *tshark) exec cat ;; esac\n{script}")
    return live(stand_ins(tmp_path), LO, frozenset(), Capture())


def stand_ins(folder: Path) -> Tools:
    return Tools(str(folder / "tshark"), str(folder / "dumpcap"), "4.0.0")


def test_a_refused_interface_is_told_with_dumpcaps_reason(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot capture on lo: There is no device"):
        said_by("echo 'dumpcap: There is no device named lo.' >&2; exit 1", tmp_path)


def test_a_dumpcap_that_says_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="it gave no reason"):
        said_by("exit 1", tmp_path)


def test_missing_rights_are_told_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied, match="run as root, or give dumpcap"):
        said_by('echo "You don\'t have permission to capture on that device" >&2; exit 1', tmp_path)


def test_a_dumpcap_that_may_not_be_run_is_missing_rights(tmp_path: Path) -> None:
    fake_capture_tools(tmp_path, "true")
    (tmp_path / "dumpcap").chmod(0o644)
    with pytest.raises(PermissionDenied, match="may not capture on lo"):
        live(Tools(str(tmp_path / "tshark"), str(tmp_path / "dumpcap"), "4.0.0"), LO, frozenset(), Capture())


def test_a_dumpcap_that_is_gone_is_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "dumpcap")
    with pytest.raises(CaptureError, match="cannot start"):
        live(Tools(missing, missing, "4.0.0"), LO, frozenset(), Capture())


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


def test_a_capture_gives_lines_until_it_is_stopped(tmp_path: Path) -> None:
    capture = said_by(RUNNING, tmp_path)
    wait_for(lambda: capture.read(0.1) == ["first"])
    assert capture.ended is None
    assert capture.stop() == []
    assert capture.dropped == 7


def test_a_capture_that_dies_says_which_child_and_why(tmp_path: Path) -> None:
    capture = said_by(RUNNING, tmp_path)
    (tmp_path / "dumpcap.die").touch()
    wait_for(lambda: bool(capture.read(0.1) or capture.ended))
    wait_for(lambda: capture.ended == "dumpcap_ended")
    capture.stop()
    assert "The network went down" in capture.last_words


def test_the_real_thing_starts_and_stops_on_loopback(tools: Tools) -> None:
    require_root()
    capture = live(tools, [interface("lo")], frozenset({53}), Capture(buffer_mib=2))
    assert capture.ended is None
    capture.stop()
    assert capture.dropped == 0
    assert not [name for name in processes() if name.split()[0].endswith("dumpcap")]


@pytest.mark.parametrize("name", ["no_such_if0", "-w", "lo; true"])
def test_an_interface_that_is_not_there_is_told(tools: Tools, name: str) -> None:
    require_root()
    with pytest.raises(CaptureError, match="cannot capture on"):
        live(tools, [Interface(name, ethernet=False)], frozenset(), Capture())


def test_interfaces_are_listed(tools: Tools) -> None:
    require_root()
    assert "lo" in interface_names(tools)


def test_where_interfaces_cannot_be_listed_there_are_none(tmp_path: Path) -> None:
    fake_capture_tools(tmp_path, "exit 1")
    assert interface_names(Tools(str(tmp_path / "tshark"), "dumpcap", "4.0.0")) == []


def test_an_interface_may_have_any_name(tools: Tools, tmp_path: Path) -> None:
    packets = read(tools, write_pcapng(tmp_path / "x.pcapng", "wlän0", syn(SCANNER6, 22, dst=HOST6)))
    assert [packet.dest_port for packet in packets] == [22]


ETHERNET = [Interface("eth0", ethernet=True), Interface("tun0", ethernet=False)]


def test_one_worker_has_every_packet_and_the_whole_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capturing, "usable_cores", lambda: 3)
    capturing._automatic_workers.cache_clear()
    expected = [
        *(str(tmp_path / "dumpcap"), "-q", "-s", "128", "-B", "64", "-C", str(64 << 20)),
        *("-i", "eth0", "-f", kernel_filter({53}, vlan=True)),
        *("-i", "tun0", "-f", kernel_filter({53}, vlan=False)),
        *("-w", "-"),
    ]
    for workers in ("auto", 1):
        settings = Capture(workers=workers)
        commands = capturing._dumpcap_commands(stand_ins(tmp_path), ETHERNET, frozenset({53}), settings)
        assert list(commands) == [expected]
    (alone,) = capturing._dumpcap_commands(stand_ins(tmp_path), ETHERNET[:1], frozenset(), settings)
    assert "-C" not in alone, "one interface has no queue beside the kernel's"
    capturing._automatic_workers.cache_clear()


@pytest.mark.parametrize(
    ("workers", "buffer_mib", "each_mib"), [("auto", 64, 32), (2, 64, 32), (4, 64, 16), (8, 5, 1)]
)
def test_several_workers_share_packets_and_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int | str, buffer_mib: int, each_mib: int
) -> None:
    monkeypatch.setattr(capturing, "usable_cores", lambda: 4)
    capturing._automatic_workers.cache_clear()
    settings = Capture(workers=workers, buffer_mib=buffer_mib)
    commands = list(capturing._dumpcap_commands(stand_ins(tmp_path), ETHERNET, frozenset({53}), settings))
    count = 2 if workers == "auto" else workers
    assert len(commands) == count
    for number, command in enumerate(commands):
        assert command[command.index("-B") + 1] == str(each_mib)
        for vlan in (True, False):
            assert kernel_filter({53}, vlan=vlan, worker=number, workers=len(commands)) in command
    capturing._automatic_workers.cache_clear()


# The first of two workers gives the odd lines, the second the even ones.
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
ODD, EVEN = ([f"1700000000.{at:06d}\tx{at}" for at in times] for times in ((1, 3, 5), (2, 4, 6)))
ALL = [line for both in zip(ODD, EVEN, strict=True) for line in both]


def sharing(folder: Path) -> LiveCapture:
    fake_capture_tools(folder, SHARING)
    return live(stand_ins(folder), LO, frozenset(), Capture(workers=2))


def gathered(capture: LiveCapture, count: int) -> list[str]:
    """So many lines, in as many reads as it takes."""
    found: list[str] = []

    def enough() -> bool:
        found.extend(capture.read(0.1))
        return len(found) >= count

    wait_for(enough)
    return found


def test_what_several_workers_give_comes_in_order(tmp_path: Path) -> None:
    capture = sharing(tmp_path)
    last = capture.hand_over()
    time.sleep(0.5)  # let both have written
    assert capture.read(1) == ALL
    assert last == [{"": ODD[-1]}, {"": EVEN[-1]}]
    assert capture.ended is None
    assert len(set(capture.tshark_pids)) == 2
    assert {psutil.Process(pid).parent() for pid in capture.tshark_pids} == {psutil.Process()}
    assert capture.stop() == []
    assert capture.dropped == 14
    assert not [pid for pid in capture.tshark_pids if psutil.pid_exists(pid)]


def test_what_several_workers_gave_is_left_out_for_each_of_them(tmp_path: Path) -> None:
    capture = sharing(tmp_path)
    capture.follow([{"": ODD[0]}, {"": EVEN[1]}])
    assert sorted(gathered(capture, 3)) == [ODD[1], ODD[2], EVEN[2]]
    assert capture.stop() == []
    capture = sharing(tmp_path)
    capture.follow([{}, {"": EVEN[1]}])
    assert capture.stop() == [ODD[0], ODD[1], ODD[2], EVEN[2]]


def test_waiting_for_several_workers_ends(tmp_path: Path) -> None:
    capture = sharing(tmp_path)
    gathered(capture, 6)
    before = time.monotonic()
    assert capture.read(0.2) == []
    assert 0.1 < time.monotonic() - before < 5
    capture.stop()


@pytest.mark.parametrize("number", [0, 1])
def test_one_worker_that_dies_ends_them_all(tmp_path: Path, number: int) -> None:
    capture = sharing(tmp_path)
    gathered(capture, 6)
    assert capture.ended is None
    (tmp_path / f"dumpcap.die{number}").touch()
    wait_for(lambda: capture.read(0.1) == [] and capture.ended == "dumpcap_ended")
    capture.stop()
    assert capture.last_words == f"Worker {number} fell"
    assert capture.dropped == 7
    assert not [pid for pid in capture.tshark_pids if psutil.pid_exists(pid)]


@pytest.mark.parametrize("number", [0, 1])
def test_one_worker_that_is_refused_leaves_no_other(tmp_path: Path, number: int) -> None:
    before = {child.pid for child in psutil.Process().children()}
    (tmp_path / f"dumpcap.refuse{number}").touch()
    with pytest.raises(CaptureError, match="cannot capture on lo: No room for two"):
        sharing(tmp_path)
    assert {child.pid for child in psutil.Process().children()} - before == {LAUNCHERS[-1].pid}
    assert not psutil.Process(LAUNCHERS[-1].pid).children()


def test_the_capture_is_as_far_behind_as_its_last_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_010.0)
    fake_capture_tools(tmp_path, SHARING.replace("second=1700000000", "second=$((1700000000 + 8 * number))"))
    capture = live(stand_ins(tmp_path), LO, frozenset(), Capture(workers=2))
    gathered(capture, 6)
    assert capture.lag == pytest.approx(10, abs=0.01)
    monkeypatch.setattr(worker_file, "_SILENT_SECONDS", 0.0)
    assert capture.lag is None
    capture.stop()
