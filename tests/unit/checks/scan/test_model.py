"""The states of a host's ports, one byte each."""

from socket import AF_INET, AF_INET6

from portsentry_py.checks.scan.model import METHODS, SILENT, STATES, HostResult, Target, protocol_of

V4 = Target("192.168.0.9", bytes([192, 168, 0, 9]), "192.168.0.1")
V6 = Target("fe80::9", b"\xfe\x80" + bytes(13) + b"\x09", "fe80::1", 7)


def test_every_state_of_a_port_is_read_back() -> None:
    found = HostResult(V4, "filtered")
    for port, state in enumerate(STATES, 10):
        found.know(port, state)
    found.codes[65_535] = SILENT
    assert list(found.states()) == [*enumerate(STATES, 10), (65_535, "filtered")]


def test_every_method_has_its_protocol() -> None:
    assert {method: protocol_of(method) for method in METHODS if protocol_of(method) != "tcp"} == {
        "udp": "udp",
        "sctp-init": "sctp",
    }


def test_a_link_local_address_carries_its_interface() -> None:
    assert (V6.socket_family, V6.endpoint(V6.address, 80)) == (AF_INET6, ("fe80::9", 80, 0, 7))
    assert (V4.socket_family, V4.endpoint(V4.source)) == (AF_INET, ("192.168.0.1", 0))
