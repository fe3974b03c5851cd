"""The quick half: each attack is played once, and comes out as expected."""

from pathlib import Path

import pytest

from tests.lab.attacks.attack import Attack
from tests.lab.attacks.everything import ATTACKS, play_quickly
from tests.lab.attacks.expected import expected
from tests.lab.attacks.quick import is_quick
from tests.support.needs import require_root, require_tool

PLAYED = [attack for attack in ATTACKS if is_quick(attack)]
_LIVE = pytest.mark.wire


@pytest.mark.parametrize(
    "attack", [pytest.param(one, marks=_LIVE if one.way == "live" else (), id=one.name) for one in PLAYED]
)
def test_it_comes_out_as_expected(attack: Attack, tmp_path: Path) -> None:
    require_tool("fail2ban-regex")
    if attack.way == "live":
        require_root()
        for tool in ("ip", "nft", "nmap", "tshark", "dumpcap", "fail2ban-server"):
            require_tool(tool)
    wanted = expected(attack)
    seen = play_quickly(attack, tmp_path, max(one.least for one in wanted))

    assert [one.text for one in wanted if not one.holds(seen)] == [], seen.evidence[:5]
