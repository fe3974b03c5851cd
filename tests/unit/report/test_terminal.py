"""The overview on a terminal."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from portsentry_py.fail2ban.jails import Fail2banState, JailBan, JailState
from portsentry_py.report.overview import LogView, Overview, SensorView
from portsentry_py.report.terminal import _BANS, duration, render
from tests.support.build import SCANNER, scans, strict, syn, watch

EVIDENCE = replace(
    scans(watch(strict(), syn(SCANNER, *range(1, 9))))[0],
    timestamp="2026-11-20T12:29:00.000000Z",
    ports=150,
    ports_sample=(1, 2, 3, 4, 5, 6),
)
BAN = JailBan(SCANNER, ban_seconds=600, left_seconds=371, evidence=EVIDENCE)
OVERVIEW = Overview(
    timestamp="2026-11-20T12:30:00.000000Z",
    sensor=SensorView(
        running=True,
        state="running",
        reason="none",
        version="0.1.0",
        timestamp="2026-11-20T12:29:30.000000Z",
        age_seconds=30,
        counts={"packets": 1234, "packets_dropped": 0, "lines_lost": 5},
        started=None,
        note="",
    ),
    log=LogView(Path("/var/log/[red]x.log"), 3_145_728, [], 0, 9, 0, None, "2026-11-20T12:29:30.000000Z", 30, ""),
    fail2ban=Fail2banState("answers", jails=(JailState("portsentry", 1, 17, bans=(BAN,)),)),
    sources=(EVIDENCE,),
)


def shown(overview: Overview) -> str:
    output = io.StringIO()
    console = Console(file=output, width=160, highlight=False)
    for part in render(overview):
        console.print(part)
    return output.getvalue()


def with_bans(*bans: JailBan) -> Overview:
    return replace(OVERVIEW, fail2ban=replace(OVERVIEW.fail2ban, jails=(JailState("j", bans=bans),)))


def row(text: str, address: str) -> str:
    return next(line for line in text.splitlines() if address in line)


def test_packets_that_the_kernel_dropped_are_shown() -> None:
    sensor = replace(OVERVIEW.sensor, counts={"packets": 1234, "packets_dropped": 7}, note="raise it.")
    text = shown(replace(OVERVIEW, sensor=sensor))
    assert "1234 packets, 7 packets dropped" in text
    assert "raise it." in text


def test_the_memory_of_all_processes_is_shown() -> None:
    sensor = replace(OVERVIEW.sensor, memory_bytes=625 << 19)
    assert "; 312.5 MiB of memory" in shown(replace(OVERVIEW, sensor=sensor))


def test_all_four_parts_are_shown() -> None:
    text = shown(OVERVIEW)
    assert "running; last said running 30 s ago, version 0.1.0: 1234 packets, 5 lines lost" in text
    assert "/var/log/[red]x.log, 3.0 MiB, last line 30 s ago" in text
    assert "portsentry: 1 banned now, 17 since fail2ban started" in text
    (banned, latest) = (line for line in text.splitlines() if SCANNER in line)
    for word in ("6 min", "syn", "port_scan", "150 (1, 2, 3, 4, 5, …)", "ports_in_window"):
        assert word in banned
    for word in ("2026-11-20 12:29:00", "ban", "syn", "port_scan", "ports_in_window"):
        assert word in latest


def test_a_scan_by_this_host_is_shown() -> None:
    assert "this host" not in shown(OVERVIEW)
    assert "this host  192.0.2.10 scans others" in shown(replace(OVERVIEW, outbound="192.0.2.10 scans others: [red]."))


def test_each_note_stands_beside_its_part() -> None:
    text = shown(
        replace(
            OVERVIEW,
            sensor=replace(OVERVIEW.sensor, running=False, state="stopped", reason="signal", note="start it."),
            log=replace(OVERVIEW.log, lines_unreadable=2, note="it is foreign."),
            fail2ban=Fail2banState("failed", "fail2ban [b]is[/b] ill.", (JailState("j", None, 1, note="gone."),)),
        )
    )
    for words in (
        "not running; last said stopped (signal) 30 s ago",
        "start it.",
        "2 of 9 lines unreadable",
        "it is foreign.",
        "fail2ban [b]is[/b] ill.",
        "j: ? banned now, 1 since",
        "gone.",
    ):
        assert words in text


def test_an_unknown_sensor_is_shown_as_unknown() -> None:
    text = shown(Overview(OVERVIEW.timestamp, SensorView(None), LogView(Path("x"), 5), Fail2banState("answers"), ()))
    assert [line.split() for line in text.splitlines()] == [["sensor", "unknown"], ["log", "x,", "5", "bytes"]]


def test_a_ban_without_times_or_evidence_is_a_row() -> None:
    unknown = JailBan("192.0.2.1")
    ever = JailBan("192.0.2.2", permanent=True, evidence=replace(EVIDENCE, ports_sample=(), ports=3))
    text = shown(with_bans(unknown, ever))
    assert "unknown" in row(text, "192.0.2.1")
    assert "not in what was read" in row(text, "192.0.2.1")
    assert "for ever" in row(text, "192.0.2.2")


def test_a_long_list_of_bans_is_cut_with_a_hint() -> None:
    text = shown(with_bans(*(replace(BAN, address=f"10.0.0.{nth}") for nth in range(_BANS + 7))))
    assert text.count("10.0.0.") == _BANS
    assert "and 7 more: --json" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (371, "6 min"),
        (3_600, "1 h"),
        (5_400, "1 h 30 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_are_short(seconds: int, text: str) -> None:
    assert duration(seconds) == text
