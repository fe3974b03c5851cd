"""In a flood the first packets of a source wait, and a scanner loses nothing by it."""

import dataclasses
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Limits, Settings
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, RST, SYN
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import EvidenceEvent
from tests.scenarios.families import SCENARIOS
from tests.support.admission_gate import LIMITS, SCANNER6_NETWORK, Gate, source_of, spend, strangers
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    SCANNER6,
    US,
    Sent,
    connect,
    evidence,
    fin_ack,
    fragments,
    home_hosts,
    icmp_unreachable,
    in_time,
    in_tunnel,
    lines,
    micros,
    no_deadline,
    null,
    ping,
    records,
    refused,
    rst,
    rst_ack,
    strict,
    syn,
    syn_ack,
    tcp,
    udp,
    udp_reply,
    visit,
    watch,
    with_cells,
)
from tests.support.printing import coloned, worded
from tests.support.traffic import conversations

SMALL = Settings(limits=LIMITS)


def test_in_a_flood_the_first_packets_of_a_source_wait_for_the_fourth() -> None:
    gate = Gate()
    *waiting, fourth = lines(*syn(SCANNER, 1, 2, 3, 4, every=0.001))
    assert [gate.admits(line) for line in waiting] == [()] * 3
    assert gate.admission.held == 3
    assert gate.admits(fourth) == (*waiting, fourth)
    assert gate.admission.held == 0


def test_what_was_asked_before_does_not_count_again() -> None:
    gate = Gate()
    probes = lines(*syn(SCANNER, 1, 1, 1, 1, 1, 1, 2, 1, 3, 4, every=0.001))
    for probe in probes[:-1]:
        assert gate.admits(probe) == ()
    assert gate.admits(probes[-1]) == tuple(probes)


def test_a_source_whose_lines_were_dropped_is_remembered_by_what_it_asked() -> None:
    gate = Gate()
    probes = lines(*syn(SCANNER, *range(1, 6)))
    crowd = iter(lines(*strangers(4000, every=0.0001)))
    for probe in probes[:3]:
        assert gate.admits(probe) == ()
        for _ in range(1000):
            gate.admits(next(crowd))
        assert gate.kept(SCANNER) == []
    assert gate.admits(probes[3]) == (probes[3],)


def test_a_clock_that_is_set_back_does_not_let_sources_wait_for_long() -> None:
    gate = Gate(SCANNER, limits=dataclasses.replace(LIMITS, new_sources_per_second=100, max_held=100_000))
    gate.waits_again[SCANNER] = True
    gate.admission.note_spent(micros(3600))
    before, after = lines(*syn(SCANNER, 1), *syn(SCANNER, 1, at=0.1))
    assert gate.admits(before) == (before,)
    gate.admission.note_spent(micros(0))
    assert gate.admits(after) == ()


def test_what_may_answer_this_host_does_not_wait() -> None:
    gate = Gate()
    (forged,) = syn(FRIEND, 80)
    assert gate.admits(forged.line) == ()
    for answer in (syn_ack(syn(HOST, 443, dst=FRIEND)[0]), udp_reply(udp(HOST, 53, dst=FRIEND)[0])):
        assert gate.admits(answer.line) == (answer.line,)
    assert gate.kept(FRIEND) == [forged.line]
    (question,) = lines(ping(FRIEND, HOST))
    assert gate.admits(question) == (), "it asks for something"


def test_a_call_of_this_host_ends_the_wait_of_its_peer() -> None:
    calls = (syn(HOST, 443, dst=SCANNER), udp(HOST, 53, dst=SCANNER), [ping(HOST, SCANNER)])
    for (call,) in calls:
        for probes in (syn(SCANNER, 80), syn(SCANNER, 80, 81), udp(SCANNER, 161)):
            gate = Gate()
            waiting = lines(*probes)
            assert [gate.admits(line) for line in waiting] == [()] * len(waiting)
            assert gate.admits(call.line) == (*waiting, call.line)
            assert gate.admission.held == 0


def test_an_answer_of_this_host_to_a_datagram_waits_behind_it() -> None:
    gate = Gate()
    (question,) = udp(SCANNER, 161)
    answer = udp_reply(question)
    assert gate.admits(question.line) == ()
    assert gate.admits(answer.line) == ()
    assert gate.kept(SCANNER) == [question.line, answer.line]


