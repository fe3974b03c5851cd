"""One capture, judged by every rule."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config.settings import Networks, Settings
from portsentry_py.sensor.comparison import Comparison
from portsentry_py.sensor.replay import Replay
from tests.support.build import SCANNER, refused, syn, visit, write_pcap
from tests.support.needs import require_tool

HOME = (ip_network("192.0.2.0/24"),)
NOBODY = Settings()


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A scan of six ports, too few for us, and one of twenty by another source."""
    require_tool("tshark")
    return write_pcap(
        tmp_path / "x.pcap",
        refused(syn("203.0.113.66", *range(2000, 2006))),
        refused(syn(SCANNER, *range(20, 40))),
        visit("198.51.100.7", 80),
    )


def banned(capture: Path, settings: Settings = NOBODY, allowlist: Networks = ()) -> dict[str, set[str]]:
    found = Comparison(settings, HOME, find_tools(), lambda *_: None, allowlist).run([capture])
    return {
        one.source + ("!" if one.innocent else ""): {name for name, ban in one.bans.items() if ban.ports is not None}
        for one in found.candidates
    }


def test_each_rule_bans_whom_its_profile_bans(capture: Path) -> None:
    found = banned(capture)
    for profile in ("portsentry", "scanlogd", "scanblocker", "crowdsec", "psad"):
        settings = replace(Settings(), profile=profile)
        events = list(Replay(settings, HOME, find_tools(), lambda *_: None).events([capture]))
        sources = {getattr(event, "src_ip", "") for event in events if getattr(event, "verdict", "") == "ban"}
        assert {source for source, rules in found.items() if profile in rules} == sources, profile


def test_the_modes_are_those_of_our_own_rule(capture: Path) -> None:
    found = banned(capture, replace(Settings(), profile="scanblocker"))
    assert found[SCANNER] >= {"normal", "aggressive", "scan"}
    assert "scanblocker" in found["203.0.113.66"]
    assert "normal" not in found["203.0.113.66"]


def test_innocents_are_marked_and_not_left_out(capture: Path) -> None:
    for settings, allowlist in (
        (replace(Settings(), ignore=(ip_network(SCANNER),)), ()),
        (Settings(), (ip_network(SCANNER),)),
    ):
        assert banned(capture, settings, allowlist)[f"{SCANNER}!"] >= {"normal", "crowdsec"}


def test_damage_is_told_once(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    comparison = Comparison(Settings(), HOME, find_tools(), lambda *_: None)
    assert comparison.run([capture]).total == 2
    assert len(comparison.damage) == 1
