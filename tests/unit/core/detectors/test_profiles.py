"""Each profile at its peer's exact edge."""

import pytest

from portsentry_py.config.settings import PEERS, Profile, Settings, Traps
from portsentry_py.core.detectors.profiles import PORTSENTRY_TCP, PORTSENTRY_UDP, PROFILES, Tables, detectors_of
from portsentry_py.core.group_table import GroupTable
from portsentry_py.core.outbound_table import OutboundTable
from portsentry_py.core.question import Questions
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    connect,
    evidence,
    fin,
    refused,
    scans,
    syn,
    traps,
    udp,
    visit,
    watch,
)
from tests.support.paths import PACKAGE


def test_every_profile_of_the_settings_has_its_detectors() -> None:
    assert set(PROFILES) == {"default", *PEERS}


def test_the_default_profile_has_all_our_detectors() -> None:
    modules = [
        type(detector).__module__.rpartition(".")[2]
        for detector in detectors_of(Settings(), Tables(GroupTable(16), OutboundTable(), Questions()))
    ]
    assert modules[0] == "trap", "a touch is reported before the scan that it belongs to"
    files = {path.stem for path in (PACKAGE / "core/detectors").glob("[a-z]*.py")}
    assert sorted(modules) == sorted(files - {"base", "profiles"})


@pytest.mark.parametrize("profile", PROFILES)
def test_the_operators_traps_are_watched_in_every_profile(profile: Profile) -> None:
    settings = Settings(profile=profile, traps=Traps(tcp=frozenset({2323})))
    assert [touch.dest_port for touch in traps(watch(settings, refused(syn(SCANNER, 2323))))] == [2323]


@pytest.mark.parametrize("profile", sorted(set(PEERS) - {"portsentry", "portanoia"}))
def test_a_peer_without_traps_has_none_by_default(profile: Profile) -> None:
    assert traps(watch(Settings(profile=profile), refused(syn(SCANNER, 1, 11, 15)))) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_visits_of_served_ports_are_no_evidence_in_any_profile(profile: Profile) -> None:
    assert evidence(watch(Settings(profile=profile), visit(SCANNER, *range(8000, 8100)))) == []


@pytest.mark.parametrize("profile", sorted(PEERS))
def test_our_own_probes_are_no_evidence_in_a_profile_of_a_peer(profile: Profile) -> None:
    assert evidence(watch(Settings(profile=profile), refused(syn(HOST, *range(1, 200), dst=FRIEND)))) == []


def test_portsentry_bans_at_the_first_packet_to_a_listed_port() -> None:
    settings = Settings(profile="portsentry")
    for port in sorted(PORTSENTRY_TCP):
        (touch,) = traps(watch(settings, refused(syn(SCANNER, port))))
        assert (touch.verdict, touch.dest_port) == ("ban", port)
    for port in sorted(PORTSENTRY_UDP):
        (touch,) = traps(watch(settings, udp(SCANNER, port)))
        assert (touch.verdict, touch.proto) == ("ban", "udp")


def test_portsentry_watches_only_its_list() -> None:
    unlisted = sorted(set(range(1, 3000)) - PORTSENTRY_TCP)
    assert evidence(watch(Settings(profile="portsentry"), syn(SCANNER, *unlisted, every=0.001))) == []


def test_portsentrys_list_can_be_replaced() -> None:
    settings = Settings(profile="portsentry", traps=Traps(tcp=frozenset({2323}), udp=frozenset()))
    assert evidence(watch(settings, refused(syn(SCANNER, *sorted(PORTSENTRY_TCP))))) == []
    assert [touch.verdict for touch in traps(watch(settings, syn(SCANNER, 2323)))] == ["ban"]


def test_portanoia_bans_at_the_first_packet_to_the_operators_port() -> None:
    settings = Settings(profile="portanoia", traps=Traps(tcp=frozenset({2323}), udp=frozenset()))
    assert [touch.verdict for touch in traps(watch(settings, syn(SCANNER, 2323)))] == ["ban"]
    assert evidence(watch(settings, syn(SCANNER, *range(1, 200), *range(2000, 2300)))) == []


@pytest.mark.parametrize(("every", "count", "hits"), [(20, 4, 1), (20.001, 4, 0), (0.01, 3, 0), (0.01, 4, 1)])
@pytest.mark.parametrize("build", [syn, connect])
def test_scanblocker_bans_at_the_fourth_port_within_a_minute(
    build: object, every: float, count: int, hits: int
) -> None:
    assert callable(build)
    settings = Settings(profile="scanblocker")
    found = scans(watch(settings, build(SCANNER, *range(2000, 2000 + count), every=every)))
    assert [(scan.verdict, scan.reason) for scan in found] == [("ban", "ports_in_window")] * hits


def test_scanblocker_counts_only_connections() -> None:
    settings = Settings(profile="scanblocker")
    assert scans(watch(settings, fin(SCANNER, *range(2000, 2050)), udp(SCANNER, *range(2000, 2050), at=9))) == []