def test_what_waits_can_be_released() -> None:
    gate = Gate()
    assert gate.admission.release(SCANNER) == []
    for probes in (syn(SCANNER, 80), syn(SCANNER, 80, 81)):
        waiting = lines(*probes)
        for line in waiting:
            gate.admits(line)
        assert gate.admission.release(SCANNER) == waiting
        assert gate.kept(SCANNER) == []
    assert gate.admission.held == 0


@pytest.mark.parametrize(("ack", "is_admitted"), [(5001, True), (5000, False), (5001 + (1 << 20), False)])
def test_a_visitor_that_acknowledges_our_number_needs_no_token(ack: int, is_admitted: bool) -> None:
    gate = Gate()
    spend(gate.admission._quick, gate.admission._slow)
    (call,) = syn(SCANNER, 80)
    waiting = lines(call, syn_ack(call, seq=5000))
    assert [gate.admits(line) for line in waiting] == [(), ()]
    end = fin_ack(call, ack=ack).line
    assert gate.admits(end) == ((*waiting, end) if is_admitted else ())


def test_a_source_that_acknowledges_a_number_of_its_own_needs_a_token() -> None:
    gate = Gate()
    spend(gate.admission._quick, gate.admission._slow)
    (call,) = syn(SCANNER, 80)
    own = tcp(SCANNER, HOST, 50_000, 81, SYN | ACK, seq=5000)
    for line in lines(call, rst(call), own, fin_ack(call, ack=5001)):
        assert gate.admits(line) == ()


@pytest.mark.parametrize("call", [*syn(SCANNER, 80), *syn(SCANNER6, 80)])
def test_our_answer_to_a_first_segment_that_was_not_seen_waits_and_stands_for_it(call: Sent) -> None:
    gate = Gate()
    probes = syn(call.src, 80, 81, 82, 83, at=1)
    answer, *waiting, last = lines(syn_ack(call), *probes)
    assert [gate.admits(line) for line in (answer, *waiting)] == [()] * 4
    assert gate.admits(last) == (answer, *waiting, last), "it asked for port 80 before"
    assert Gate(source_of(call.src)).admits(answer) == (answer,)
    others = tcp("198.51.100.7", call.src, 80, 40_000, SYN | ACK).line
    assert gate.admits(others) == (others,), "one that passes through this host"


def test_our_resets_stand_for_what_was_not_seen() -> None:
    """Of a flood of plain ACKs, as of a scan with them or in fragments, only they are seen."""
    gate = Gate()
    resets = [tcp(HOST, SCANNER, port, 40_000, RST, seq=7, at=port / 100) for port in range(1, 5)]
    for line in lines(*(tcp(HOST, f"198.18.1.{nth}", 80, 7, RST, seq=7) for nth in range(9))):
        assert gate.admits(line) == (), "each has asked for one thing"
    assert [len(gate.admits(line)) for line in lines(*resets)] == [0, 0, 0, 4]


def test_a_reset_that_answers_what_waits_is_no_other_question() -> None:
    gate = Gate()
    *waiting, last = refused(syn(SCANNER, 1, 2, 3, 4, every=0.001))
    assert {gate.admits(line) for line in lines(*waiting[:6])} == {()}
    assert gate.admission._again[SCANNER].count == 3
    assert gate.admits(waiting[6].line) == tuple(lines(*waiting))
    gate.waits_again[SCANNER] = False
    assert gate.admits(last.line) == (last.line,)


@pytest.mark.parametrize(("ack", "is_admitted"), [(5001, True), (5000, False), (5001 + (1 << 20), False)])
@pytest.mark.parametrize("answers", [1, 2])
def test_a_visitor_whose_first_segment_was_not_seen_needs_no_token(answers: int, ack: int, is_admitted: bool) -> None:
    gate = Gate()
    spend(gate.admission._quick, gate.admission._slow)
    (call,) = syn(SCANNER, 80)
    waiting = lines(syn_ack(call, seq=5000), *[syn_ack(call, seq=700_000_000)] * (answers - 1))
    assert [gate.admits(line) for line in waiting] == [()] * len(waiting)
    end = fin_ack(call, ack=ack).line
    assert gate.admits(end) == ((*waiting, end) if is_admitted else ())


