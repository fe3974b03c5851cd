"""Where the cells of a line stand, and how tshark writes them."""

import pytest

from portsentry_py.core.columns import (
    COLUMNS,
    NO_CELLS,
    NO_HEAD,
    SharedCells,
    cells_of,
    head_of,
    innermost,
    interface_of,
    micros_of,
    payload_of,
    seconds_of,
    shared_cells,
    split,
    time_of,
    time_text,
    without_time,
)
from tests.support.build import HOST, SCANNER, line

TITLES = [title for title, _ in COLUMNS]
CELLS = {title: f"<{title}>" for title in TITLES}
LINE = line(**CELLS)
WHOLE_TCP = {"proto": "6", "offset": "0", "more": "0", "whole": ""}
SHARED = {title: CELLS[title] for title in SharedCells._fields}


def test_every_reader_finds_its_cells() -> None:
    text = "\t".join(SHARED.values())
    assert cells_of(LINE) == ("<time>", "<src>", "<data>", "<dst>", "<id>", text)
    assert split(LINE)[1] == cells_of(LINE)
    assert head_of(line(**{**CELLS, **WHOLE_TCP})) == ("<time>", "<src>", "<data>", "<dst>", "tcp")
    assert shared_cells(text) == tuple(SHARED.values())
    assert interface_of(LINE) == "<iface>"
    assert without_time(LINE) == without_time(line(**{**CELLS, "time": "2.0"}))


def test_no_column_is_left_out() -> None:
    assert {"time", "src", "data", "dst", "id", *SharedCells._fields} == set(TITLES)
    assert len(set(TITLES)) == len(TITLES)


def test_a_line_that_is_too_long_to_be_kept_has_no_head() -> None:
    assert head_of(line(src="x" * 2500)) != NO_HEAD
    assert split(line(src="x" * 3000)) == (NO_HEAD, NO_CELLS)


@pytest.mark.parametrize(
    ("cells", "proto"),
    [
        ({}, "tcp"),
        ({"proto": "17"}, "udp"),
        ({"proto": "UDP", "more": "Not set"}, "udp"),
        ({"proto": "1"}, "icmp"),
        ({"proto": "132"}, "sctp"),
        ({"proto": "99"}, "99"),
        ({"proto": "60,6"}, "tcp"),
        ({"proto": "0,60,58"}, "icmpv6"),
        ({"proto": "60"}, ""),
        ({"proto": ""}, ""),
        ({"proto": "4,6"}, ""),
        ({"offset": "8"}, ""),
        ({"more": "1"}, ""),
        ({"whole": "40"}, ""),
    ],
)
def test_only_whole_packets_outside_tunnels_have_a_transport(cells: dict[str, str], proto: str) -> None:
    assert head_of(line(**{**WHOLE_TCP, **cells}))[4] == proto


@pytest.mark.parametrize("time", ["", "x", "nan", "inf", "-1", "1e400"])
def test_a_cell_without_a_time_is_at_the_epoch(time: str) -> None:
    assert (seconds_of(time), micros_of(time)) == (0, 0)
    assert micros_of("1700000000.000003000") == 1_700_000_000_000_003


@pytest.mark.parametrize("text", ["", "1.0", "1.0\tx\ty"])
def test_a_line_with_too_few_columns_has_no_cells(text: str) -> None:
    assert split(text) == (NO_HEAD, NO_CELLS)
    with pytest.raises(ValueError, match="unpack"):
        cells_of(text)
    with pytest.raises(ValueError, match="^" + text):
        shared_cells(text)
    assert interface_of(text) == ""


def test_cells_lose_the_blanks_around_them() -> None:
    head, cells = split(line(src=f"  {SCANNER}", dst=f"{HOST} "))
    assert head[1:4:2] == cells[1:4:2] == (SCANNER, HOST)
    assert shared_cells("\t".join(f" {cell} " for cell in SHARED.values())) == tuple(SHARED.values())


def test_a_line_without_a_time_is_at_the_epoch() -> None:
    assert time_of("x\ty") == time_of("") == 0
    assert time_of("1700000000.000003\tx") == 1700000000.000003


def test_times_sort_as_text() -> None:
    times = ("1700000000.000002", "1700000001.000001", "1700000000.000010")
    assert sorted(times) == [time_text(line(time=time)) for time in sorted(times, key=float)]


def test_the_innermost_header_is_listed_last() -> None:
    assert innermost("64,63") == "63"
    assert innermost("64") == "64"
    assert innermost("") == ""


@pytest.mark.parametrize("cell", ["0102ff", "01:02:ff", "0102ff…", "0102ff\xe2\x80\xa6", " 0102ff ", "aa,0102ff"])
def test_bytes_are_read_as_every_version_prints_them(cell: str) -> None:
    assert payload_of(cell) == b"\x01\x02\xff"


def test_the_head_of_a_segment_has_no_colons() -> None:
    digits = bytes(range(20)).hex()
    coloned = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    assert head_of(line(data=coloned))[2] == digits[:28]
    assert head_of(line(data=digits))[2] == digits


def test_a_cell_without_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="hex"):
        payload_of("0102zz")
