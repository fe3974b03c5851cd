"""The simulation of a fleet that sees together, with few hosts."""

from pathlib import Path

import pytest

from tests.lab import fleet_sweep
from tests.support.paths import MEASUREMENTS

pytestmark = pytest.mark.slow


def test_a_small_fleet_names_sweeps_and_bans_no_innocent() -> None:
    result = fleet_sweep.Simulation(30).run()
    assert fleet_sweep.holds(result)
    assert len(result.groups[fleet_sweep.FORGED]["watch"]) == 200
    assert result.sent <= result.offered


def test_the_page_has_a_place_for_the_figures(tmp_path: Path) -> None:
    (tmp_path / fleet_sweep.PAGE).write_text((MEASUREMENTS / fleet_sweep.PAGE).read_text())
    words = ["-o", str(tmp_path), "--hosts", "30", "40"]
    assert fleet_sweep.main(words, lambda sizes: (f"of {sizes}", False)) == 1
    assert "of [30, 40]" in (tmp_path / fleet_sweep.PAGE).read_text()
