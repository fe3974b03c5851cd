"""Who waits in a flood, and that a scanner loses nothing by it."""

from __future__ import annotations

import dataclasses
import re
from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portsentry_py.config.settings import TRAP_TCP, Limits, Settings, Traps
from portsentry_py.core.admission import NEVER_US, Counted, Gate
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import EvidenceEvent
from tests.scenarios.make import SCENARIOS
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    US,
    Sent,
    cells,
    evidence,
    fin,
    fin_ack,
    fragments,
    icmp_unreachable,
    in_time,
    in_tunnel,
    lines,
    micros,
    ping,
    refused,
    rst,
    rst_ack,
    strict,
    syn,
    syn_ack,
    tcp,
    traps,
    udp,
    udp_reply,
    visit,
    watch,
    with_cells,
)

# Two sources come in at once; then one in a second.
LIMITS = Limits(new_sources_per_second=1, max_held=64)
SMALL = Settings(limits=LIMITS)
SERVED_PORT = 80


def strangers(count: int, *, every: float = 0.001, at: float = 0.0) -> list[Sent]:
    """One SYN from each of so many sources."""
    return [
        syn(f"198.18.{number // 250}.{number % 250 + 1}", 80, at=at + number * every)[0]
        for number in range(count)
    ]


def gate(*known: str, limits: Limits = LIMITS) -> Gate:
    """A gate whose host is HOST and HOST6, and which is as closed as it gets."""
    made = Gate(
        limits,
        knows=lambda source: source in known,
        awaits=lambda address: address == FRIEND,
        is_home=lambda address: address in {HOST, HOST6},
        is_special=lambda _target, _proto, port: port == SERVED_PORT,
        take=lambda _counted: None,
    )
    for line in lines(*strangers(2)):
        assert made.admit(line) == (line,)
    return made


def test_in_a_flood_a_first_packet_waits_for_the_second() -> None:
    made = gate()
    first, second, third = lines(*syn(SCANNER, 1, 2, 3, every=0.001))
    assert made.admit(first) == ()
    assert made.held == 1
    assert made.admit(second) == (first, second)
    assert made.held == 0
    # By now the source is known to the ledger, which this test does not have.
    assert made.admit(third) == ()


def test_our_answers_wait_behind_the_probe() -> None:
    made = gate()
    (probe,) = syn(SCANNER, 80)
    answer, end = syn_ack(probe), fin_ack(probe, after=0.5)
    assert made.admit(probe.line) == made.admit(answer.line) == ()
    assert made.admit(end.line) == (probe.line, answer.line, end.line)
    assert made.held == 0


def test_answers_without_end_are_not_kept_and_yet_counted() -> None:
    made = gate()
    (probe,) = syn(SCANNER, 80)
    for line in [probe.line, *[syn_ack(probe).line] * 50]:
        assert made.admit(line) == ()
    assert made.held == 51
    assert len(made.admit(probe.line)) < 20


def test_so_many_sources_come_in_each_second() -> None:
    made = gate()
    admitted = [line for line in lines(*strangers(100, at=10, every=0.1)) if made.admit(line)]
    assert len(admitted) == 2 + 9


def test_time_that_runs_backwards_lets_nobody_in() -> None:
    made = gate()
    assert [made.admit(line) for line in lines(*strangers(3, at=-3600))] == [()] * 3


def test_known_sources_and_others_packets_do_not_wait() -> None:
    made = gate(SCANNER)
    (probe,) = syn(SCANNER, 80)
    others = syn("198.18.0.9", 80, dst="192.0.2.99")[0]
    for sent in (probe, rst_ack(probe), syn_ack(probe), others):
        assert made.admit(sent.line) == (sent.line,)


def test_only_whole_packets_outside_of_tunnels_wait() -> None:
    made = gate()
    (probe,) = syn(SCANNER, 80)
    pieces = fragments(probe, ip_id=7)[:-1]
    for sent in (ping(SCANNER, HOST), in_tunnel(probe, SCANNER), *pieces):
        assert made.admit(sent.line) == (sent.line,)
    assert made.admit(dataclasses.replace(probe, vlan=7).line) == ()


