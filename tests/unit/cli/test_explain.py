"""`explain`: one screen about one source."""

from pathlib import Path

import pytest

from portsentry_py.core.packet import ACK, PSH
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.state.checkpoint import Checkpoint
from tests.support.build import HOST, SCANNER, US, evidence, log_lines, refused, strict, syn, tcp, watch, write_pcap
from tests.support.command import Command, fails

PIPELINE = Pipeline(strict(), US)
EVENTS = watch(PIPELINE, refused(syn(SCANNER, 20, 21, 22, 24)))


@pytest.fixture
def words(tmp_path: Path) -> tuple[object, ...]:
    """The options that keep this machine out."""
    (tmp_path / "log").write_bytes(b"".join(log_lines(EVENTS)))
    (tmp_path / "given.yaml").write_text(f"ignore: {SCANNER}\nallowlist: off\n", encoding="utf-8")
    Checkpoint(PIPELINE, str(tmp_path / "state")).close()
    return (
        *("--log", tmp_path / "log", "--socket", tmp_path / "none"),
        *("--state", tmp_path / "state", "-c", tmp_path / "given.yaml"),
    )


def test_an_address_and_an_event_id_give_the_same_screen(command: Command, words: tuple[object, ...]) -> None:
    done = command("explain", SCANNER, *words)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == SCANNER
    assert len(lines) < 40
    for heading in ("verdict", "rule", "counted", "for it", "protected", "fail2ban", "to change", "lines"):
        assert any(line.startswith(heading) for line in lines), heading
    assert "ignore_list: " in done.out
    assert command("explain", evidence(EVENTS)[0].event_id, *words).out == done.out


def test_a_source_that_nobody_knows_is_no_error(command: Command, words: tuple[object, ...]) -> None:
    done = command("explain", "192.0.2.77", *words)
    assert done.code == 0, done.err
    assert "none: " in done.out


def test_a_damaged_state_is_a_sentence_of_the_screen(
    command: Command, words: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "state").write_bytes(b"x")
    assert "not a state file" in " ".join(command("explain", SCANNER, *words).out.split())


def test_what_is_no_source_is_64_and_a_missing_log_65(command: Command, words: tuple[object, ...]) -> None:
    fails(command("explain", "nobody", *words), 64, "nobody")
    fails(command("explain", "0123456789abcdef", *words), 65, "0123456789abcdef")
    fails(command("explain", SCANNER, *words, "--log", "/nonexistent/log"), 65, "/nonexistent/log")


def test_json_is_one_object_with_the_same_facts(command: Command, words: tuple[object, ...]) -> None:
    (found,) = command("explain", SCANNER, *words, "--json").records
    assert (found["source"], found["verdict"], found["protected"]) == (SCANNER, "ban", "ignore_list")
    assert found["capture"] is None


def test_the_packets_of_a_capture_are_a_table(command: Command, words: tuple[object, ...], capture: Path) -> None:
    done = command("explain", SCANNER, *words, "--capture", capture, "--packets", 3)
    assert (done.code, done.err) == (0, "")
    assert sum(f"{SCANNER}:" in line for line in done.out.splitlines()) == 3
    assert "There are more packets" in done.out
    (found,) = command("explain", SCANNER, *words, "--capture", capture, "--json").records
    shown = found["capture"]
    assert isinstance(shown, dict)
    assert (len(shown["packets"]), shown["more"], shown["notes"]) == (20, True, [])


def test_an_event_id_shows_the_packets_of_its_scan(command: Command, words: tuple[object, ...], tmp_path: Path) -> None:
    scan = refused(syn(SCANNER, 20, 21, 22, 24))
    file = write_pcap(tmp_path / "later.pcap", scan, refused(syn(SCANNER, 30, 31, at=100.0)))
    (found,) = command("explain", evidence(EVENTS)[0].event_id, *words, "--capture", file, "--json").records
    shown = found["capture"]
    assert isinstance(shown, dict)
    assert [packet["dest_port"] for packet in shown["packets"] if packet["src_ip"] == SCANNER] == [20, 21, 22, 24]


def test_what_strangers_chose_is_shown_as_text(command: Command, words: tuple[object, ...], tmp_path: Path) -> None:
    request = tcp(SCANNER, HOST, 4000, 80, PSH | ACK, data=b"GET /\x1b[2J[red]:smile:\xe2\x80\xae HTTP/1.1\r\n\r\n")
    done = command("explain", SCANNER, *words, "--capture", write_pcap(tmp_path / "x.pcap", [request]))
    assert "[red]:smile:" in done.out
    assert all(character.isprintable() or character == "\n" for character in done.out)


def test_a_source_without_packets_is_no_error(command: Command, words: tuple[object, ...], capture: Path) -> None:
    done = command("explain", "192.0.2.77", *words, "--capture", capture)
    assert "has no packet of the source" in done.out
    assert done.code == 0


def test_what_is_no_capture_is_65(command: Command, words: tuple[object, ...]) -> None:
    fails(command("explain", SCANNER, *words, "--capture", words[1]), 65, "give a pcap or pcapng file")
    fails(command("explain", SCANNER, *words, "--capture", "/nonexistent/x"), 65, "/nonexistent/x")


def test_packets_that_the_sensor_keeps_are_found_beside_the_state(
    command: Command, words: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "packets").mkdir()
    for number, port in enumerate((20, 21)):
        write_pcap(tmp_path / f"packets/ring_{number:05d}_20231114221320.pcapng", syn(SCANNER, port))
    (tmp_path / "packets/ring_00007_20231114221321.pcapng").write_bytes(b"")  # only just begun
    (found,) = command("explain", SCANNER, *words, "--json").records
    shown = found["capture"]
    assert isinstance(shown, dict)
    assert [packet["dest_port"] for packet in shown["packets"]] == [20, 21]
    assert shown["notes"] == []


def test_kept_packets_that_cannot_be_read_are_a_note(
    command: Command, words: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "packets").write_bytes(b"")
    done = command("explain", SCANNER, *words)
    assert done.code == 0
    assert "the kept packets cannot be read" in " ".join(done.out.split())
