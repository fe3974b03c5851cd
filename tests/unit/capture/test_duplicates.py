"""A packet that two interfaces have seen counts once."""

from portsentry_py.capture.duplicates import _MAX_LINES, Duplicates
from tests.support import build


def line(time: float, packet: str, interface: str, vlan: str = "") -> str:
    return build.line(time=f"{time:.6f}", src="198.51.100.1", data=packet, proto="6", vlan=vlan, iface=interface)


def test_a_bridge_and_its_port_a_parent_and_its_vlan() -> None:
    duplicates = Duplicates()
    first, second = line(10, "aa", "br0"), line(11, "bb", "eth0", vlan="5")
    assert duplicates.without([first, line(10.001, "aa", "veth1")]) == [first]
    assert duplicates.without([second]) == [second]
    assert duplicates.without([line(10.999, "bb", "eth0.5")]) == [], "whichever comes first"


def test_one_capture_of_all_others_sees_a_packet_twice_by_itself() -> None:
    first = line(10, "aa", "any")
    assert Duplicates().without([first, line(10.001, "aa", "any")]) == [first]


def test_a_packet_that_is_sent_again_is_another() -> None:
    duplicates = Duplicates()
    lines = [line(10, "aa", "eth0"), line(10.001, "aa", "eth0"), line(10.2, "aa", "any"), line(11, "ab", "eth0")]
    assert duplicates.without(lines) == lines


def test_broken_lines_are_kept() -> None:
    assert Duplicates().without(["", "x\ty"]) == ["", "x\ty"]


def test_memory_is_bounded() -> None:
    duplicates = Duplicates()
    for number in range(3):
        duplicates.without([line(10, f"{number}-{nth}", "any") for nth in range(_MAX_LINES)])
        assert len(duplicates._seen) <= _MAX_LINES