def test_a_flood_of_first_segments_that_were_not_seen_has_the_places_of_new_sources() -> None:
    limits = Limits(new_sources_per_second=10)
    pipeline = Pipeline(Settings(limits=limits), US)
    calls = [syn(f"198.{18 + nth // 62_500}.{nth // 250 % 250}.{nth % 250 + 1}", 80)[0] for nth in range(10_000)]
    flood = [syn_ack(call, after=0.0001 * nth) for nth, call in enumerate(calls)]
    (call,) = connect(FRIEND, 80, at=0.5)
    session = [syn_ack(call), fin_ack(call, ack=6000, after=0.2)]
    assert watch(pipeline, in_time(flood, session)) == []
    places = 2 * limits.new_sources_per_second + limits.new_sources_per_second
    assert pipeline.tracked_sources <= places + 1
    assert pipeline.counts()["packets_held"] >= len(flood) - places
    (friend,) = pipeline.state().standing
    assert (friend.address, friend.stacks) == (FRIEND, ((64, 40),))


def test_a_number_of_a_neighbour_in_its_network_is_no_proof() -> None:
    gate = Gate()
    spend(gate.admission._quick, gate.admission._slow)
    neighbour = SCANNER6[:-1] + "f"
    (call,) = syn(SCANNER6, 80)
    forged = tcp(neighbour, SCANNER6, 80, call.src_port, SYN | ACK, seq=5000)
    for line in lines(call, syn_ack(call, seq=700_000_000), forged, fin_ack(call, ack=5001)):
        assert gate.admits(line) == ()


def test_the_second_touch_of_a_trap_does_not_wait() -> None:
    gate = Gate()
    gate.admission.set_traps({11, 15})
    for first, second in (syn(SCANNER, 11, 15), udp(SCANNER, 11, 15)):
        assert gate.admits(first.line) == ()
        assert gate.admits(second.line) == (first.line, second.line)


def test_flags_that_no_client_sends_do_not_wait_for_more() -> None:
    gate = Gate()
    first, second = null(SCANNER, 1, 2)
    assert gate.admits(first.line) == ()
    assert gate.admits(second.line) == (first.line, second.line)


