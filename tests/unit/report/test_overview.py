"""What `status` shows: the log's end and fail2ban's answers, joined."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import InputError
from portsentry_py.events.model import Event, EvidenceEvent
from portsentry_py.fail2ban.jails import Fail2banState, JailBan, JailState
from portsentry_py.report import overview
from portsentry_py.report.overview import Overview, look
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import (
    SCANNER,
    START_US,
    US,
    evidence,
    log_lines,
    lost,
    micros,
    refused,
    strict,
    syn,
    watch,
)


def status(state: str = "running", at: float = 0, dropped: int = 0) -> Event:
    return status_event(Pipeline(strict(), US), micros(at), state, "none", accounts=lost(dropped))


def lines(source: str = SCANNER, at: float = 0) -> list[EvidenceEvent]:
    return evidence(watch(strict(), refused(syn(source, 20, 21, 22, 23, at=at))))


def ban(source: str = SCANNER) -> EvidenceEvent:
    return next(line for line in lines(source) if line.verdict == "ban")


JAIL = JailState("portsentry", 1, 7, ("/var/log/portsentry.log",), (JailBan(SCANNER, left_seconds=90),))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "portsentry.log"


@pytest.fixture(autouse=True)
def fail2ban(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    answer(monkeypatch, replace(JAIL, logs=(str(log),)))


def answer(
    monkeypatch: pytest.MonkeyPatch, *jails: JailState, standing: str = "answers", note: str = ""
) -> None:
    monkeypatch.setattr(overview, "ask", lambda *_: Fail2banState(standing, note, jails))  # type: ignore[arg-type]


def seen(log: Path, *events: Event, process: bool | None = None, at: float = 60) -> Overview:
    log.write_bytes(b"".join(log_lines(events)))
    return look(log, process=process, now_us=micros(at))


def test_a_ban_is_told_with_its_reason_and_the_time_left(log: Path) -> None:
    (jail,) = seen(log, *lines(), *lines("198.51.100.9")).fail2ban.jails
    assert (jail.name, jail.currently_banned, jail.total_banned, jail.note) == ("portsentry", 1, 7, "")
    (told,) = jail.bans
    assert (told.address, told.left_seconds) == (SCANNER, 90)
    assert told.evidence is not None
    assert (told.evidence.technique, told.evidence.scan_type, told.evidence.reason, told.evidence.ports) == (
        "port_scan",
        "syn",
        "ports_in_window",
        4,
    )


def test_the_reason_is_the_last_line_that_bans(log: Path) -> None:
    watched = replace(ban(), verdict="watch", reason="friend")
    (told,) = seen(log, ban(), replace(ban(), reason="likelihood"), watched).fail2ban.jails[0].bans
    assert told.evidence is not None
    assert told.evidence.reason == "likelihood"


def test_an_aggressive_jail_bans_for_a_line_that_only_watches(log: Path) -> None:
    (told,) = seen(log, replace(ban(), verdict="watch")).fail2ban.jails[0].bans
    assert told.evidence is not None
    assert told.evidence.verdict == "watch"


def test_a_ban_that_the_log_knows_nothing_of_is_shown(log: Path) -> None:
    (told,) = seen(log, status()).fail2ban.jails[0].bans
    assert (told.address, told.evidence) == (SCANNER, None)


def test_the_latest_ten_sources_are_shown_by_their_last_line(log: Path) -> None:
    many = [replace(ban(), src_ip=f"198.51.100.{nth}") for nth in range(1, 13)]
    told = seen(log, *many, replace(many[0], state="ended"), status()).sources
    assert [line.src_ip for line in told] == [f"198.51.100.{nth}" for nth in (1, *range(12, 3, -1))]
    assert told[0].state == "ended"


@pytest.mark.parametrize(
    ("state", "process", "at", "told"),
    [
        ("started", None, 60, (True, "")),
        ("running", None, 60, (True, "")),
        ("running", None, 3600, (None, "nothing for a while")),
        ("running", True, 3600, (True, "")),
        ("running", False, 60, (False, "without saying so")),
        ("interrupted", None, 60, (True, "interrupted")),
        ("stopped", None, 60, (False, "start it with")),
        ("stopped", False, 60, (False, "start it with")),
        ("stopped", True, 60, (True, "elsewhere")),
        (None, None, 60, (None, "does not say")),
        (None, False, 60, (False, "start it with")),
        (None, True, 60, (True, "elsewhere")),
    ],
)
def test_whether_the_sensor_runs(
    log: Path, state: str | None, process: bool | None, at: float, told: tuple[bool | None, str]
) -> None:
    sensor = seen(log, *([status(state)] if state else []), process=process, at=at).sensor
    running, note = told
    assert sensor.running is running
    assert note in sensor.note
    assert bool(note) == bool(sensor.note)
    assert (sensor.state, sensor.age_seconds) == ((state, at) if state else (None, None))


def test_the_sensors_counts_and_start_are_told(log: Path) -> None:
    told = seen(log, status("started"), status("running", at=50)).sensor
    assert (told.age_seconds, told.counts["packets"]) == (10, 0)
    assert told.started is not None
    assert told.timestamp is not None
    assert told.started < told.timestamp


def test_packets_that_the_kernel_dropped_are_told_with_the_fix(log: Path) -> None:
    told = seen(log, status("started"), status(at=50, dropped=60_123)).sensor
    assert told.counts["packets_dropped"] == 60_123
    assert "60123 packets" in told.note
    assert "capture.buffer_mib" in told.note
    assert seen(log, status(dropped=1), status("started", at=50)).sensor.note == "", "of an earlier run"


def test_a_clock_that_was_set_back_gives_no_negative_age(log: Path) -> None:
    told = seen(log, status(at=1000), at=0)
    assert (told.sensor.age_seconds, told.log.last_line_age_seconds) == (0, 0)


def test_the_log_is_told_with_what_cannot_be_read(log: Path) -> None:
    log.write_bytes(log_lines([status(at=-30)])[0] + b"torn\n" + log_lines([status()])[0])
    told = look(log, now_us=micros(60)).log
    assert (told.path, told.size_bytes, told.files) == (str(log), log.stat().st_size, (str(log),))
    assert (told.lines_read, told.lines_unreadable, told.last_line_age_seconds) == (3, 1, 60)
    assert told.note == ""


def test_a_foreign_or_empty_log_is_said(log: Path) -> None:
    assert "empty" in seen(log).log.note
    log.write_text("Scan from: [192.0.2.1]\n")
    assert "another program" in look(log).log.note


def test_a_jail_that_reads_another_log_is_said(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, JAIL, replace(JAIL, logs=()), replace(JAIL, note="it is gone."))
    other, none, gone = seen(log, status()).fail2ban.jails
    assert other.note.startswith("it reads /var/log/portsentry.log, not ")
    assert "backend = auto" in none.note
    assert gone.note == "it is gone."


def test_fail2ban_that_says_nothing_hides_nothing_else(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, standing="absent", note="fail2ban is not installed.")
    told = seen(log, status(), *lines())
    assert (told.fail2ban.standing, told.fail2ban.note) == ("absent", "fail2ban is not installed.")
    assert told.sensor.running
    assert told.sources


def test_standard_output_cannot_be_read_again() -> None:
    with pytest.raises(InputError, match="--log"):
        look("-")


def test_the_clock_is_asked_unless_the_time_is_given(log: Path) -> None:
    log.write_bytes(b"")
    told = datetime.fromisoformat(look(log).timestamp[:-1]).replace(tzinfo=timezone.utc)
    assert told.timestamp() * 1_000_000 > START_US


def test_the_form_for_programs_is_stable(log: Path) -> None:
    told = json.loads(json.dumps(seen(log, status("started"), ban()).to_json()))
    assert list(told) == ["timestamp", "sensor", "log", "fail2ban", "sources", "schema"]
    assert list(told["sensor"]) == [
        *("running", "state", "reason", "version", "timestamp", "age_seconds"),
        *("counts", "started", "note"),
    ]
    assert list(told["log"]) == [
        *("path", "size_bytes", "files", "bytes_read", "lines_read", "lines_unreadable"),
        *("first_line", "last_line", "last_line_age_seconds", "note"),
    ]
    assert list(told["fail2ban"]) == ["standing", "note", "jails"]
    (jail,) = told["fail2ban"]["jails"]
    assert list(jail) == ["name", "currently_banned", "total_banned", "logs", "bans", "note"]
    assert list(jail["bans"][0]) == [
        *("address", "banned_at", "ends_at", "ban_seconds", "left_seconds", "permanent", "evidence"),
    ]
    assert told["sources"] == [jail["bans"][0]["evidence"]]
    assert told["schema"] == 1


def test_keys_about_a_source_are_those_of_the_log(log: Path) -> None:
    (line,) = log_lines([ban()])
    written = json.loads(line)
    (shown,) = json.loads(json.dumps(seen(log, ban()).to_json()))["sources"]
    assert shown == {key: written[key] for key in shown}
