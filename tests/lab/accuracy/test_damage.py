"""What the damages do to a capture, and what the page says of it."""

from ipaddress import ip_network
from pathlib import Path

from portsentry_py.core.columns import time_of
from tests.lab.accuracy import report
from tests.lab.accuracy.damage import DAMAGES, Damage, scores
from tests.lab.accuracy.score import Score
from tests.lab.ordinary.day import seeded
from tests.lab.support.labelled import Capture
from tests.scenarios.families import scans
from tests.support.build import FRIEND, HOST, STACK_OPTIONS, fin_ack, lines, syn, syn_ack
from tests.support.paths import CASES

LINES = [f"{1_700_000_000 + nth / 100:.6f}\t{nth}" for nth in range(1000)]


def _score(name: str, label: str, *, detected: bool | None = None, named: tuple[str, ...] = ()) -> Score:
    return Score(name, label, "clear", ("syn",), detected=detected, false_positives=list(named))


def test_a_share_of_the_packets_is_lost() -> None:
    kept = Damage("lossy", loss=0.35).of(LINES, seeded("test"))

    assert 600 < len(kept) < 700
    assert kept == sorted(kept)


def test_packets_change_places_within_the_window_and_keep_their_times() -> None:
    shuffled = Damage("shuffled", shuffle_seconds=0.2).of(LINES, seeded("test"))

    assert sorted(shuffled) == LINES
    assert shuffled != LINES
    latest = 0.0
    for line in shuffled:
        latest = max(latest, time_of(line))
        assert latest - time_of(line) <= 0.201


def test_each_packet_stands_there_twice() -> None:
    double = Damage("double", twice=True).of(LINES, seeded("test"))

    assert double[::2] == double[1::2] == LINES


def test_first_segments_to_ports_that_we_serve_are_missing() -> None:
    call, other = syn(FRIEND, 80, 81, options=STACK_OPTIONS)
    (short,) = syn(FRIEND, 80, src_port=7)
    seen = [call, other, short, syn_ack(call), fin_ack(call)]
    missing = Damage("missing", served=True)

    left = missing.of(lines(*seen), seeded("test"), (ip_network(HOST),))

    assert sorted(set(lines(*seen)) - set(left)) == lines(call)
    assert missing.of(lines(*seen), seeded("test")) == lines(*seen), "nobody knows which side is ours"


def test_a_scan_is_detected_in_what_is_left_of_its_capture() -> None:
    path = CASES / scans.syn_scan.name / "capture.pcap"
    capture = Capture(path, "syn", "positive", "clear", ("syn",), frozenset({"203.0.113.9"}), ())

    found = scores(capture)

    assert found == scores(capture)
    assert len(found) == 1 + len(DAMAGES)
    assert all(one.detected and one.right_source for one in found)


def test_a_file_that_is_no_capture_is_not_scored(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("no capture")

    found = scores(Capture(path, "words", "negative", "clear", (), frozenset(), ()))

    assert all(one.unreadable for one in found)


def test_the_page_names_what_a_damage_changed() -> None:
    whole = [_score("a", "positive", detected=True), _score("b", "positive", detected=True), _score("c", "negative")]
    lossy = [_score("a", "positive", detected=False), *whole[1:2], _score("c", "negative", named=("192.0.2.1",))]

    page = report.markdown(whole, {"lossy": lossy}, "")

    assert "Of 2 scans, 2 (15.8 to 100.0 %) detected" in page
    assert "| lossy | 2 | 1 (1.3 to 98.7 %) | 0 (0.0 to 84.2 %) | 1 | 1 (2.5 to 100.0 %) |" in page
    assert "- lossy, not detected: a.\n" in page
    assert "- lossy, accused: c.\n" in page
