"""The reader takes the lines of any version, counts the damaged ones, and stays within its bound."""

import json
import os
import stat
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portsentry_py.core.host_state import network_of
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import InputError, PermissionDenied
from portsentry_py.events.model import Event, SensorState, SourceEvent, to_record
from portsentry_py.report.log_reader import COUNTS, LogTail, read_tail
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import (
    SCANNER,
    SCANNER6,
    US,
    log_lines,
    micros,
    no_deadline,
    refused,
    scans,
    strict,
    syn,
    watch,
)


def status(state: SensorState = "started", at: float = 0) -> Event:
    return status_event(Pipeline(strict(), US), micros(at), state, "none")


def scan(source: str = SCANNER, at: float = 0) -> list[Event]:
    return watch(strict(), refused(syn(source, 20, 21, 22, 23, at=at)))


def log(tmp_path: Path, *parts: bytes) -> Path:
    path = tmp_path / "portsentry.log"
    path.write_bytes(b"".join(parts))
    return path


def lines_and_unreadable(tail: LogTail) -> tuple[int, int]:
    return tail.lines_read, tail.lines_unreadable


SCAN = log_lines(scans(scan()))[0]
TRAP = SCAN.replace(b'"event_type":"scan"', b'"event_type":"trap"')
STATUS = log_lines([status()])[0]


def changed(line: bytes = SCAN, **keys: object) -> bytes:
    return json.dumps({**json.loads(line), **keys}, separators=(",", ":")).encode() + b"\n"


def test_every_line_of_the_sensor_is_readable(tmp_path: Path) -> None:
    events = [status(), *scan(), *scan(SCANNER6), status("stopped")]
    tail = read_tail(log(tmp_path, *log_lines(events)))
    assert lines_and_unreadable(tail) == (len(events), 0)
    assert set(tail.sources) == {SCANNER, network_of(SCANNER6)}
    assert set(tail.bans) == {*tail.sources, SCANNER6}
    assert tail.status is not None
    assert (tail.status.state, set(tail.status.counts)) == ("stopped", set(COUNTS))
    assert {"packets", "packets_dropped", "lines_lost", "restarts"} <= set(COUNTS)
    assert tail.started == status().timestamp
    assert tail.bytes_read == tail.size_bytes == tail.path.stat().st_size


def test_the_last_line_of_a_source_counts(tmp_path: Path) -> None:
    first, last = log_lines(scans(scan()))[0], changed(verdict="watch", reason="friend")
    tail = read_tail(log(tmp_path, first, last))
    assert (tail.sources[SCANNER].verdict, tail.sources[SCANNER].reason) == ("watch", "friend")
    assert tail.bans[SCANNER].reason == "ports_in_window"


def test_a_technique_that_only_watches_does_not_hide_another_that_bans(tmp_path: Path) -> None:
    trap = changed(event_type="trap", technique="trap", verdict="watch")
    ignored = changed(technique="sweep", verdict="ignore")
    for lines in ((SCAN, trap, ignored), (ignored, trap, SCAN)):
        assert read_tail(log(tmp_path, *lines)).sources[SCANNER].technique == "port_scan"


def test_sources_come_newest_first(tmp_path: Path) -> None:
    lines = [changed(src_ip=f"198.51.100.{nth}") for nth in (1, 2, 3, 1)]
    assert list(read_tail(log(tmp_path, *lines)).sources) == [f"198.51.100.{nth}" for nth in (1, 3, 2)]


def test_of_other_kinds_of_lines_only_the_time_is_kept(tmp_path: Path) -> None:
    late = "2026-11-20T08:41:57.408980Z"
    tail = read_tail(log(tmp_path, STATUS, changed(event_type="new_kind", timestamp=late)))
    assert (lines_and_unreadable(tail), tail.last_line, tail.sources) == ((2, 0), late, {})


FROZEN = [item.name for item in fields(SourceEvent)]


