"""A thief of the key of one host has no effect on the others beyond its quota."""

import asyncio
from pathlib import Path

import pytest

from tests.lab.fleet.stolen_key import ATTACKS, Suite, make_lab

pytestmark = pytest.mark.slow


def test_a_stolen_key_has_no_effect_beyond_its_quota(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    try:
        rows = asyncio.run(Suite(lab).play())
    finally:
        lab.close()
    assert [row for row in rows if not row.holds] == []
    assert len(rows) == len(ATTACKS)
