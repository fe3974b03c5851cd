"""What the suite does not let pass: a SYN without a line of which none was reported, and wrong sums."""

from pathlib import Path
from typing import Any

import pytest

from portsentry_py.events.model import utc
from tests.lab.faults.accounting import Accounting, Line, account, imbalances, reported_gaps
from tests.lab.faults.fault import Fault, Observed
from tests.lab.faults.reference import Capture, Seen, read
from tests.lab.faults.report import row
from tests.lab.faults.sender import ends
from tests.support import pcap
from tests.support.frames import ACK, SYN, Link, segment

NOW = 1_700_000_000
COUNTS = ("packets_seen", "packets", "packets_decoded", "packets_ignored", "packets_malformed")
LOSSES = ("packets_dropped", "packets_missed", "packets_pending", "lines_lost")
NOTHING = dict.fromkeys((*COUNTS, *LOSSES, "renewals"), 0)


def seen(number: int, after: float) -> Seen:
    return Seen(NOW + after, (f"10.0.0.{number}", 1024 + number, "203.0.113.1", 8000))


def connection(about: Seen) -> Line:
    ends = dict(zip(("src_ip", "src_port", "dest_ip", "dest_port"), about.key, strict=True))
    return {"event_type": "connection", "timestamp": utc(round(about.time * 1_000_000)), **ends}


def status(state: str, after: float, counts: dict[str, int] = NOTHING, *, reason: str = "none") -> Line:
    line: dict[str, Any] = {"event_type": "status", "timestamp": utc(round((NOW + after) * 1_000_000))}
    return {**line, "state": state, "reason": reason, **NOTHING, **counts}


# One in each tenth of a second.
SYNS = [seen(number, number / 10) for number in range(100)]


def judged(lost: range, *statuses: Line, gaps: tuple[tuple[float, float], ...] = ()) -> Accounting:
    """What is found where these SYNs have no line."""
    lines = [connection(one) for number, one in enumerate(SYNS) if number not in lost]
    return account(Capture(len(SYNS), SYNS), [*lines, *statuses], gaps)


def counted(lost: int = 0, **counts: int) -> dict[str, int]:
    given = len(SYNS) - lost
    return {"packets_seen": len(SYNS), "packets": given, "packets_decoded": given, **counts}


def test_where_all_have_lines_nothing_is_lost() -> None:
    found = judged(range(0), status("stopped", 11, counted()))
    assert (found.came, found.lost, found.unreported, found.wrong, found.reported) == (100, [], [], [], "")
    assert found.blind_seconds(NOW + 3, SYNS) == pytest.approx(0.1)


SOME = {"packets": 7, "packets_decoded": 7, "packets_seen": 7}
BROKEN = tuple(status(state, at, SOME, reason="dumpcap_ended") for state, at in (("interrupted", 5), ("restarted", 6)))


def test_what_is_lost_in_a_gap_and_counted_was_told() -> None:
    found = judged(range(48, 60), *BROKEN, status("stopped", 11, counted(12, packets_missed=12)))
    assert len(found.lost) == 12
    assert (found.unreported, found.wrong) == ([], [])
    assert "`interrupted` (`dumpcap_ended`), `restarted` (`dumpcap_ended`), `packets_missed` 12" in found.reported
    assert found.blind_seconds(NOW + 4.85, SYNS) == pytest.approx(6.0 - 4.85)


@pytest.mark.parametrize(
    ("lost", "counts"),
    [
        (range(48, 60), counted(12, packets_missed=11)),
        (range(30, 42), counted(12, packets_missed=12)),
        (range(55, 67), counted(12, packets_missed=12)),
        (range(30, 42), counted(12, packets_dropped=11)),
        (range(30, 42), counted(lines_lost=11)),
    ],
    ids=["one too few", "before the gap", "after the gap", "too few dropped", "too few lines"],
)
def test_what_is_lost_otherwise_was_not_told(lost: range, counts: dict[str, int]) -> None:
    assert judged(lost, *BROKEN, status("stopped", 11, counts)).unreported


@pytest.mark.parametrize("counts", [counted(12, packets_dropped=12), counted(lines_lost=12)])
def test_what_is_counted_as_dropped_may_be_anywhere(counts: dict[str, int]) -> None:
    found = judged(range(30, 42), status("stopped", 11, counts))
    assert (found.unreported, found.wrong) == ([], [])


