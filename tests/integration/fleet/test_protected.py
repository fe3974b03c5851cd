"""A stolen key cannot ban those on whom a host depends, and who work on it."""

from pathlib import Path

import pytest

from tests.lab.fleet.protected import play
from tests.support.fleet_lab import BROKER
from tests.support.needs import require_wire

pytestmark = [pytest.mark.slow, pytest.mark.wire]


def test_gateway_resolver_administrator_and_friend_are_never_banned(tmp_path: Path) -> None:
    require_wire()
    assert [row for row in play(tmp_path, BROKER) if not row.holds] == []