def test_a_source_that_goes_on_is_not_dropped_before_others() -> None:
    gate = Gate()
    probes = lines(*syn(SCANNER, 1, 2, 3, 4))
    crowd = iter(lines(*strangers(1000, every=0.0001)))
    for probe in probes[:3]:
        assert gate.admits(probe) == ()
        for _ in range(LIMITS.max_held // 2):
            gate.admits(next(crowd))
    assert gate.admits(probes[3]) == tuple(probes)


@pytest.mark.parametrize("proto", [4, 47, 99, 132])
def test_any_protocol_waits(proto: int) -> None:
    gate = Gate()
    probe = dataclasses.replace(udp(SCANNER, 9)[0], proto=proto, payload=bytes(12) + b"\1" + bytes(19))
    assert gate.admits(probe.line) == ()


def test_an_answer_over_any_protocol_does_not_wait() -> None:
    gate = Gate()
    (other,) = udp(FRIEND, 9)
    init_ack = dataclasses.replace(other, proto=132, payload=bytes(12) + b"\2" + bytes(19))
    echo_reply = dataclasses.replace(other, proto=1, payload=bytes(8))
    tunnel = dataclasses.replace(other, proto=4)
    for sent in (init_ack, echo_reply, tunnel):
        assert gate.admits(sent.line) == (sent.line,)


def test_extension_headers_do_not_lead_past_admission() -> None:
    gate = Gate()
    (probe,) = syn(SCANNER6, 80)
    assert gate.admits(with_cells(probe.line, proto="0,60,6")) == ()


def test_our_answers_wait_behind_the_probe() -> None:
    gate = Gate()
    (probe,) = syn(SCANNER, 80)
    answer, end = syn_ack(probe), fin_ack(probe, after=0.5)
    assert gate.admits(probe.line) == gate.admits(answer.line) == ()
    assert gate.admits(end.line) == (probe.line, answer.line, end.line)
    assert gate.admission.held == 0


def test_a_scanner_that_changes_its_address_within_a_network_is_one_source() -> None:
    gate = Gate()
    (first,), (*others, last) = syn(SCANNER6, 22), syn("2001:db8:bad::77", 23, 24, 25)
    waiting = lines(first, syn_ack(first), *others)
    assert [gate.admits(line) for line in waiting] == [()] * 4
    assert gate.admits(last.line) == (*waiting, last.line)
    known = Gate(SCANNER6_NETWORK)
    assert known.admits(first.line) == (first.line,)


def test_an_answer_to_a_neighbour_waits_behind_the_probe_of_its_network() -> None:
    gate = Gate()
    probe, *others, last = syn(SCANNER6, 22, 23, 24, 25)
    waiting = lines(probe, syn_ack(syn("2001:db8:bad::77", 23)[0]), *others)
    assert [gate.admits(line) for line in waiting] == [()] * 4
    assert gate.admits(last.line) == (*waiting, last.line)


def test_answers_without_end_are_dropped_and_yet_counted() -> None:
    gate = Gate()
    (probe,) = syn(SCANNER, 80)
    for line in [probe.line, *[syn_ack(probe).line] * 50]:
        assert gate.admits(line) == ()
    assert gate.admission.held == 51
    assert len(gate.admits(probe.line)) < 20


def test_the_limit_of_new_sources_per_second_holds() -> None:
    gate = Gate()
    admitted = [line for line in lines(*strangers(100, at=10, every=0.1)) if gate.admits(line)]
    assert len(admitted) == 2 + 9


def test_time_that_runs_backwards_admits_nobody() -> None:
    gate = Gate()
    assert [gate.admits(line) for line in lines(*strangers(3, at=-3600))] == [()] * 3


def test_known_sources_and_others_packets_do_not_wait() -> None:
    gate = Gate(SCANNER)
    (probe,) = syn(SCANNER, 80)
    others = syn("198.18.0.9", 80, dst="192.0.2.99")[0]
    for sent in (probe, rst_ack(probe), syn_ack(probe), others):
        assert gate.admits(sent.line) == (sent.line,)


def test_only_whole_packets_wait() -> None:
    gate = Gate()
    (probe,) = syn(SCANNER, 80)
    for sent in fragments(probe, ip_id=7)[:-1]:
        assert gate.admits(sent.line) == (sent.line,)
    assert gate.admits(dataclasses.replace(probe, vlan=7).line) == ()


def test_a_tunnel_waits_as_its_outer_packet_and_its_inside_never() -> None:
    gate = Gate()
    (probe,) = syn(FRIEND, 80)
    inside = with_cells(probe.line, proto="4,6")  # as a tshark that looks into the tunnel prints it
    assert gate.admits(inside) == (inside,)
    outer = in_tunnel(probe, SCANNER)
    assert [gate.admits(outer.line) for _ in range(4)] == [()] * 4


def test_a_datagram_waits_too_unless_it_may_be_an_answer() -> None:
    gate = Gate()
    first, *others, last = udp(SCANNER, 161, 162, 163, 164)
    waiting = lines(first, icmp_unreachable(first), *others)
    assert [gate.admits(line) for line in waiting] == [()] * 4
    assert gate.admits(last.line) == (*waiting, last.line)
    (answer,) = udp(FRIEND, 40000)
    assert gate.admits(answer.line) == (answer.line,)


def test_what_we_queried_is_heard_in_a_flood() -> None:
    pipeline = Pipeline(SMALL, US)
    (question,) = udp(HOST, 53, dst=FRIEND)
    watch(pipeline, strangers(10), [question, udp_reply(question)])
    assert pipeline._flows.expected.server(FRIEND, pipeline.last_us) == "resolver"


@pytest.mark.parametrize("target", ["02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "", "fe80::1%eth0"])
def test_a_link_address_is_not_ours(target: str) -> None:
    """For a packet that ends within its IP header, tshark prints link addresses."""
    (probe,) = syn(SCANNER, 9)
    line = probe.line.replace(HOST, target)
    for host in (US, HostState(home_known=False), HostState(home=(ip_network("192.0.2.0/24"),))):
        assert list(Pipeline(SMALL, host).feed([line])) == []
    assert Gate().admits(line) == (line,)


def test_a_line_too_long_for_a_table_does_not_wait() -> None:
    (probe,) = syn(SCANNER, 9)
    line = probe.line + " " * 3000
    assert Gate().admits(line) == (line,)


def test_the_lines_that_wait_are_bounded_and_the_oldest_go() -> None:
    gate = Gate()
    crowd = lines(*strangers(1000, every=0.0001))
    for line in crowd:
        gate.admits(line)
    waiting = [line for line in crowd if gate.kept(line.split("\t")[1])]
    assert 0 < len(waiting) <= LIMITS.max_held
    assert crowd[2] not in waiting


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.sampled_from(["probe", "answer", "flags"]))))
def test_what_is_admitted_of_a_source_is_complete_and_in_order(steps: list[tuple[int, int, str]]) -> None:
    """All lines from and to a source but for those that still wait; its network is of no other."""
    gate, sent, admitted = Gate(), dict[int, list[str]](), dict[int, list[str]]()
    for nth, (who, port, what) in enumerate(steps):
        (probe,) = syn(f"198.51.100.{who}", port, at=nth / 1000, flags=FIN if what == "flags" else SYN)
        line = syn_ack(probe).line if what == "answer" else probe.line
        before = gate.admission.held
        lines_now = gate.admits(line)
        sent.setdefault(who, []).append(line)
        admitted.setdefault(who, []).extend(lines_now)
        assert gate.admission.held == before + 1 - len(lines_now)
    for who, all_lines in sent.items():
        assert [*admitted[who], *gate.kept(f"198.51.100.{who}")] == all_lines


