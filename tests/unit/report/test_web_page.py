"""The page as text; tests/integration/test_report_page.py opens it in a browser."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.report.web_page import page
from tests.support.log_lines import HOSTILE, hostile_log, line, scenario_log, write
from tests.support.long_log import long_log
from tests.support.reports import summary_of

MOST_BYTES = 300_000


class Elements(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = f"after {tag}"

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_has_the_numbers(tmp_path: Path) -> None:
    summary = summary_of(scenario_log(tmp_path / "a.log"), allowlist=())
    text = page(summary)
    data = json.loads("".join(re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)))
    assert sum(sum(one["counts"]) for one in data["scans"]["series"]) == summary.totals.scans
    assert f">{summary.banned.total:,}</p>" in text
    for row in summary.groups["technique"].rows:
        cells = "".join(f'<td class="number">{n:,}</td>' for n in (row.scans, row.sources, row.banned))
        assert f"<tr><td>{row.name}</td>{cells}</tr>" in text


def test_the_policy_permits_the_scripts_and_styles_of_the_page_alone(tmp_path: Path) -> None:
    found = Elements(page(summary_of(scenario_log(tmp_path / "a.log"))))
    policy = next(attrs["content"] for tag, attrs in found.elements if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    _data, *scripts = found.texts["script"]
    assert set(re.findall(r"'sha256-[^']+'", policy)) == {hash_of(text) for text in (*found.texts["style"], *scripts)}
    for _, attrs in found.elements:
        assert not {"style", "src", "srcset", "onclick", "onload", "onerror"} & set(attrs)
        assert (attrs.get("href") or "#").startswith("#")


@pytest.mark.parametrize("lines", [(), (line(),), (line(schema=2, new="x"),)])
def test_a_log_of_any_length_has_a_page(tmp_path: Path, lines: tuple[bytes, ...]) -> None:
    text = page(summary_of(write(tmp_path / "a.log", *lines), allowlist=(ip_network("203.0.113.0/24"),)))
    assert "At a glance" in text
    assert ("Scans over time" in text) == bool(lines)


def test_hostile_values_make_no_element(tmp_path: Path) -> None:
    tame, hostile = (
        Elements(page(summary_of(log, allowlist=())))
        for log in (write(tmp_path / "a.log", line()), hostile_log(tmp_path / "b.log"))
    )
    assert {tag for tag, _ in hostile.elements} <= {tag for tag, _ in tame.elements} | {"output"}
    assert len([tag for tag, _ in hostile.elements if tag == "script"]) == 3
    assert not [value for text in hostile.texts.values() for value in text if "\x1b" in value or "\u202e" in value]
    assert any(HOSTILE[0] in text for text in hostile.texts["td"]), "it is shown as text"


def test_the_page_is_small_whatever_the_log_holds(tmp_path: Path) -> None:
    worst = "<&>\"'" * 12
    lines = [
        line(
            **dict.fromkeys(("technique", "scan_type", "tool", "src_net", "src_known", "reason"), f"{number} {worst}"),
            src_ip=f"2001:db8:{number:x}:ffff:ffff:ffff:ffff:ffff",
            src_country=f"{number} {worst}",
            src_asn=number,
            proto=f"{number} {worst}",
            dest_port=1 + number,
            event_id=str(number),
            verdict=("ban", "watch")[number % 2],
            timestamp=f"2026-11-{1 + number % 28:02}T{number % 24:02}:00:00.000000Z",
        )
        for number in range(2000)
    ]
    assert len(page(summary_of(write(tmp_path / "a.log", *lines), allowlist=())).encode()) < MOST_BYTES


def test_a_long_log_has_a_small_page(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(long_log(20_000, 60)))
    text = page(summary_of(log, allowlist=()))
    assert len(text.encode()) < MOST_BYTES / 2
    assert "The log is shorter than four weeks" not in text


def test_the_chart_library_has_its_licence_beside_it() -> None:
    folder = Path(__file__).parents[3] / "portsentry_py/report/page"
    assert "MIT License" in (folder / "uPlot.LICENSE").read_text()
    assert "uPlot (v1." in (folder / "uPlot.iife.min.js").read_text()[:80]
