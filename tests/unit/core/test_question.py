"""Questions: what counts as one thing asked."""

from ipaddress import ip_network

import pytest

from portsentry_py.core.host_state import HostState
from portsentry_py.core.question import Attempts, Question, Questions, are_health_checks, look_for_services
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord
from portsentry_py.events.model import Proto, ScanType
from tests.support.build import HOST, HOST6, SCANNER, US

OTHER = "192.0.2.77"
MAIL = (25, 110, 143, 465, 587, 993, 995, 80, 443)
NODE_PORTS = range(30_080, 30_090)


def asked(*ports: int, target: str = HOST, scan_type: ScanType = "connect") -> Attempts:
    proto: Proto = "udp" if scan_type == "udp" else "tcp"
    return [(Endpoint(target, proto, port), Attempt(0, 0, scan_type)) for port in ports]


def checks(attempts: Attempts) -> bool:
    record = SourceRecord(SCANNER, "inbound", 0, 0)
    record.unserved.update(attempts)
    return are_health_checks(record)


def questions(host: HostState = US) -> Questions:
    made = Questions()
    made.set_host(host)
    return made


def test_the_addresses_of_this_host_are_one_host() -> None:
    here = questions()
    assert here.host_of(HOST) == here.host_of(HOST6)
    assert here.of(asked(22) + asked(22, target=HOST6)) == {Question(here.host_of(HOST), "tcp", 22)}
    assert here.host_of(OTHER) == OTHER


@pytest.mark.parametrize(
    ("home", "is_one"), [("192.0.2.77/32", True), ("192.0.2.76/31", True), ("192.0.2.76/30", False)]
)
def test_home_networks_with_room_for_a_single_host_are_this_host(home: str, is_one: bool) -> None:
    here = questions(HostState(own=US.own, home=(ip_network(home),)))
    assert (here.host_of(OTHER) == here.host_of(HOST)) is is_one


def test_the_addresses_may_change() -> None:
    here = questions()
    assert here.host_of(OTHER) == OTHER
    here.set_host(HostState(own=US.own | {OTHER}))
    assert here.host_of(OTHER) == here.host_of(HOST)


def test_the_ports_of_mail_are_one_question_for_each_host() -> None:
    assert len(questions().of(asked(*MAIL))) == 1
    assert len(questions().of(asked(*MAIL) + asked(*MAIL, target=OTHER))) == 2


@pytest.mark.parametrize(("others", "count"), [(0, 1), (3, 4), (4, 13)])
def test_they_count_one_by_one_if_the_source_asks_for_more_than_three_other_ports(others: int, count: int) -> None:
    assert len(questions().of(asked(*MAIL, *range(1, 1 + others)))) == count


@pytest.mark.parametrize(("hosts", "count"), [(4, 4), (5, 10)])
def test_they_count_one_by_one_if_the_source_asks_more_hosts_than_a_domain_has(hosts: int, count: int) -> None:
    attempts = [item for last in range(hosts) for item in asked(80, 443, target=f"192.0.2.{100 + last}")]
    assert len(questions().of(attempts)) == count


def test_a_refusal_may_come_before_the_connect_that_it_answers() -> None:
    assert len(questions().of(asked(*MAIL[:4]) + asked(*MAIL[4:], scan_type="unseen"))) == 1


@pytest.mark.parametrize("scan_type", ["syn", "udp"])
def test_only_a_clients_connect_asks_for_mail(scan_type: ScanType) -> None:
    assert len(questions().of(asked(*MAIL, scan_type=scan_type))) == len(MAIL)


def test_connections_to_node_ports_are_checks_although_no_pod_answers() -> None:
    assert checks(asked(*NODE_PORTS))
    assert checks(asked(*NODE_PORTS, scan_type="unseen"))
    assert not checks(asked(*NODE_PORTS, scan_type="udp"))
    assert not checks(asked(1, 2, 3))


@pytest.mark.parametrize(("ports", "are"), [(32, True), (33, False)])
def test_no_balancer_checks_any_number_of_node_ports(ports: int, are: bool) -> None:
    assert checks(asked(*range(30_000, 30_000 + ports))) is are


def test_a_balancer_may_check_many_nodes() -> None:
    nodes = [one for nth in range(1, 65) for one in asked(*NODE_PORTS, target=f"198.51.100.{nth}")]
    assert checks(nodes)
    assert not checks([one for nth in range(1, 256) for one in asked(*NODE_PORTS, target=f"198.51.100.{nth}")])


@pytest.mark.parametrize(("others", "are"), [(3, True), (4, False)])
def test_a_balancer_asks_for_little_else(others: int, are: bool) -> None:
    assert checks(asked(*NODE_PORTS, *range(1, 1 + others))) is are
    half_open = asked(*range(30_500, 30_500 + others), scan_type="syn")
    assert checks(asked(*NODE_PORTS) + half_open) is are


@pytest.mark.parametrize(("others", "look"), [(0, True), (3, True), (4, False)])
def test_who_looks_for_services_asks_for_little_else(others: int, look: bool) -> None:
    assert look_for_services([*MAIL, *range(1, 1 + others)]) is look