def without(line: bytes, *keys: str) -> bytes:
    record = {key: content for key, content in json.loads(line).items() if key not in keys}
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("line", [SCAN, TRAP])
def test_an_older_line_about_a_source_needs_its_frozen_keys_alone(tmp_path: Path, line: bytes) -> None:
    others = [key for key in json.loads(line) if key not in {*FROZEN, "event_type"}]
    for keys in (*([key] for key in others), others):
        tail = read_tail(log(tmp_path, without(line, *keys)))
        assert lines_and_unreadable(tail) == (1, 0)
        record = to_record(tail.sources[SCANNER])
        assert {key: record[key] for key in keys if record.get(key)} in ({}, {"schema": 1})
        assert {key: content for key, content in record.items() if key not in keys} == json.loads(without(line, *keys))
    for key in [*FROZEN, "event_type"]:
        assert lines_and_unreadable(read_tail(log(tmp_path, without(line, key)))) == (1, 1)


@pytest.mark.parametrize("line", [SCAN, TRAP])
def test_a_newer_line_about_a_source_can_have_more_keys_and_words(tmp_path: Path, line: bytes) -> None:
    words = {"reason": "new_reason", "technique": "new_technique", "state": "resumed", "tool": "newscan"}
    newer = changed(line, **words, score_2=[{}], note="\x1b[2J", confidence=0.5)
    tail = read_tail(log(tmp_path, newer))
    assert lines_and_unreadable(tail) == (1, 0)
    assert to_record(tail.bans[SCANNER]) == {**json.loads(line), **words}


def test_an_older_status_line_lacks_counts(tmp_path: Path) -> None:
    tail = read_tail(log(tmp_path, without(STATUS, "packets_held", "renewals", "reason", "version")))
    assert lines_and_unreadable(tail) == (1, 0)
    assert tail.status is not None
    assert set(COUNTS) - set(tail.status.counts) == {"packets_held", "renewals"}
    assert (tail.status.state, tail.status.reason, tail.status.version) == ("started", "", "")
    bare = without(STATUS, *COUNTS)
    assert lines_and_unreadable(read_tail(log(tmp_path, bare))) == (1, 0)
    assert lines_and_unreadable(read_tail(log(tmp_path, without(bare, "state")))) == (1, 1)


def test_a_newer_status_line_can_have_more_counts_and_words(tmp_path: Path) -> None:
    newer = changed(STATUS, state="resumed", reason="new_reason", packets_new=7, names=["\x1b[2J"])
    tail = read_tail(log(tmp_path, newer))
    assert lines_and_unreadable(tail) == (1, 0)
    assert tail.status is not None
    assert (tail.status.state, tail.status.reason) == ("resumed", "new_reason")
    assert set(tail.status.counts) == set(COUNTS)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"\0\0\0\0\n",
        b"not ours\n",
        b"[" * 5000 + b"\n",
        b'{"timestamp":"' + b'"}\n',
        b'{"timestamp":"x","a":' + b"[" * 8000 + b"\n",
        b'{"timestamp":"x","a":' + b"9" * 6000 + b"}\n",
        SCAN[:-40],
        SCAN[40:],
        SCAN[:30] + SCAN,
        SCAN.replace(b"scan", b"sc\xe4n"),
        SCAN[:-2] + b',"long":"' + b"x" * 9000 + b'"}\n',
        changed(timestamp="2026-13-20T08:41:57.408980Z"),
        changed(timestamp="2026-11-20T08:41:57.408980+00:00"),
        changed(timestamp="٢٠٢٦-11-20T08:41:57.408980Z"),
        changed(event_type="scan\x1b[2J"),
        changed(src_ip="\x1b[2J"),
        changed(src_ip="fe80::1%\x1b[2J"),
        changed(src_ip=None),
        changed(reason="[red]"),
        changed(source_verified="true"),
        changed(ports=-1),
        changed(ports=True),
        changed(ports=10**40),
        changed(ports=1.5),
        changed(ports_sample="22"),
        changed(ports_sample=[22, "x"]),
        changed(STATUS, version="1\x07"),
        changed(STATUS, packets="many"),
        changed(STATUS, state=7),
        changed(STATUS, reason="new reason"),
        changed(TRAP, tool="\x1b[2J"),
        changed(TRAP, tool=None),
        changed(in_iface="eth0\u202e"),
        changed(src_net=7),
        changed(vlan="1"),
        changed(TRAP, event_id=["x"]),
    ],
)
def test_a_damaged_or_hostile_line_is_counted_as_unreadable(tmp_path: Path, line: bytes) -> None:
    tail = read_tail(log(tmp_path, STATUS, line))
    assert lines_and_unreadable(tail) == (2, 1)
    assert tail.status is not None
    assert tail.sources == {}