def test_a_datagram_waits_too_unless_it_may_be_an_answer() -> None:
    made = gate()
    first, second = udp(SCANNER, 161, 162)
    assert made.admit(first.line) == ()
    refusal = icmp_unreachable(first)
    assert made.admit(refusal.line) == ()
    assert made.admit(second.line) == (first.line, refusal.line, second.line)
    (answer,) = udp(FRIEND, 40000)
    assert made.admit(answer.line) == (answer.line,)


def test_what_we_asked_for_is_heard_in_a_flood() -> None:
    engine = Pipeline(SMALL, US)
    (question,) = udp(HOST, 53, dst=FRIEND)
    watch(engine, strangers(10), [question, udp_reply(question)])
    assert engine._flows.server(FRIEND) == "resolver"


@pytest.mark.parametrize("target", ["02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "", "fe80::1%eth0"])
def test_what_has_no_address_is_not_ours(target: str) -> None:
    """Of a packet that ends within its IP header, tshark shows the addresses of the link."""
    (probe,) = syn(SCANNER, 9)
    line = probe.line.replace(HOST, target)
    for host in (US, HostState(home_known=False), HostState(home=(ip_network("192.0.2.0/24"),))):
        assert list(Pipeline(SMALL, host).feed([line])) == []
    assert gate().admit(line) == (line,)


def test_a_line_too_long_for_a_table_does_not_wait() -> None:
    (probe,) = syn(SCANNER, 9)
    line = probe.line + " " * 3000
    assert gate().admit(line) == (line,)


def test_who_waits_is_bounded_and_the_eldest_go() -> None:
    made = gate()
    crowd = lines(*strangers(1000, every=0.0001))
    for line in crowd:
        made.admit(line)
    waiting = [line for line in reversed(crowd) if len(made.admit(line)) > 1]
    assert 0 < len(waiting) <= LIMITS.max_held
    assert crowd[2] not in waiting


@given(st.text(), st.lists(st.text()))
def test_no_line_is_too_strange(text: str, some: list[str]) -> None:
    for line in (text, "\t".join(some)):
        made = gate()
        assert made.admit(line) in ((line,), ())


@given(st.text("0123456789abcdef:,…g ", max_size=40), st.sampled_from(["6", "17"]))
@example("ffff", "17")
def test_no_bytes_of_a_source_that_was_told_of_are_too_strange(data: str, proto: str) -> None:
    made, _ = told()
    line = with_cells(syn(SCANNER, 22, at=1)[0].line, data=data, proto=proto)
    assert made.admit(line) in {(line,), ()}


def said(settings: Settings, *traffic: Sent) -> set[tuple[str, str, str]]:
    events = watch(Pipeline(settings, US), list(traffic))
    return {(one.src_ip, one.technique, one.verdict) for one in evidence(events)}


def test_a_scan_in_a_flood_is_told_as_without() -> None:
    scan = refused(syn(SCANNER, *range(20, 60), at=1, every=0.01))
    assert said(SMALL, *in_time(strangers(5000), scan)) == said(Settings(), *scan)


def test_a_visit_in_a_flood_makes_a_friend_as_without() -> None:
    flood = strangers(5000)
    calls = visit(SCANNER, *[80] * 9, at=1)
    probes = refused(syn(SCANNER, *range(20, 60), at=6, every=0.001))
    assert said(SMALL, *in_time(flood, calls, probes)) == said(Settings(), *calls, *probes)


# One packet from each source of a network is all that a distributed scan needs, and all that a flood has.
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"distributed_scan", "scan_in_a_flood"}))
def test_no_scenario_loses_a_verdict_at_the_gate(name: str) -> None:
    def verdicts(limits: Limits) -> set[tuple[str, str]]:
        scenario = SCENARIOS[name]
        host = HostState(home=tuple(map(ip_network, scenario.home.split())), home_known=bool(scenario.home))
        engine = Pipeline(Settings(limits=limits), host)
        events = [*watch(engine, scenario.traffic()), *engine.finish()]
        return {(one.src_ip, one.verdict) for one in events if isinstance(one, EvidenceEvent)}

    assert verdicts(Limits(new_sources_per_second=1)) == verdicts(Limits(new_sources_per_second=100_000))


