"""The overview joins the end of the log with the answers of fail2ban."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import InputError
from portsentry_py.events.model import Event, EvidenceEvent, SensorState, State, utc
from portsentry_py.fail2ban.client import NotInstalled
from portsentry_py.fail2ban.jails import Fail2banState, JailBan, JailState
from portsentry_py.report.log_reader import read_tail
from portsentry_py.report.overview import Overview, look, overview
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import SCANNER, US, evidence, log_lines, lost, micros, refused, strict, syn, watch
from tests.support.fake_fail2ban import FakeClient


def status(state: SensorState = "running", at: float = 0, dropped: int = 0) -> Event:
    return status_event(Pipeline(strict(), US), micros(at), state, "none", loss=lost(dropped))


def lines(source: str = SCANNER, at: float = 0) -> list[EvidenceEvent]:
    return evidence(watch(strict(), refused(syn(source, 20, 21, 22, 23, at=at))))


def ban(source: str = SCANNER) -> EvidenceEvent:
    return next(line for line in lines(source) if line.verdict == "ban")


BAN = JailBan(SCANNER, left_seconds=90)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "portsentry.log"


def jail_of(log: Path) -> JailState:
    return JailState("portsentry", 1, 7, (str(log),), (BAN,))


def look_at(log: Path, *jails: JailState, at: float = 60) -> Overview:
    return overview(read_tail(log), Fail2banState("answers", jails=jails or (jail_of(log),)), micros(at))


def seen(log: Path, *events: Event, at: float = 60) -> Overview:
    log.write_bytes(b"".join(log_lines(events)))
    return look_at(log, at=at)


def evidence_of(seen: Overview) -> EvidenceEvent:
    ((shown,),) = (jail.bans for jail in seen.fail2ban.jails)
    assert shown.evidence is not None
    return shown.evidence


def test_a_ban_has_its_evidence_and_the_time_left(log: Path) -> None:
    shown = seen(log, *lines(), *lines("198.51.100.9"))
    (jail,) = shown.fail2ban.jails
    assert replace(jail, bans=()) == replace(jail_of(log), bans=())
    assert replace(jail.bans[0], evidence=None) == BAN
    assert evidence_of(shown) == ban()


def test_the_evidence_is_the_last_line_that_bans(log: Path) -> None:
    watched = replace(ban(), verdict="watch", reason="friend")
    shown = seen(log, ban(), replace(ban(), reason="likelihood"), watched)
    assert evidence_of(shown).reason == "likelihood"


def test_the_evidence_of_an_aggressive_jail_can_be_a_line_that_watches(log: Path) -> None:
    assert evidence_of(seen(log, replace(ban(), verdict="watch"))).verdict == "watch"


@pytest.mark.parametrize(
    ("network", "banned", "sources"), [("2001:db8::/64", "2001:db8::/64", 1), ("2001:db8::1/128", "2001:db8::1", 2)]
)
def test_the_ban_of_an_ipv6_network_has_the_line_of_one_of_its_addresses(
    log: Path, network: str, banned: str, sources: int
) -> None:
    first = replace(ban(), src_ip="2001:db8::1", src_net=network)
    log.write_bytes(b"".join(log_lines([first, replace(first, src_ip="2001:db8::2", verdict="watch")])))
    shown = look_at(log, replace(jail_of(log), bans=(JailBan(banned),)))
    assert evidence_of(shown) == first
    assert len(shown.sources) == sources


def test_a_ban_without_a_line_in_the_log_has_no_evidence(log: Path) -> None:
    assert seen(log, status()).fail2ban.jails[0].bans == (BAN,)


def test_the_latest_ten_sources_come_with_their_last_line(log: Path) -> None:
    many = [replace(ban(), src_ip=f"198.51.100.{nth}") for nth in range(1, 13)]
    shown = seen(log, *many, replace(many[0], state="ended"), status()).sources
    assert [line.src_ip for line in shown] == [f"198.51.100.{nth}" for nth in (1, *range(12, 3, -1))]
    assert shown[0].state == "ended"


@pytest.mark.parametrize(
    ("state", "at", "running", "note"),
    [
        ("started", 60, True, ""),
        ("running", 60, True, ""),
        ("running", 3600, None, "nothing for a while"),
        ("interrupted", 60, True, "interrupted"),
        ("stopped", 60, False, "start it with"),
        (None, 60, None, "does not say"),
    ],
)
def test_the_last_status_line_says_whether_the_sensor_runs(
    log: Path, state: SensorState | None, at: float, running: bool | None, note: str
) -> None:
    sensor = seen(log, *([status(state)] if state else []), at=at).sensor
    assert sensor.running is running
    assert note in sensor.note
    assert bool(note) == bool(sensor.note)
    assert (sensor.state, sensor.age_seconds) == ((state, at) if state else (None, None))


def test_the_sensor_has_its_counts_and_its_start(log: Path) -> None:
    sensor = seen(log, status("started"), status("running", at=50)).sensor
    assert (sensor.age_seconds, sensor.counts["packets"]) == (10, 0)
    assert (sensor.started, sensor.timestamp) == (status().timestamp, status(at=50).timestamp)


def test_dropped_packets_have_a_note_with_the_fix(log: Path) -> None:
    sensor = seen(log, status("started"), status(at=50, dropped=60_123)).sensor
    assert sensor.counts["packets_dropped"] == 60_123
    assert "60123 packets" in sensor.note
    assert "capture.buffer_mib" in sensor.note
    assert seen(log, status(dropped=1), status("started", at=50)).sensor.note == "", "of an earlier run"


def test_packets_in_our_name_have_a_note(log: Path) -> None:
    forged = status_event(Pipeline(strict(), US), micros(0), "running", "none", forged=3)
    note = seen(log, forged).sensor.note
    assert note.startswith("3 packets came in with this host's own address")
    assert seen(log, status(dropped=1)).sensor.note.count(".") > 0


def test_the_ban_of_a_network_has_the_line_of_one_of_its_sources(log: Path) -> None:
    line = replace(ban(), technique="distributed", group_net="203.0.113.0/24")
    log.write_bytes(b"".join(log_lines([line, replace(line, src_ip="198.51.100.9", group_net=None)])))
    bans = (JailBan("203.0.113.0/24"), JailBan(line.src_net), JailBan("198.18.0.0/24"))
    (jail,) = look_at(log, replace(jail_of(log), bans=bans)).fail2ban.jails
    assert [one.evidence and one.evidence.technique for one in jail.bans] == ["distributed", "distributed", None]


@pytest.mark.parametrize(
    ("at", "state", "is_shown"), [(300, "ongoing", True), (301, "ongoing", False), (9, "ended", False)]
)
def test_a_scan_by_this_host_names_who_sends_it_while_it_lasts(
    log: Path, at: float, state: State, is_shown: bool
) -> None:
    line = replace(
        ban(), direction="outbound", technique="outbound", verdict="watch", state=state, timestamp=utc(micros(0))
    )
    log.write_bytes(b"".join(log_lines([line])))
    shown = overview(read_tail(log), Fail2banState("answers"), micros(at), lambda one: f"the sender of {one.src_ip}")
    said = f"{SCANNER} scans others, last {line.dest_ip} port {line.dest_port}/tcp: the sender of {SCANNER}."
    assert shown.outbound == (said if is_shown else "")
    assert look_at(log, at=at).outbound.endswith(": unknown.") is is_shown


def test_a_clock_that_was_set_back_gives_no_negative_age(log: Path) -> None:
    shown = seen(log, status(at=1000), at=0)
    assert (shown.sensor.age_seconds, shown.log.last_line_age_seconds) == (0, 0)


def test_the_log_has_its_size_and_its_unreadable_lines(log: Path) -> None:
    log.write_bytes(log_lines([status(at=-30)])[0] + b"torn\n" + log_lines([status()])[0])
    shown = look_at(log).log
    assert (shown.path, shown.size_bytes, shown.files) == (log, log.stat().st_size, [log])
    assert (shown.lines_read, shown.lines_unreadable, shown.last_line_age_seconds) == (3, 1, 60)
    assert shown.note == ""


def test_an_empty_or_foreign_log_has_a_note(log: Path) -> None:
    assert "empty" in seen(log).log.note
    log.write_text("Scan from: [192.0.2.1]\n")
    assert "another program" in look_at(log).log.note


def test_a_jail_that_reads_another_log_has_a_note(log: Path) -> None:
    seen(log, status())
    jail = replace(jail_of(log), logs=("/var/log/other.log",))
    other, none, gone = look_at(log, jail, replace(jail, logs=()), replace(jail, note="it is gone.")).fail2ban.jails
    assert other.note.startswith("it reads /var/log/other.log, not ")
    assert "backend = auto" in none.note
    assert gone.note == "it is gone."


def test_a_failure_of_fail2ban_hides_nothing_else(log: Path) -> None:
    log.write_bytes(b"".join(log_lines([status(), *lines()])))
    shown = look(log, FakeClient(answers={"status": NotInstalled()}))
    assert (shown.fail2ban.standing, shown.fail2ban.note) == ("absent", str(NotInstalled()))
    assert shown.sensor.state == "running"
    assert shown.sources
    assert shown.timestamp > status().timestamp


def test_standard_output_cannot_be_read_again() -> None:
    with pytest.raises(InputError, match="--log"):
        look("-", FakeClient())


def test_the_json_has_stable_keys(log: Path) -> None:
    shown = json.loads(seen(log, status("started"), ban()).to_json())
    assert list(shown) == ["timestamp", "sensor", "log", "fail2ban", "sources", "outbound", "schema"]
    assert list(shown["sensor"]) == [
        *("running", "state", "reason", "version", "timestamp", "age_seconds"),
        *("counts", "memory_bytes", "started", "note"),
    ]
    assert list(shown["log"]) == [
        *("path", "size_bytes", "files", "bytes_read", "lines_read", "lines_unreadable"),
        *("first_line", "last_line", "last_line_age_seconds", "note"),
    ]
    assert list(shown["fail2ban"]) == ["standing", "note", "jails"]
    (jail,) = shown["fail2ban"]["jails"]
    assert list(jail) == ["name", "currently_banned", "total_banned", "logs", "bans", "note"]
    assert list(jail["bans"][0]) == [
        *("address", "banned_at", "ends_at", "ban_seconds", "left_seconds", "permanent", "evidence")
    ]
    assert shown["sources"] == [jail["bans"][0]["evidence"]]
    assert shown["schema"] == 1


def test_a_line_in_the_json_is_the_line_of_the_log(log: Path) -> None:
    (line,) = log_lines([ban()])
    assert json.loads(seen(log, ban()).to_json())["sources"] == [json.loads(line)]
