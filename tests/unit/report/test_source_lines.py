"""What the log says about one source: its lines, newest first, and the one that decides."""

import dataclasses
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.errors import InputError, UsageError
from portsentry_py.events.model import Event, ScanEvent, utc
from portsentry_py.report.source_lines import read_source, source_of, subject_of_query
from tests.support.build import SCANNER, SCANNER6, SECOND_US, START_US, evidence, log_lines, refused, strict, syn, watch

EVENTS = watch(strict(), refused(syn(SCANNER, 20, 21, 22, 23)), refused(syn(SCANNER6, 20, 21, 22, 24)))
(SCAN,) = [one for one in evidence(EVENTS) if isinstance(one, ScanEvent) and one.src_ip == SCANNER][:1]


def log(tmp_path: Path, *events: Event) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"".join(log_lines(events or EVENTS)))
    return path


@pytest.mark.parametrize("source", [SCANNER, SCANNER6])
def test_the_lines_of_a_source_come_newest_first(tmp_path: Path, source: str) -> None:
    found = read_source(log(tmp_path), ip_network(source))
    assert found.lines == [one for one in reversed(evidence(EVENTS)) if one.src_ip == source]
    assert sum(found.outcomes.values()) > 0
    assert found.lines_unreadable == 0


def test_an_address_of_the_same_64_is_the_same_source(tmp_path: Path) -> None:
    neighbour = ip_network(SCANNER6).supernet(new_prefix=64)[7]
    assert read_source(log(tmp_path), ip_network(neighbour)).lines
    assert not read_source(log(tmp_path), ip_network("2001:db8:ffff::1")).lines


def test_a_group_is_found_by_its_network(tmp_path: Path) -> None:
    grouped = dataclasses.replace(SCAN, group_net="203.0.113.0/24")
    assert read_source(log(tmp_path, grouped), ip_network("203.0.113.0/24")).lines == [grouped]


def test_an_event_id_means_its_source(tmp_path: Path) -> None:
    for line in evidence(EVENTS):
        assert subject_of_query(log(tmp_path), line.event_id).network == ip_network(source_of(line))


def test_an_event_id_means_the_time_of_its_scan(tmp_path: Path) -> None:
    later = dataclasses.replace(SCAN, first_seen=utc(START_US), last_seen=utc(START_US + SECOND_US))
    found = subject_of_query(log(tmp_path, SCAN, later), SCAN.event_id)
    assert found.span_us == (START_US, START_US + SECOND_US)
    assert subject_of_query(log(tmp_path), SCANNER).span_us is None


def test_an_unknown_event_id_and_other_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no line with event_id"):
        subject_of_query(log(tmp_path), "0123456789abcdef")
    for query in ("", "nobody", "192.0.2.1/24", "fe80::1%eth0"):
        with pytest.raises(UsageError, match="neither an address nor an event_id"):
            subject_of_query(log(tmp_path), query)


def test_the_most_severe_last_line_of_a_technique_decides(tmp_path: Path) -> None:
    ended = dataclasses.replace(SCAN, state="ended", verdict="watch", reason="ended")
    trap = dataclasses.replace(SCAN, technique="trap", verdict="watch", reason="decoy_port")
    network = ip_network(SCANNER)
    assert read_source(log(tmp_path, SCAN, trap, ended), network).deciding == SCAN
    assert read_source(log(tmp_path, ended), network).deciding == ended
    friend = dataclasses.replace(SCAN, verdict="watch", reason="friend")
    assert read_source(log(tmp_path, SCAN, friend), network).deciding == friend
    assert read_source(log(tmp_path, SCAN), ip_network("192.0.2.1")).deciding is None
