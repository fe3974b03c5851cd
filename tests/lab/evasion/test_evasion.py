"""Some rows of each kind, live and in simulated time, and some scanners with random headers."""

import pytest

from tests.lab.evasion import report
from tests.lab.evasion.mutation import scanned
from tests.lab.evasion.play import ROWS, played
from tests.lab.evasion.row import Row, Seen
from tests.support.needs import require_wire
from tests.support.sensor import Line

_LIVE = (
    *("nmap -sS -p600-639", "nmap -6 -sU -p2000-2039", "nmap -sS -f -p600-639", "nmap -sS -g 53 -p600-639"),
    *("nmap -sS --mtu 128 --data-length 600 -p600-639", "nmap -sS --scanflags SYNFIN -p600-639"),
    *("first 64", "hop-by-hop options, 104 bytes", "two addresses in turn, half of the ports each"),
    "nmap -sT -p750",
)
_SIMULATED = ("nmap -T0: a SYN each 300 s", "one probe in ten minutes: a SYN each 600 s")
_LINE: Line = {
    "src_ip": "198.51.100.66",
    "verdict": "ban",
    "scan_type": "syn",
    "technique": "port_scan",
    "attempts": 9,
    "open": 1,
    "first_seen": "2026-11-20T08:00:00.000000Z",
    "last_seen": "2026-11-20T08:00:01.500000Z",
    "reason": "ports_in_window",
}


def _rows(commands: tuple[str, ...], family: int = 0) -> list[Row]:
    return [row for row in ROWS if row.command in commands and row.family == (family or row.family)]


@pytest.mark.wire
def test_some_rows_of_each_kind_are_seen_as_expected() -> None:
    require_wire("nmap", "tshark", "dumpcap", "nft")
    rows = [*{row.command: row for row in _rows(_LIVE)}.values()]
    assert len(rows) == len(_LIVE)

    found = list(played(rows))

    assert [(one.row.command, one.verdict) for one in found if not one.is_expected] == []
    unseen = [one.row.command for one in found if one.verdict == "unseen"]
    assert unseen == [row.command for row in rows if row.expected == "unseen"]


def test_a_scan_with_hours_between_its_first_and_last_probe_is_named_within_a_day() -> None:
    found = list(played(_rows(_SIMULATED, family=4)))

    assert len(found) == len(_SIMULATED)
    for one in found:
        assert one.first is not None
        assert report.seconds(one.first) < 86_400


@pytest.mark.parametrize("seed", range(40))
def test_a_scanner_with_random_headers_and_pauses_is_named(seed: int) -> None:
    assert scanned(seed).verdict


def test_there_are_many_rows_and_each_that_is_not_banned_has_a_reason() -> None:
    assert len(ROWS) > 200
    assert len({(row.command, row.family, row.group) for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert (row.live is None) != (row.replayed is None)
        assert bool(row.why) == (row.expected != "ban"), row.command


def test_the_page_has_what_was_seen_and_what_was_not() -> None:
    plain, hidden = Row("nmap's types", "nmap -sS"), Row("pieces", "one piece", expected="unseen", why="It is dropped.")

    page = report.markdown([Seen(plain, (_LINE,)), Seen(hidden, ())], [scanned(0)])

    assert "| IPv4 | `nmap -sS` | syn port_scan | ban | 8 | 1.5 |  |" in page
    assert "- `one piece`: It is dropped." in page
    assert "2 rows: 1 get `ban`, 0 `watch`, 1 are not seen; 0 have less than expected" in page


def test_a_row_that_is_not_seen_and_should_be_is_a_fault() -> None:
    missed = Seen(Row("nmap's types", "nmap -sS"), ())

    assert not missed.is_expected
    assert Seen(missed.row, (), learned=0).is_expected
    assert "less than expected: nmap -sS" in report.summary([missed], [])
