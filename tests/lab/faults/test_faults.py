"""Every fault in its short form: what is promised is kept, and what is lost was reported."""

from pathlib import Path

import pytest

from tests.lab.faults import report
from tests.lab.faults.catalogue import FAULTS, play
from tests.lab.faults.fault import Fault
from tests.lab.support import page as pages
from tests.support.needs import require_wire
from tests.support.paths import MEASUREMENTS

# One of each kind, for each change; the others are slow.
QUICK = {
    *("tshark-killed", "dumpcap-stopped", "tshark-garbage", "sensor-killed", "iface-deleted"),
    *("disk-full", "log-renamed", "fail2ban-restarted", "settings-broken"),
}
PLAYED = [
    pytest.param(fault, id=fault.name, marks=[pytest.mark.slow] if fault.name not in QUICK else [])
    for fault in FAULTS
    if not fault.alters_clock
]


@pytest.mark.wire
@pytest.mark.parametrize("fault", PLAYED)
def test_the_promise_is_kept(fault: Fault, tmp_path: Path) -> None:
    require_wire("nft", "nmap", "tshark", "dumpcap", "fail2ban-server")
    print(play(fault, tmp_path, short=True))


def test_the_quick_ones_are_faults() -> None:
    assert {fault.name for fault in FAULTS} >= QUICK


def test_each_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len({fault.what for fault in FAULTS}) == len(FAULTS)


def test_a_run_of_some_faults_keeps_the_rows_of_the_others(tmp_path: Path) -> None:
    page = MEASUREMENTS / report.PAGE
    text = page.read_text(encoding="utf-8")
    copy = tmp_path / report.PAGE
    copy.write_text(text, encoding="utf-8")
    first, second, third = (["abc"[number], "1", "2", "", "4", "old"] for number in range(3))
    report.write(copy, [third, first, second], "acb")
    report.write(copy, [[*second[:-1], "new"]], "bca")

    rows = [line for line in pages.part(copy, report.PART).splitlines() if line[:4] in {"| a ", "| b ", "| c "}]
    assert rows == ["| b | 1 | 2 |  | 4 | new |", "| c | 1 | 2 |  | 4 | old |", "| a | 1 | 2 |  | 4 | old |"]


def test_the_page_tells_of_every_fault() -> None:
    text = (MEASUREMENTS / report.PAGE).read_text(encoding="utf-8")
    assert [fault.name for fault in FAULTS if f"| {fault.what} | {fault.promise} |" not in text] == []