def told(*, until: float = 30) -> tuple[Gate, list[Counted]]:
    """A gate that counts the probes of SCANNER, and what it hands over."""
    taken: list[Counted] = []
    made = Gate(
        Limits(),
        knows=lambda source: source == SCANNER,
        awaits=lambda _address: False,
        is_home=lambda address: address in {HOST, HOST6},
        is_special=lambda _target, _proto, port: port == SERVED_PORT,
        take=taken.append,
    )
    made.count(SCANNER, micros(until))
    return made, taken


def test_a_source_that_was_told_of_is_counted_by_port() -> None:
    made, taken = told()
    probes = [*syn(SCANNER, 22, 23, 22, at=1), *fin(SCANNER, 24)]
    for sent in refused(probes):
        assert made.admit(sent.line) == ()
    assert made.next_us == micros(30)
    assert taken == []
    made.hand_over()
    assert made.next_us == NEVER_US
    (counted,) = taken
    assert asked(counted) == {
        "02": {("0016", HOST): 2, ("0017", HOST): 1},
        "01": {("0018", HOST): 1},
    }
    assert counted.refused == {("0016", HOST), ("0017", HOST), ("0018", HOST)}
    assert made.admit(probes[0].line) == (probes[0].line,)


def test_datagrams_of_a_source_that_was_told_of_are_counted_too() -> None:
    made, taken = told()
    for sent in (*udp(SCANNER, 161, 162, 161, at=1), *syn(SCANNER, 161, at=1)):
        assert made.admit(sent.line) == ()
    made.hand_over()
    assert asked(taken[0]) == {"udp": {("00a1", HOST): 2, ("00a2", HOST): 1}, "02": {("00a1", HOST): 1}}
    made = gate()
    made.count(FRIEND, micros(30))
    (answer,) = udp(FRIEND, 40000)
    assert made.admit(answer.line) == (answer.line,)


def asked(counted: Counted) -> dict[str, dict[tuple[str, str], int]]:
    """What was asked for, by the flags."""
    return {flags: alike.asked for flags, alike in counted.probes.items()}


def coloned(line: str) -> str:
    """The line as tshark 4.4 prints it."""
    return with_cells(line, data=":".join(re.findall("..", cells(line)["data"].rstrip("…"))))


def test_bytes_with_colons_are_read_too() -> None:
    made = gate()
    first, second = map(coloned, lines(*syn(SCANNER, 1, 2)))
    assert made.admit(first) == ()
    assert made.admit(second) == (first, second)
    made, taken = told()
    for sent in refused(syn(SCANNER, 22, 23, at=1)):
        assert made.admit(coloned(sent.line)) == ()
    made.hand_over()
    assert asked(taken[0]) == {"02": {("0016", HOST): 1, ("0017", HOST): 1}}
    assert taken[0].refused == {("0016", HOST), ("0017", HOST)}


def worded(line: str) -> str:
    """The line as tshark 3.6 prints it."""
    found = cells(line)
    return with_cells(
        line,
        proto={"6": "TCP", "17": "UDP", "1": "ICMP"}[found["proto"]],
        more={"0": "Not set", "1": "Set"}[found["more"]],
        id=f"{found['id']} ({int(found['id'], 16)})",
    )


def test_words_in_the_place_of_numbers_are_read_too() -> None:
    for first, second in (syn(SCANNER, 1, 2), udp(SCANNER, 161, 162)):
        made = gate()
        assert made.admit(worded(first.line)) == ()
        assert made.admit(worded(second.line)) == (worded(first.line), worded(second.line))
    made, (probe,) = gate(), syn(SCANNER, 80)
    for sent in (ping(SCANNER, HOST), *fragments(probe, ip_id=7)[:-1]):
        assert made.admit(worded(sent.line)) == (worded(sent.line),)
    made, taken = told()
    for sent in refused(syn(SCANNER, 22, 23, at=1)):
        assert made.admit(worded(sent.line)) == ()
    made.hand_over()
    assert asked(taken[0]) == {"02": {("0016", HOST): 1, ("0017", HOST): 1}}
    assert taken[0].refused == {("0016", HOST), ("0017", HOST)}


