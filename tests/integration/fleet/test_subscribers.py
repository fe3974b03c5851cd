"""Hundreds of hosts on one broker: each hears of a ban, and one that starts reads the lists of all."""

from pathlib import Path

import pytest

from tests.lab.fleet.subscribers import measure
from tests.support.fleet_lab import BROKER

pytestmark = pytest.mark.slow


def test_a_ban_comes_to_every_host_and_a_new_host_reads_every_list(tmp_path: Path) -> None:
    text = measure(tmp_path, BROKER, number=300, rounds=3).text
    assert "300 hosts have a connection each" in text
    print(text)