def test_a_dead_sensor_tells_nothing() -> None:
    last = status("stopped", 11, counted(12))
    assert judged(range(30, 42), last).unreported
    assert not judged(range(30, 42), last, gaps=((NOW + 3, NOW + 4.15),)).unreported


def test_a_line_too_many_is_wrong() -> None:
    lines = [connection(one) for one in SYNS]
    last = status("stopped", 11, counted())
    capture = Capture(len(SYNS), SYNS)
    assert "more than one line" in account(capture, [*lines, lines[7], last]).wrong[0]
    assert "did not come" in account(capture, [*lines, connection(seen(200, 1)), last]).wrong[0]


def test_sums_that_are_wrong_are_told() -> None:
    assert imbalances(status("stopped", 1, counted())) == []
    assert len(imbalances(status("stopped", 1, {**counted(), "packets_decoded": 99}))) == 2
    assert len(imbalances(status("stopped", 1, counted(1)))) == 1
    for name in ("packets_dropped", "packets_missed", "packets_pending"):
        assert imbalances(status("stopped", 1, counted(1, **{name: 1}))) == []


def test_a_gap_begins_as_early_as_it_may_have_been_noticed_late() -> None:
    assert reported_gaps(BROKEN) == [(NOW + 4, NOW + 6)]
    assert reported_gaps([status("interrupted", 9, SOME, reason="stalled")]) == [(NOW - 11, float("inf"))]
    assert reported_gaps([status("interrupted", 9, reason="stalled")]) == [(0.0, float("inf"))], "none had come before"


@pytest.mark.parametrize(("packets", "begun"), [(7, NOW + 6), (8, NOW + 19)])
def test_a_capture_that_gave_nothing_was_none(packets: int, begun: float) -> None:
    lines = [
        status("interrupted", 5, {"packets": 7}, reason="dumpcap_ended"),
        status("restarted", 6, {"packets": 7}, reason="dumpcap_ended"),
        status("interrupted", 20, {"packets": packets}, reason="dumpcap_ended"),
    ]
    assert reported_gaps(lines)[1:] == [(begun, float("inf"))]


@pytest.mark.parametrize(("link", "header"), [(113, 16), (276, 20)])
def test_the_capture_is_read(tmp_path: Path, link: int, header: int) -> None:
    ours = [ends(number, 0xCB007101) for number in (1, 256, 70_000)]
    frames = [segment(Link(), one, SYN, 1) for one in ours]
    frames += [segment(Link(), ours[0], ACK, 1), segment(Link(), (0xC6336442, 1, 2, 3), SYN, 1)]
    packets = [(round((NOW + at + 0.5) * 1e6), bytes(header) + frame[14:]) for at, frame in enumerate(frames)]

    capture = read(pcap.write(tmp_path / "one.pcap", packets, link))

    assert capture.packets == 5
    assert [one.time for one in capture.syns] == [NOW + 0.5, NOW + 1.5, NOW + 2.5]
    assert [one.key[0] for one in capture.syns] == ["10.1.0.1", "10.0.1.1", "10.112.17.2"]
    assert {one.key[2] for one in capture.syns} == {"203.0.113.1"}


def test_no_two_syns_are_the_same_and_no_network_sends_two() -> None:
    found = {ends(number, 1) for number in range(0, 1 << 24, 997)}
    assert len(found) == len(range(0, 1 << 24, 997))
    assert len({ends(number, 1)[0] >> 8 for number in range(1 << 16)}) == 1 << 16


FAULT = Fault("x", "what breaks", "what is promised", lambda _: Observed("", ""))


def test_the_table_shows_what_happened() -> None:
    observed = Observed("a new capture", "`interrupted`", 0.44, 12, 1234)
    assert row(FAULT, observed) == [
        *("what breaks", "what is promised", "a new capture", "0.4", "12 of 1,234", "`interrupted`")
    ]
    assert row(FAULT, Observed("exit code 69", "“no”"))[3:5] == ["", ""]
    assert row(FAULT, AssertionError("12 were lost\nevidence"))[2] == "**12 were lost**"
