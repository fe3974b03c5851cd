"""The pipeline over capture files."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from random import Random

import pytest

from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config.settings import Networks, Settings
from portsentry_py.errors import InputError
from portsentry_py.sensor.replay import Replay, Summary
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    Sent,
    log_lines,
    refused,
    scans,
    statuses,
    strict,
    syn,
    visit,
    watch,
    write_pcap,
)
from tests.support.needs import require_tool
from tests.support.pcap import write as write_frames

HOME: Networks = (ip_network("192.0.2.0/24"),)


def player(settings: Settings | None = None, home: Networks = HOME, progress: list[int] | None = None) -> Replay:
    require_tool("tshark")
    seen = progress if progress is not None else []
    return Replay(settings or strict(), home, find_tools(), lambda _path, count: seen.append(count))


def pcap(tmp_path: Path, name: str, *traffic: list[Sent]) -> Path:
    return write_pcap(tmp_path / name, *traffic)


def test_a_replay_gives_the_lines_of_the_live_capture(tmp_path: Path) -> None:
    traffic = refused(syn(SCANNER, *range(20, 60)))
    *events, _ = player().events([pcap(tmp_path, "x.pcap", traffic)])
    assert log_lines(events) == log_lines(watch(strict(), traffic))


def test_the_last_line_is_the_end_of_the_input(tmp_path: Path) -> None:
    path = pcap(tmp_path, "x.pcap", syn(SCANNER, 20, 21))
    *_, last = player().events([path])
    (status,) = statuses([last])
    assert (status.state, status.reason, status.packets) == ("stopped", "end_of_input", 2)


def test_packets_in_our_name_that_came_in_are_counted(tmp_path: Path) -> None:
    """Their link address is neither ours, which received what is ours, nor did it ever have our packets."""
    ours, router, forger = (bytes([2, 0, 0, 0, 0, nth]) for nth in (1, 2, 3))
    asked, forged = refused(syn(SCANNER, 20)), syn(HOST, 80, dst=FRIEND, at=1)
    ends = ((ours, router), (router, ours), (ours, forger))
    frames = [
        (sent.time_us, there + here + sent.frame[12:])
        for sent, (there, here) in zip([*asked, *forged], ends, strict=True)
    ]
    path = write_frames(tmp_path / "x.pcap", frames)
    *_, last = player(home=(ip_network(HOST),)).events([path])
    (status,) = statuses([last])
    assert (status.packets, status.packets_forged) == (2, 1)


def test_a_scan_can_continue_in_the_next_file(tmp_path: Path) -> None:
    first = pcap(tmp_path, "1.pcap", syn(SCANNER, 1, 2))
    second = pcap(tmp_path, "2.pcap", syn(SCANNER, 3, 4, at=1))
    assert len(scans(player().events([first, second]))) == 1
    assert scans(player().events([first])) == []


def test_without_a_home_the_side_that_did_not_begin_is_ours(tmp_path: Path) -> None:
    path = pcap(tmp_path, "x.pcap", visit(FRIEND, 80), syn(SCANNER, 1, 2, 3, 4, dst="10.9.9.9"))
    (scan,) = scans(player(home=()).events([path]))
    assert (scan.src_ip, scan.dest_ip, scan.direction) == (SCANNER, "10.9.9.9", "inbound")


def test_the_configured_home_counts_as_well(tmp_path: Path) -> None:
    path = pcap(tmp_path, "x.pcap", syn(SCANNER, 1, 2, 3, 4))
    assert len(scans(player(strict(home=HOME), home=()).events([path]))) == 1
    elsewhere = (ip_network("10.0.0.0/8"),)
    assert scans(player(home=elsewhere).events([path])) == []


def test_damage_is_reported_in_a_status_line_and_the_packets_before_it_count(tmp_path: Path) -> None:
    whole = pcap(tmp_path, "whole.pcap", syn(SCANNER, *range(1, 40)))
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole.read_bytes()[:-9])
    one = player()
    events = list(one.events([cut, pcap(tmp_path, "next.pcap", visit(FRIEND, 80, at=90))]))
    assert [status.state for status in statuses(events)] == ["damaged", "stopped"]
    assert scans(events)
    assert len(one.summary.damage) == 1


def test_a_file_that_is_no_capture_ends_the_replay(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        list(player().events([tmp_path / "none.pcap"]))


def test_the_summary_counts_packets_and_lines(tmp_path: Path) -> None:
    progress: list[int] = []
    one = player(progress=progress)
    events = list(one.events([pcap(tmp_path, "x.pcap", refused(syn(SCANNER, *range(1, 1500))))]))
    assert one.summary.packets == 2998
    assert sum(one.summary.events.values()) == len(events)
    assert list(one.summary.sources) == [SCANNER]
    assert progress == sorted(progress)
    assert progress[-1] == one.summary.packets


def test_no_heuristic_of_tshark_reads_a_segment_as_another_protocol(tmp_path: Path) -> None:
    """With its TCP dissector off, tshark read such segments as CARP, STT or TAPA, and hid their layer 4."""
    chance = Random(1)
    carp = [replace(probe, payload=b"\x21\x87" + probe.payload[2:]) for probe in syn(SCANNER, *range(7, 2000, 4))]
    stt = [replace(probe, payload=chance.randbytes(2) + b"\x1d\x2f" + probe.payload[4:]) for probe in carp]
    noise = [
        replace(probe, payload=chance.randbytes(12) + b"\x50\x02" + chance.randbytes(6))
        for probe in syn(SCANNER, *range(2000, 22_000))
    ]
    *_, last = player().events([pcap(tmp_path, "x.pcap", carp, stt, noise)])
    (status,) = statuses([last])
    assert (status.packets, status.packets_malformed) == (len(carp + stt + noise), 0)


def test_the_summary_holds_a_thousand_sources() -> None:
    summary = Summary()
    scan = watch(strict(), syn(SCANNER, 1, 2, 3, 4))
    (line,) = scans(scan)
    for number in range(1002):
        summary.note(replace(line, src_ip=f"10.0.{number // 256}.{number % 256}"))
    summary.note(replace(line, src_ip="10.0.0.0", ports=9))
    assert (len(summary.sources), summary.unshown) == (1000, 2)
    assert summary.sources["10.0.0.0"].ports == 9