def test_what_could_change_the_verdict_is_looked_at_all_the_same() -> None:
    made, _ = told()
    (served,) = syn(SCANNER, SERVED_PORT)
    (probe,) = syn(SCANNER, 22)
    (early,) = syn(SCANNER, 23)
    assert made.admit(early.line) == ()
    others = [
        served,
        syn_ack(served),
        fin_ack(served),
        ping(SCANNER, HOST),
        tcp(SCANNER, HOST, 4000, 22, 0x17),  # no probe, although UDP has that number
        syn_ack(probe),
        rst(probe),
        syn(SCANNER, 22, dst="192.0.2.99")[0],
        probe.at(31),
        probe.at(-7200),
        rst_ack(syn(SCANNER, 99)[0]),
        rst_ack(early, after=31),
    ]
    for sent in others:
        assert made.admit(sent.line) == (sent.line,)


def test_counting_ends_early_when_there_are_many_ports_and_with_the_input() -> None:
    made, taken = told()
    for sent in syn(SCANNER, *range(1, 5000), every=0.001):
        made.admit(sent.line)
    assert [counted.ports for counted in taken] == [4096]
    made.count(SCANNER, micros(30))
    made.admit(syn(SCANNER, 6000)[0].line)
    made.hand_over()
    assert taken[1].ports == 1


def test_a_source_that_is_looked_at_is_seen_with_all_that_was_counted() -> None:
    engine = Pipeline(strict(traps=Traps(tcp=frozenset({9}), udp=frozenset())), US)
    scan = refused([*syn(SCANNER, *range(100, 300), every=0.01), *fin(SCANNER, *range(300, 320), at=3)])
    (line,) = traps(watch(engine, scan, refused(syn(SCANNER, 9, at=5))))
    assert (line.ports, line.attempts, line.closed) == (221, 221, 221)
    assert line.scan_type == "syn"


def test_probes_of_another_type_are_counted_as_what_they_are() -> None:
    scan = [*syn(SCANNER, *range(100, 120), every=0.01), *fin(SCANNER, *range(400, 600), at=30)]
    events = watch(strict(), scan, syn(SCANNER, 120, at=65))
    assert [(event.state, event.ports, event.scan_type) for event in evidence(events)] == [
        ("new", 4, "syn"),
        ("changed", 221, "fin"),
    ]


def whole(seconds: float, *, looked_at: bool) -> EvidenceEvent:
    """The line about the end of a long scan, with or without the gate's counting."""
    engine = Pipeline(Settings(), US)
    if looked_at:
        engine._gate.count = lambda *_: None  # type: ignore[method-assign]
    ports = [port for port in range(100, 3000) if port not in TRAP_TCP]
    scan = refused(syn(SCANNER, *ports, every=seconds / len(ports)))
    events = [*watch(engine, scan), *engine.advance(micros(seconds + 200))]
    (last,) = [event for event in evidence(events) if event.state == "ended"]
    return last


def test_a_scan_of_udp_ports_that_was_counted_is_told_with_all_of_them() -> None:
    engine = Pipeline(Settings(), US)
    events = watch(engine, udp(SCANNER, *range(1000, 1500), every=0.01))
    (last,) = [event for event in evidence([*events, *engine.advance(micros(100))]) if event.state == "ended"]
    assert (last.ports, last.attempts, last.proto, last.scan_type) == (500, 500, "udp", "udp")


@pytest.mark.parametrize("seconds", [1, 20, 200])
def test_a_scan_that_was_counted_ends_with_the_same_numbers(seconds: float) -> None:
    counted, looked_at = (dataclasses.asdict(whole(seconds, looked_at=one)) for one in (False, True))
    assert counted == looked_at