@given(st.text(), st.lists(st.text()))
def test_any_text_is_admitted_or_held(text: str, some: list[str]) -> None:
    for line in (text, "\t".join(some)):
        gate = Gate()
        assert gate.admits(line) in ((line,), ())


@no_deadline
@given(st.sampled_from([SCANNER, SCANNER6]).flatmap(lambda source: conversations((source,))))
def test_an_admitted_source_has_the_same_lines_as_without_admission(traffic: list[Sent]) -> None:
    """Of a source that still waits, there may be none."""
    settings = strict()
    with_admission, without = Pipeline(settings, US), Pipeline(settings, US)
    spend(with_admission._admission._new)
    found, wanted = (
        records(evidence([*watch(pipeline, traffic), *pipeline.finish()])) for pipeline in (with_admission, without)
    )
    admission = with_admission._admission
    is_waiting = bool(admission._newer or admission._again)
    assert found == (found if is_waiting and all(one in wanted for one in found) else wanted)


def said(settings: Settings, *traffic: Sent) -> set[tuple[str, str, str]]:
    events = watch(Pipeline(settings, US), list(traffic))
    return {(one.src_ip, one.technique, one.verdict) for one in evidence(events)}


def test_a_scan_in_a_flood_is_reported_as_without() -> None:
    scan = refused(syn(SCANNER, *range(20, 60), at=1, every=0.01))
    assert said(SMALL, *in_time(strangers(5000), scan)) == said(Settings(), *scan)


def test_a_visit_in_a_flood_counts_as_without() -> None:
    flood = strangers(5000)
    calls = visit(SCANNER, *[80] * 9, at=1)
    probes = refused(syn(SCANNER, *range(20, 60), at=6, every=0.001))
    assert said(SMALL, *in_time(flood, calls, probes)) == said(Settings(), *calls, *probes)


# A distributed scan is one packet from each source of a network, and reflection comes from many: both are floods.
_FLOODS = {"distributed_scan", "reflection_from_any_port", "scan_in_a_flood"}


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - _FLOODS))
def test_no_scenario_loses_a_verdict_to_admission(name: str) -> None:
    def verdicts(limits: Limits) -> set[tuple[str, str]]:
        scenario = SCENARIOS[name]
        host = HostState(home=tuple(map(ip_network, scenario.home.split())), home_known=bool(scenario.home))
        pipeline = Pipeline(Settings(limits=limits), host)
        events = [*watch(pipeline, scenario.traffic()), *pipeline.finish()]
        return {(one.src_ip, one.verdict) for one in events if isinstance(one, EvidenceEvent)}

    assert verdicts(Limits(new_sources_per_second=1)) == verdicts(Limits(new_sources_per_second=100_000))


@pytest.mark.parametrize("printed", [coloned, worded])
def test_every_version_of_tshark_is_read(printed: Callable[[str], str]) -> None:
    pings = [ping(SCANNER, host) for host in (HOST, *home_hosts(3))]
    for probes in (syn(SCANNER, 1, 2, 3, 4), udp(SCANNER, 161, 162, 163, 164), pings):
        gate, shown = Gate(), [printed(probe.line) for probe in probes]
        assert [gate.admits(line) for line in shown] == [(), (), (), tuple(shown)]
    gate, (probe,) = Gate(), syn(SCANNER, 80)
    for sent in fragments(probe, ip_id=7)[:-1]:
        assert gate.admits(printed(sent.line)) == (printed(sent.line),)
