"""A judge who cannot condemn proves nothing."""

from pathlib import Path

import pytest

from portsentry_py.core.packet import SYN
from tests.lab.ordinary import judge, recordings, report
from tests.lab.ordinary.accounts import Account
from tests.lab.ordinary.bans import Ban
from tests.lab.ordinary.day import Day
from tests.lab.ordinary.life import Lived
from tests.lab.ordinary.population import Meant, Population, Scene
from tests.lab.support.labelled import Capture
from tests.support.build import tcp as segment
from tests.support.build import write_pcap


async def _idle(_scene: Scene, _me: Population) -> None:
    """Do nothing."""


GUESTS = Population("guests", "visit", "world", ("198.18.1.0/24",), _idle)
SCANNER = Population("scanner", "scans", "scanners", ("198.19.1.0/24",), _idle, Meant.EACH)
TOGETHER = Population("together", "scan together", "scanners", ("198.19.2.0/24",), _idle, Meant.SOME)
GUESSER = Population("guesser", "guesses", "world", ("198.18.2.0/24",), _idle, Meant.LOGIN)
EVERYBODY = (GUESTS, SCANNER, TOGETHER, GUESSER)
CAME = {"guests": ("198.18.1.1",), "scanner": ("198.19.1.66",), "together": ("198.19.2.1", "198.19.2.2")}
RIGHT = (("portsentry", "198.19.1.66"), ("portsentry", "198.19.2.2"), ("sshd", "198.18.2.1"))
LINE = (
    '{"timestamp":"2026-11-20T11:42:18.830560Z","event_type":"scan","verdict":"ban","src_ip":"198.19.1.66"'
    ',"source_verified":false,"scan_type":"syn","technique":"port_scan","reason":"ports_in_window"'
    ',"ports_sample":[21,23],"first_seen":"2026-11-20T11:42:18.830437Z","last_seen":"2026-11-20T11:42:18.9Z"}'
)


def lived(*bans: tuple[str, str], playlist: recordings.Playlist | None = None) -> Lived:
    accounts = {one.name: Account(frozenset(CAME.get(one.name, ("198.18.2.1",))), 1, 1) for one in EVERYBODY}
    found = [Ban(jail, address, 60.0, (LINE,), 1) for jail, address in bans]
    lines = [{"event_type": "status", **dict.fromkeys(report.COUNTS, 0)}]
    return Lived(Day(0, 60), accounts, found, lines, playlist or recordings.Playlist(), 0, 1, 1, [])


def judgements(day: Lived) -> list[judge.Judged]:
    return judge.judged(day, judge.Register(EVERYBODY, day.playlist))


def test_a_day_on_which_the_right_ones_are_banned_is_right() -> None:
    day = lived(*RIGHT)

    assert judge.wrong(judgements(day)) == []
    assert judge.missed(day, EVERYBODY) == []


@pytest.mark.parametrize(
    "ban",
    [("portsentry", "198.18.1.1"), ("sshd", "198.18.1.1"), ("portsentry", "198.18.2.1"), ("sshd", "198.19.1.66")],
    ids=["a guest", "a guest, by sshd", "a guesser, by portsentry", "a scanner, by sshd"],
)
def test_a_ban_of_the_wrong_one_is_wrong(ban: tuple[str, str]) -> None:
    assert len(judge.wrong(judgements(lived(*RIGHT, ban)))) == 1


def test_a_ban_of_somebody_whom_nobody_knows_is_wrong() -> None:
    assert len(judge.wrong(judgements(lived(("portsentry", "192.0.2.99"))))) == 1


@pytest.mark.parametrize("without", range(len(RIGHT)))
def test_a_scanner_that_was_not_banned_is_missed(without: int) -> None:
    bans = [ban for nth, ban in enumerate(RIGHT) if nth != without]

    assert judge.missed(lived(*bans), EVERYBODY) != []


def test_a_scanner_that_did_not_come_is_missed() -> None:
    day = lived(*RIGHT)
    day.accounts["guests"] = Account(frozenset(), 0, 0)

    assert judge.missed(day, EVERYBODY) == ["guests: nobody came"]


@pytest.mark.parametrize(("strength", "wrong"), [("clear", 1), ("ambiguous", 0)])
def test_a_ban_of_somebody_in_a_capture_is_wrong_unless_it_is_ambiguous(
    tmp_path: Path, strength: str, wrong: int
) -> None:
    path = write_pcap(tmp_path / "a.pcap", [segment("192.0.2.7", "192.0.2.10", 4000, 80, SYN)])
    capture = Capture(path, "a.pcap", "negative", strength, (), frozenset(), ())
    playlist = recordings.record([capture], Day(0, 60), tmp_path / "recording.pcap")
    (guest,) = (new for new in playlist.numbers.addresses() if playlist.numbers.whose(new) == (0, "192.0.2.7"))
    found = judgements(lived(("portsentry", guest), playlist=playlist))

    assert len(judge.wrong(found)) == wrong
    assert found[0].who.name == "capture a.pcap, host as the busiest host, there 192.0.2.7"


def test_the_page_shows_the_evidence_of_a_ban() -> None:
    day = lived(*RIGHT)
    page = report.page(day, EVERYBODY, judgements(day), ["something"])

    assert "| 00:24 | 198.19.1.66 | scanner | portsentry | yes | scan: scan_type syn," in page
    assert "ports_sample [21, 23]" in page
    assert "- something" in page
