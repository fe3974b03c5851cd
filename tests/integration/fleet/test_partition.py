"""A host that was cut off for ten minutes, and one that knows nothing, get all bans that are active and no others."""

from pathlib import Path

import pytest

from tests.lab.fleet.partition import play
from tests.support.fleet_lab import BROKER

pytestmark = pytest.mark.slow


def test_after_a_partition_and_after_a_reboot_only_active_bans_come(tmp_path: Path) -> None:
    assert play(tmp_path, BROKER).revived == frozenset()
