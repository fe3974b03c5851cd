"""What the damages do to a capture, and what the page says of it."""

import pytest

from tests.lab.accuracy import report
from tests.lab.accuracy.damage import DAMAGES, Damage, score_damaged
from tests.lab.accuracy.score import Score
from tests.lab.ordinary.day import seeded
from tests.lab.support.labelled import Capture
from tests.scenarios.families import scans
from tests.support.paths import CASES

PACKETS = [(nth * 10_000, nth.to_bytes(2, "big")) for nth in range(1000)]


def _score(name: str, label: str, *, detected: bool | None = None, named: tuple[str, ...] = ()) -> Score:
    return Score(name, label, "clear", ("syn",), detected=detected, false_positives=list(named))


def test_a_share_of_the_packets_is_lost() -> None:
    kept = Damage("lossy", loss=0.35).of(PACKETS, seeded("test"))

    assert 600 < len(kept) < 700
    assert kept == sorted(kept)


def test_packets_change_places_within_the_window_and_keep_their_times() -> None:
    shuffled = Damage("shuffled", shuffle_seconds=0.2).of(PACKETS, seeded("test"))

    assert sorted(shuffled) == PACKETS
    assert shuffled != PACKETS
    latest = 0
    for time_us, _ in shuffled:
        latest = max(latest, time_us)
        assert latest - time_us <= 200_000


def test_each_packet_stands_there_twice() -> None:
    double = Damage("double", twice=True).of(PACKETS, seeded("test"))

    assert [frame for _, frame in double[::2]] == [frame for _, frame in double[1::2]] == [one for _, one in PACKETS]


@pytest.mark.parametrize("damage", DAMAGES, ids=[one.name for one in DAMAGES])
def test_a_scan_is_detected_in_what_is_left_of_its_capture(damage: Damage) -> None:
    path = CASES / scans.syn_scan.name / "capture.pcap"
    capture = Capture(path, "syn", "positive", "clear", ("syn",), frozenset({"203.0.113.9"}), ())

    first, second = score_damaged(capture, damage), score_damaged(capture, damage)

    assert first == second
    assert first.detected
    assert first.right_source


def test_the_page_names_what_a_damage_changed() -> None:
    whole = [_score("a", "positive", detected=True), _score("b", "positive", detected=True), _score("c", "negative")]
    lossy = [_score("a", "positive", detected=False), *whole[1:2], _score("c", "negative", named=("192.0.2.1",))]

    page = report.markdown(whole, {"lossy": lossy}, "")

    assert "Of 2 scans, 2 (15.8 to 100.0 %) detected" in page
    assert "| lossy | 2 | 1 (1.3 to 98.7 %) | 0 (0.0 to 84.2 %) | 1 | 1 (2.5 to 100.0 %) |" in page
    assert "- lossy, not detected: a.\n" in page
    assert "- lossy, accused: c.\n" in page
