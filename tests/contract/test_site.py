"""The site builds, and a dead link fails it."""

import subprocess
from pathlib import Path

import pytest

from tests.support import site

pytestmark = pytest.mark.slow


def test_the_site_has_every_page_and_a_search(tmp_path: Path) -> None:
    site.build(tmp_path / "site")
    assert "moving" in (tmp_path / "site/search/search_index.json").read_text(encoding="utf-8")
    assert (tmp_path / "site/docs/mistakes/index.html").exists()
    assert (tmp_path / "site/fail2ban/index.html").exists()


def test_a_dead_link_fails_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "README.md"
    page.write_text("[x](nowhere.md)\n", encoding="utf-8")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    monkeypatch.setattr(site, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(site, "PAGES", [page])
    with pytest.raises(subprocess.CalledProcessError):
        site.build(tmp_path / "site")
