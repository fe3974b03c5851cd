"""The measurement of the report, over a short log."""

from pathlib import Path

import pytest

from tests.lab import report
from tests.support.paths import MEASUREMENTS

pytestmark = pytest.mark.slow


def test_all_programs_count_the_same_lines(tmp_path: Path) -> None:
    text, ok = report.measure(tmp_path, 2000)
    assert ok
    assert text.count("\n| ") == 5


def test_the_page_gets_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text((MEASUREMENTS / "report.md").read_text())
    assert report.main(["-o", str(tmp_path), "--lines", "1"], lambda _folder, lines: (f"{lines} line", False)) == 1
    assert "1 line" in (tmp_path / "report.md").read_text()
