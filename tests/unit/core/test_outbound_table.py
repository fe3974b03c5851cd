"""What hosts of ours asked of others lately."""

import pytest

from portsentry_py.core import outbound_table
from portsentry_py.core.outbound_table import Asked, OutboundTable, is_raw, is_swept
from portsentry_py.core.packet import UDP
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.events.model import Direction, Proto, ScanType
from tests.support.build import FRIEND, HOST, SCANNER, SECOND_US
from tests.support.sightings import sighting

WINDOW_US = 60 * SECOND_US


def step(
    kind: Kind,
    port: int = 445,
    target: str = FRIEND,
    *,
    at: float = 0,
    proto: Proto = "tcp",
    direction: Direction = "outbound",
    scan_type: ScanType = "connect",
) -> Sighting:
    source, target = (HOST, target) if direction == "outbound" else (SCANNER, HOST)
    return sighting(
        kind, port, source=source, target=target, at=at, proto=proto, direction=direction, scan_type=scan_type
    )


def table(*steps: Sighting) -> OutboundTable:
    made = OutboundTable()
    made.set_window(WINDOW_US)
    for one in steps:
        made.update(one)
    return made


def asked(*steps: Sighting) -> Asked:
    found = table(*steps).of(HOST)
    assert found is not None
    return found


def test_a_host_that_asked_nothing_has_no_entry() -> None:
    assert table(step(Kind.PROBE, direction="inbound"), step(Kind.PROBE)).of(HOST) is None


def test_silence_and_refusals_are_counted_by_port_host_and_network() -> None:
    found = asked(step(Kind.SILENT), step(Kind.REFUSED, target="198.51.100.8"), step(Kind.SILENT, 80))
    assert (found.number("unanswered"), found.number("refused")) == (3, 1)
    assert (found.number("hosts", "tcp", 445), found.number("hosts", "tcp", 80)) == (2, 1)
    assert found.number("ports", "tcp", place=FRIEND) == 2
    assert found.near(step(Kind.SILENT)) == 2
    assert found.number("swept", "tcp") == 2


def test_an_endpoint_counts_once_and_its_late_answer_takes_it_back() -> None:
    assert asked(step(Kind.SILENT), step(Kind.SILENT, at=1)).number("unanswered") == 1
    found = asked(step(Kind.SILENT), step(Kind.ANSWERED, at=2))
    assert (found.number("unanswered"), found.number("answered", "tcp", 445)) == (0, 1)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    found = asked(step(Kind.SILENT), step(Kind.SILENT, 80, at=60), step(Kind.SILENT, 81, at=60.5))
    assert (len(found), found.number("unanswered")) == (2, 2)


def test_hosts_and_ports_that_answered_before_are_no_strangers() -> None:
    before = step(Kind.ANSWERED, 22), step(Kind.SILENT, at=90), step(Kind.SILENT, 22, at=91)
    found = asked(*before)
    assert (found.number("hosts", "tcp", 445), found.number("swept", "tcp")) == (0, 0)
    assert found.number("ports", "tcp", place=FRIEND) == 1


def test_a_raw_packet_is_one_without_the_options_of_a_stack() -> None:
    assert asked(step(Kind.SILENT, scan_type="syn")).number("raw", "tcp") == 1
    assert not is_raw(step(Kind.SILENT))
    datagram = step(Kind.SILENT, proto="udp", scan_type="udp")
    marked = datagram.packet._replace(proto=UDP, ip_id=54_321)
    assert is_raw(datagram._replace(packet=marked))
    assert not is_raw(datagram._replace(packet=marked._replace(ip_id=1)))


@pytest.mark.parametrize(("proto", "port", "hits"), [("tcp", 443, False), ("udp", 161, True), ("icmp", 8, True)])
def test_clients_do_not_sweep_these(proto: Proto, port: int, hits: bool) -> None:
    assert is_swept(step(Kind.SILENT, port, proto=proto)) is hits


def test_a_network_works_while_anything_comes_back_or_in() -> None:
    assert not asked(step(Kind.SILENT)).is_online(step(Kind.SILENT).time_us, WINDOW_US)
    for sign in (step(Kind.ANSWERED, 80), step(Kind.PROBE, direction="inbound", at=1)):
        found = asked(step(Kind.SILENT), sign)
        assert found.is_online(step(Kind.SILENT, at=61).time_us, WINDOW_US) is (sign.direction == "inbound")
        assert found.is_online(step(Kind.SILENT, at=60).time_us, WINDOW_US)


def test_a_network_is_broken_when_nothing_is_answered_that_was() -> None:
    last = step(Kind.SILENT, target="198.51.100.9", at=70)
    assert asked(step(Kind.ANSWERED, 80), last).is_cut_off(last, WINDOW_US)
    assert not asked(step(Kind.ANSWERED, 80, at=30), last).is_cut_off(last, WINDOW_US)
    assert not asked(last).is_cut_off(last, WINDOW_US)
    refused = last._replace(kind=Kind.REFUSED)
    assert not asked(step(Kind.ANSWERED, 80), refused).is_cut_off(refused, WINDOW_US)


def test_a_network_is_broken_when_many_ports_are_asked_in_vain() -> None:
    others = [step(Kind.SILENT, port) for port in (80, 443, 25)]
    assert asked(*others).is_cut_off(others[0], WINDOW_US)


def test_answered_questions_for_names_are_counted_within_the_window() -> None:
    found = asked(*(step(Kind.ANSWERED, 53, at=at, proto="udp") for at in (0, 10, 10)), step(Kind.ANSWERED, 80, at=10))
    assert found.lookups(step(Kind.SILENT, at=60).time_us, WINDOW_US) == 3
    assert found.lookups(step(Kind.SILENT, at=61).time_us, WINDOW_US) == 2


def test_pings_that_nobody_ever_answered_are_a_broken_network() -> None:
    echo = step(Kind.SILENT, 8, proto="icmp", scan_type="icmp")
    assert asked(echo).is_cut_off(echo, WINDOW_US)


def test_hosts_and_outcomes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound_table, "MAX_OUTCOMES", 8)
    made = table(*(step(Kind.SILENT, port, at=port / 100) for port in range(100)))
    found = made.of(HOST)
    assert found is not None
    assert (len(found), found.number("unanswered"), sum(found._counts.values())) == (8, 8, 8 * 5 + 8)