@settings(no_deadline, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.sampled_from([SCAN, STATUS, b"\n"]),
            st.integers(0, len(SCAN)).map(lambda cut: SCAN[:cut]),
            st.builds(
                lambda key, value: changed(**{key: value}),
                st.sampled_from(list(json.loads(SCAN))),
                st.recursive(
                    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                    max_leaves=5,
                ),
            ),
        )
    ),
    st.integers(0, 2000),
)
def test_garbage_never_raises_and_all_that_is_read_is_printable(tmp_path: Path, parts: list[bytes], limit: int) -> None:
    text = b"".join(parts)
    tail = read_tail(log(tmp_path, text), limit)
    assert tail.bytes_read <= limit
    assert 0 <= tail.lines_unreadable <= tail.lines_read <= text.count(b"\n") + 1
    for line in [*tail.sources.values(), *tail.bans.values()]:
        assert str(line).isprintable()
        assert str(line).isascii()


@pytest.mark.parametrize("cut", [0, 1, len(STATUS) - 1])
def test_only_whole_lines_within_the_bound_are_read(tmp_path: Path, cut: int) -> None:
    path = log(tmp_path, b"garbage\n" * 1000, STATUS, SCAN)
    tail = read_tail(path, len(SCAN) + cut)
    assert lines_and_unreadable(tail) == (1, 0)
    assert tail.files == [path]
    assert read_tail(path, len(SCAN) - 1).lines_read == 0


def test_the_rotated_log_is_read_while_there_is_room(tmp_path: Path) -> None:
    path = log(tmp_path, STATUS)
    before = tmp_path / "portsentry.log.1"
    before.write_bytes(b"garbage\n" * 100 + SCAN)
    tail = read_tail(path, len(STATUS) + len(SCAN))
    assert (lines_and_unreadable(tail), tail.files, set(tail.bans)) == ((2, 0), [path, before], {SCANNER})
    assert tail.size_bytes == len(STATUS)
    assert (tail.first_line, tail.last_line) == (json.loads(SCAN)["timestamp"], json.loads(STATUS)["timestamp"])
    assert read_tail(path, len(STATUS)).files == [path]


def test_a_rotated_log_that_is_the_log_itself_or_no_file_is_ignored(tmp_path: Path) -> None:
    path = log(tmp_path, STATUS)
    (tmp_path / "portsentry.log.1").hardlink_to(path)
    assert read_tail(path).files == [path]
    (tmp_path / "portsentry.log.1").unlink()
    (tmp_path / "portsentry.log.1").mkdir()
    assert read_tail(path).files == [path]


def test_an_empty_log_has_no_lines(tmp_path: Path) -> None:
    tail = read_tail(log(tmp_path))
    assert (lines_and_unreadable(tail), tail.last_line, tail.status) == ((0, 0), None, None)


def test_a_path_without_a_log_is_an_error_with_the_fix(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (tmp_path, fifo, loop, tmp_path / "none", Path("/dev/null"), Path("a\0b")):
        with pytest.raises(InputError, match="--log") as caught:
            read_tail(path)
        assert caught.value.exit_code == 65


def test_a_log_that_the_user_may_not_read_is_an_error_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = log(tmp_path, STATUS)
    path.chmod(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0
    monkeypatch.setattr(os, "open", refuse)  # root may read anything
    with pytest.raises(PermissionDenied, match="run as root"):
        read_tail(path)
