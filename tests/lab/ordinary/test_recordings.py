"""What is played to the host is what was recorded, but for the addresses."""

from pathlib import Path

import pytest

from portsentry_py.core.packet import ACK, SYN
from tests.lab.ordinary import frames, recordings, renumber
from tests.lab.ordinary.day import Day
from tests.lab.support.labelled import Capture
from tests.support import pcap
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, Sent, icmp_unreachable, in_tunnel, syn, tcp, write_pcap


def packet(sent: Sent) -> bytes:
    return sent.frame[14:]


def renumbered(sent: Sent) -> tuple[bytes, renumber.Map]:
    new = renumber.Numbers().of(0)
    return renumber.renumbered(packet(sent), new), new


@pytest.mark.parametrize(("src", "dst"), [(SCANNER, HOST), (SCANNER6, HOST6)], ids=["IPv4", "IPv6"])
def test_addresses_change_and_the_rest_stays(src: str, dst: str) -> None:
    sent = tcp(src, dst, 4000, 80, SYN)
    old = packet(sent)

    new, number = renumbered(sent)

    assert renumber.ends(old) is not None
    assert renumber.ends(new) == tuple(map(number, renumber.ends(old) or ()))
    assert renumber.ends(new) != renumber.ends(old)
    assert new[-len(sent.payload) :] == sent.payload


@pytest.mark.parametrize(("src", "dst"), [(SCANNER, HOST), (SCANNER6, HOST6)], ids=["IPv4", "IPv6"])
def test_the_packet_in_an_icmp_error_changes_too(src: str, dst: str) -> None:
    (probe,) = syn(src, 80, dst=dst)
    error = icmp_unreachable(probe)

    new, number = renumbered(error)

    quoted = new[len(packet(error)) - len(error.payload) + 8 :]
    assert renumber.ends(quoted) == tuple(map(number, renumber.ends(packet(probe)) or ()))


def test_the_packet_in_a_tunnel_changes_too() -> None:
    (inner,) = syn(SCANNER, 80)

    new, number = renumbered(in_tunnel(inner, "192.0.2.99"))

    assert renumber.ends(new[20:]) == tuple(map(number, renumber.ends(packet(inner)) or ()))


@pytest.mark.parametrize("address", ["224.0.0.251", "255.255.255.255", "0.0.0.0", "169.254.1.1"])
def test_addresses_that_are_nobodys_stay(address: str) -> None:
    new, _ = renumbered(tcp("192.0.2.1", address, 1, 2, SYN))

    assert new[16:20] == bytes(map(int, address.split(".")))


def test_neighbours_stay_neighbours_and_tapes_do_not_meet() -> None:
    numbers = renumber.Numbers()
    first, second = numbers.of(0), numbers.of(1)
    one, two = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])

    assert first(one)[:3] == first(two)[:3]
    assert first(one)[3] == 1
    assert first(one) == first(one)
    assert first(one)[:3] != second(one)[:3]
    assert numbers.whose(".".join(map(str, second(one)))) == (1, "192.0.2.1")


@pytest.mark.parametrize(
    ("link", "before"),
    [(1, bytes(12) + b"\x08\x00"), (101, b""), (113, bytes(14) + b"\x08\x00"), (0, b"\2\0\0\0")],
    ids=["Ethernet", "raw", "cooked", "null"],
)
def test_every_link_type_gives_its_packets(tmp_path: Path, link: int, before: bytes) -> None:
    sent = tcp(SCANNER, HOST, 4000, 80, SYN)
    path = pcap.write(tmp_path / "capture.pcap", [(0, before + packet(sent))], link)

    (framed,) = frames.read(path)

    assert framed.packet == packet(sent)
    assert framed.head == b"\x08\x00"


def test_a_file_that_is_no_capture_is_told(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("no capture")

    with pytest.raises(frames.UnusableCaptureError):
        frames.read(path)


def test_a_capture_is_played_from_the_views_of_both_ends(tmp_path: Path) -> None:
    asked = [tcp(SCANNER, HOST, 4000, 80, SYN), tcp(HOST, SCANNER, 80, 4000, SYN | ACK)]
    other = [tcp("198.51.100.7", HOST, 4001, 80, SYN)]
    path = write_pcap(tmp_path / "a.pcap", asked, other)
    capture = Capture(path, "a.pcap", "negative", "clear", (), frozenset(), ())

    playlist = recordings.record([capture], Day(0, 1), tmp_path / "recording.pcap")

    assert [recording.view for recording in playlist.recordings] == ["the busiest host", "its busiest peer"]
    assert {playlist.numbers.whose(home) for home in playlist.homes} == {(0, HOST), (1, SCANNER)}
    assert playlist.packets == 6
    others, ours = frames.read(tmp_path / "recording.pcap"), frames.read(tmp_path / "host-recording.pcap")
    assert (len(others), len(ours)) == (4, 2)


def test_long_pauses_are_cut_and_the_pace_is_kept() -> None:
    times = recordings._paced([0.0, 0.1, 0.2, 86_400.0], 20)

    assert times[:3] == pytest.approx([0, 0.1, 0.2])
    assert times[3] <= 20
