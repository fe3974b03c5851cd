"""Served ports: listening, named, or learned from answers."""

from portsentry_py.config.settings import Served
from portsentry_py.core.host_state import HostState
from portsentry_py.core.served_ports import ServedPorts
from portsentry_py.events.model import Proto
from tests.support.build import FRIEND, HOST, START_US


def test_no_port_is_served_by_default() -> None:
    assert not ServedPorts()(HOST, "tcp", 22)


def test_sockets_that_close_are_no_longer_served() -> None:
    served = ServedPorts()
    served.set_host(HostState(listening_tcp=frozenset({22}), listening_udp=frozenset({53})))
    assert served(HOST, "tcp", 22)
    assert served(HOST, "udp", 53)
    served.set_host(HostState())
    assert not served(HOST, "tcp", 22)


def test_named_ports_are_served_at_every_address() -> None:
    served = ServedPorts()
    served.set_named(Served(tcp=frozenset({8443}), udp=frozenset({4500})))
    assert served(HOST, "tcp", 8443)
    assert served(FRIEND, "udp", 4500)
    assert not served(HOST, "tcp", 8444)


def test_an_answer_teaches_about_its_address_alone() -> None:
    served = ServedPorts()
    served.learn(HOST, "tcp", 22, START_US)
    assert served(HOST, "tcp", 22)
    assert not served(FRIEND, "tcp", 22)


def test_learned_ports_are_bounded() -> None:
    served = ServedPorts()
    for port in range(65_536):
        served.learn(HOST, "tcp", port, START_US)
    for port in range(10):
        served.learn(FRIEND, "tcp", port, START_US)
    assert not served(HOST, "tcp", 0)
    assert served(HOST, "tcp", 65_535)
    assert served(FRIEND, "tcp", 9)


def test_learned_ports_are_restored_with_order_and_times() -> None:
    served, other = ServedPorts(), ServedPorts()
    for nth, port in enumerate((80, 53, 80, 22)):
        served.learn(HOST, "udp", port, START_US + nth)
    other.restore(served.learned())
    assert other.learned() == served.learned()
    assert [(one.kind, one.port, one.answered_us - START_US) for one in other.learned()] == [
        ("port", 53, 1),
        ("port", 80, 2),
        ("port", 22, 3),
    ]
    assert other.numbers == {22, 53, 80}
    assert other(HOST, "tcp", 80)


def test_a_learned_port_is_forgotten_where_it_is_closed() -> None:
    served = ServedPorts()
    for address in (HOST, FRIEND):
        served.learn(address, "tcp", 22, START_US)
    served.forget(HOST, "tcp", 22)
    served.forget(HOST, "tcp", 23)
    assert not served(HOST, "tcp", 22)
    assert served(FRIEND, "udp", 22)
    assert [one.address for one in served.learned()] == [FRIEND]


def test_a_port_is_configured_by_a_socket_or_the_operator_and_not_by_an_answer() -> None:
    served = ServedPorts()
    served.set_host(HostState(listening_tcp=frozenset({22}), listening_udp=frozenset({53})))
    served.set_named(Served(tcp=frozenset({8443})))
    served.learn(HOST, "tcp", 80, START_US)
    assert all(served.is_configured(proto, port) for proto in ("tcp", "udp") for port in (22, 53, 8443))
    assert not served.is_configured("tcp", 80)
    assert not any(served.is_configured(proto, 22) for proto in ("sctp", "udplite", "dccp", "icmp", "ip"))


def test_numbers_that_may_be_served_grow_with_answers_and_shrink_with_the_next_look() -> None:
    served = ServedPorts()
    served.set_named(Served(udp=frozenset({4500})))
    served.set_host(HostState(listening_tcp=frozenset({22})))
    served.learn(HOST, "tcp", 80, START_US)
    assert served.numbers == {22, 80, 4500}
    served.forget(HOST, "tcp", 80)
    assert 80 in served.numbers, "that it is served nowhere is known at the next look"
    served.set_host(HostState())
    assert served.numbers == {4500}


def test_an_open_trap_serves_nobody() -> None:
    served = ServedPorts()
    served.set_host(HostState(listening_tcp=frozenset({23})))
    served.learn(HOST, "tcp", 23, START_US)
    assert served(HOST, "tcp", 23)
    served.set_host(HostState(listening_tcp=frozenset({23}), open_traps=frozenset({23})))
    assert served.is_open_trap("tcp", 23)
    assert not served(HOST, "tcp", 23)
    assert not served.is_open_trap("udp", 23)


def test_protocols_without_ports_stand_alone() -> None:
    served = ServedPorts()
    served.learn(HOST, "icmp", 8, START_US)
    protos: tuple[Proto, ...] = ("sctp", "udplite", "dccp", "ip", "icmpv6")
    for port, proto in enumerate(protos, 22):
        served.learn(HOST, proto, port, START_US)
        assert [one for one in protos if served(HOST, one, port)] == [proto]
    assert served(HOST, "icmp", 8)
    assert not served(HOST, "tcp", 8)
    assert not served(HOST, "tcp", 22)
    served.set_host(HostState(listening_tcp=frozenset({47})))
    assert not served(HOST, "ip", 47)
