"""The benchmarks in miniature: that they measure and their counts add up; never how fast anything is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import bulk, captures, delay, frames, hidden, memory, rates, replay
from tests.bench.frames import Link
from tests.bench.programs import Counts, given_peer
from tests.bench.sending import Sent
from tests.tools import require_root, require_tool

PACKETS = 3_000
COUNTER = "counter=dumpcap -q -i $IFACE -f tcp -P -w - | od -v -w90"


def wire(*tools: str) -> None:
    require_root()
    for tool in ("ip", "tshark", "dumpcap", *tools):
        require_tool(tool)


@pytest.mark.parametrize("kind", [*captures.REPLAYED.values(), captures.strangers])
def test_the_captures_are_whole_and_the_same_every_time(tmp_path: Path, kind: captures.Frames) -> None:
    path = frames.write(tmp_path / "one.pcap", kind(PACKETS, Link()), 1_000)
    again = frames.write(tmp_path / "two.pcap", kind(PACKETS, Link()), 1_000)
    assert path.read_bytes() == again.read_bytes()
    checks = ("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE")
    fields = ("-e", "ip.src", "-e", "ip.checksum.status", "-e", "tcp.checksum.status")
    done = subprocess.run(
        [require_tool("tshark"), "-n", "-r", str(path), *checks, "-T", "fields", *fields],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == PACKETS
    assert {tuple(row[1:]) for row in rows} == {("1", "1")}
    if kind is captures.strangers:
        assert len({row[0] for row in rows}) == PACKETS


@pytest.mark.wire
def test_replay() -> None:
    wire()
    name, kind = next(iter(captures.REPLAYED.items()))
    rows = replay.measure(PACKETS, 1, {name: kind})
    other = replay.pyshark(20)

    assert other.packets == 20
    assert all(run.cpu_seconds > 0 and run.peak_bytes > 0 for row in rows for run in (*row.bare, *row.sensor))
    assert "pyshark reads" in replay.section(rows, other)


@pytest.mark.wire
def test_rates() -> None:
    wire("tcpreplay")
    found = rates.measure(
        rates.Plan({"forged flood": (None,)}, (3_000,), 1, PACKETS, PACKETS), [given_peer(COUNTER)]
    )

    assert [one.program for one in found] == ["portsentry-py", "counter"]
    assert all(one.sent.packets == PACKETS and one.peak_bytes > 0 and one.lines > 0 for one in found)
    assert found[0].counts == Counts(PACKETS, 0)
    assert found[1].lost is None
    assert f"a burst of {PACKETS:,} packets at full speed is kept whole." in rates.section(found)


def test_rates_tells_the_fastest_that_lost_nothing_from_the_fastest_that_kept_up() -> None:
    def trial(rate: int | None, seen: int, behind: float) -> rates.Trial:
        sent = Sent(1_000, 1_000 / (rate or 1_000_000))
        return rates.Trial("portsentry-py", "flood", rate, sent, Counts(seen, 1_000 - seen), {}, behind, 0, 0)

    text = rates.section([trial(10, 1_000, 0), trial(20, 1_000, 9), trial(40, 999, 9), trial(None, 990, 1)])

    assert "flood: it keeps up with 10 packets a second, nothing is lost up to 20 packets a second, " in text
    assert "a burst of 1,000 packets at full speed loses 10." in text


@pytest.mark.wire
def test_memory() -> None:
    wire()
    growth = memory.measure(PACKETS)

    assert len(growth.peaks) == memory.TENTHS
    assert all(peak["tshark"] > 0 and peak["python"] > 0 for peak in growth.peaks)
    assert growth.status["packets"] == PACKETS
    assert growth.status["packets_malformed"] == 0
    assert f"`packets` {PACKETS:,}" in memory.section(growth)


@pytest.mark.wire
def test_delay() -> None:
    wire("nmap", "nft", "fail2ban-server")
    found = delay.measure(1)

    delays = [one for group in found.values() for one in group]
    assert len(delays) == len(delay.SPEEDS)
    assert all(0 < one.line_seconds < one.ban_seconds and one.line_probes >= 8 for one in delays)
    assert delay.section(found).count("\n") == 2 + len(found)


@pytest.mark.wire
def test_bulk() -> None:
    wire("iperf3")
    rows = bulk.measure(1, bulk.LOADS[2:])

    assert [row.name for row in rows] == [load.name for load in bulk.LOADS[2:]]
    assert all(row.gigabits > 0 for row in rows)
    assert rows[0].counts.packets < 100 < rows[1].counts.packets
    assert len(bulk.section(rows).splitlines()) == 2 + len(rows)


@pytest.mark.wire
def test_a_scan_inside_a_flood() -> None:
    wire("nmap", "tcpreplay")
    outcome = hidden.measure(2_000, 3)

    assert outcome.sent.packets == 6_000
    assert outcome.scan.probes == 98  # of nmap's hundred ports, the lab serves two
    assert outcome.status["packets"] == outcome.on_the_wire
    assert outcome.accounted == outcome.attempts
    assert outcome.named_seconds is not None
    assert "was named" in hidden.section(outcome)


def test_a_part_is_put_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / bench.PAGE
    page.write_text("a\n<!-- bench rates -->\nold\n<!-- end of bench rates -->\nb\n")

    bench.write(page, "rates", "new\n")

    assert page.read_text() == "a\n<!-- bench rates -->\n\nnew\n\n<!-- end of bench rates -->\nb\n"


def test_the_page_has_a_place_for_every_part() -> None:
    text = (Path(__file__).parents[2] / "docs" / bench.PAGE).read_text()
    for name in ("machine", *bench.PARTS):
        assert text.count(f"<!-- bench {name} -->\n") == text.count(f"<!-- end of bench {name} -->\n") == 1


def test_a_peer_has_a_name_and_a_command() -> None:
    assert given_peer("a=b=c").command == "b=c"
    with pytest.raises(ValueError, match="NAME=CMD"):
        given_peer("nothing")
