"""Which interfaces are watched by default, and why."""

import pytest

from portsentry_py.host import choice
from portsentry_py.host.choice import choices, default_interfaces, heard_twice
from portsentry_py.host.interfaces import DRILL_LINK, OTHERS
from portsentry_py.host.links import Link

LOOPBACK = Link(1, "lo", loopback=True)
DEVICE = Link(2, "eth0")
BRIDGE = Link(3, "br0", kind="bridge")
PORT = Link(4, "veth4", kind="veth", master=3)
VLAN = Link(5, "eth0.7", kind="vlan", parent=2)
TUNNEL = Link(6, "tun0", kind="tun")
ROUTED = Link(7, "cali7", kind="veth", parent=2)
DOWN = Link(8, "eth1", up=False)
EVERYTHING = [LOOPBACK, DEVICE, BRIDGE, PORT, VLAN, TUNNEL, ROUTED, DOWN]


def watched(*links: Link) -> dict[str, str]:
    return {one.name: one.watched for one in choices(links)}


def test_what_stays_has_a_capture_of_its_own_and_what_can_go_shares_one() -> None:
    found = watched(*EVERYTHING)
    assert found == {
        "lo": "no",
        "eth0": "itself",
        "br0": "itself",
        "veth4": "no",
        "eth0.7": "no",
        "tun0": "others",
        "cali7": "others",
    }


def test_each_choice_has_its_reason() -> None:
    reasons = {one.name: one.why for one in choices(EVERYTHING)}
    assert reasons["veth4"] == "a port of br0, which sees the same"
    assert reasons["eth0.7"] == "a VLAN on eth0, which sees the same"
    assert reasons["tun0"] == "tun, which can go at any time"
    assert (reasons["eth0"], reasons["br0"], reasons["lo"]) == ("a device", "a bridge", "loopback")


def test_the_port_of_a_bridge_that_is_down_is_no_port() -> None:
    down = Link(3, "br0", up=False, kind="bridge")
    assert watched(DEVICE, down, PORT) == {"eth0": "itself", "veth4": "others"}


def test_a_vlan_whose_parent_is_elsewhere_is_watched_itself() -> None:
    assert watched(VLAN) == {"eth0.7": "itself"}


def test_the_wire_of_the_drill_is_not_watched() -> None:
    """Its packets arrive on the interface where strangers come in."""
    assert watched(DEVICE, Link(9, DRILL_LINK, kind="veth")) == {"eth0": "itself", DRILL_LINK: "no"}


def test_in_a_container_what_is_there_at_the_start_is_watched() -> None:
    assert watched(LOOPBACK, ROUTED, TUNNEL) == {"lo": "no", "cali7": "itself", "tun0": "itself"}


def test_names_and_indexes_are_those_of_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "links", lambda: EVERYTHING)
    assert default_interfaces() == ["br0", "eth0", OTHERS]
    assert heard_twice(["br0", "eth0", OTHERS]) == {1, 2, 3, 4, 5}
    assert heard_twice(["eth0", OTHERS]) == {1, 2, 4, 5}, "a bridge that came later is one of the others"
    assert heard_twice(["eth0", "veth4"]) == set()
    assert heard_twice(["br0", "veth4", "eth0", "eth0.7", "tun0"]) == {4, 5}
