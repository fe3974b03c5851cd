"""In a flood first packets wait, and a scanner loses nothing by it."""

import dataclasses
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Limits, Settings
from portsentry_py.core.admission import Admission
from portsentry_py.core.columns import head_of
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import EvidenceEvent
from tests.scenarios.families import SCENARIOS
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    US,
    Sent,
    evidence,
    fin_ack,
    fragments,
    icmp_unreachable,
    in_time,
    in_tunnel,
    lines,
    ping,
    refused,
    rst_ack,
    syn,
    syn_ack,
    udp,
    udp_reply,
    visit,
    watch,
)
from tests.support.printing import coloned, worded

# Two sources are admitted at once; then one in a second.
LIMITS = Limits(new_sources_per_second=1, max_held=64)
SMALL = Settings(limits=LIMITS)
SCANNER6_NETWORK = "2001:db8:bad::/64"


def strangers(count: int, *, every: float = 0.001, at: float = 0.0) -> list[Sent]:
    """One SYN from each of `count` sources."""
    return [syn(f"198.18.{number // 250}.{number % 250 + 1}", 80, at=at + number * every)[0] for number in range(count)]


def source_of(address: str) -> str:
    """For addresses of the scanner's network, the network; else the address."""
    return SCANNER6_NETWORK if address.startswith("2001:db8:bad:") else address


class Gate:
    """An admission on HOST and HOST6 that has no token left."""

    def __init__(self, *known: str) -> None:
        self.admission = Admission(
            LIMITS,
            source_of=source_of,
            is_known=lambda source: source in known,
            is_queried=lambda address: address == FRIEND,
            is_home=lambda address: address in {HOST, HOST6},
        )
        for line in lines(*strangers(2)):
            assert self.admits(line) == (line,)

    def admits(self, line: str) -> tuple[str, ...]:
        """The lines to inspect now."""
        return self.admission.admit(line, head_of(line))


def test_in_a_flood_a_first_packet_waits_for_the_second() -> None:
    gate = Gate()
    first, second, third = lines(*syn(SCANNER, 1, 2, 3, every=0.001))
    assert gate.admits(first) == ()
    assert gate.admission.held == 1
    assert gate.admits(second) == (first, second)
    assert gate.admission.held == 0
    # By now the source table knows the source; this test has none.
    assert gate.admits(third) == ()


def test_our_answers_wait_behind_the_probe() -> None:
    gate = Gate()
    (probe,) = syn(SCANNER, 80)
    answer, end = syn_ack(probe), fin_ack(probe, after=0.5)
    assert gate.admits(probe.line) == gate.admits(answer.line) == ()
    assert gate.admits(end.line) == (probe.line, answer.line, end.line)
    assert gate.admission.held == 0


def test_a_scanner_that_changes_its_address_within_a_network_is_one_source() -> None:
    gate = Gate()
    (first,), (second,) = syn(SCANNER6, 22), syn("2001:db8:bad::77", 23)
    assert gate.admits(first.line) == gate.admits(syn_ack(first).line) == ()
    assert gate.admits(second.line) == (first.line, syn_ack(first).line, second.line)
    known = Gate(SCANNER6_NETWORK)
    assert known.admits(first.line) == (first.line,)


def test_an_answer_to_a_neighbour_waits_behind_the_probe_of_its_network() -> None:
    gate = Gate()
    (probe,) = syn(SCANNER6, 22)
    answer = syn_ack(syn("2001:db8:bad::77", 23)[0])
    assert gate.admits(probe.line) == gate.admits(answer.line) == ()
    assert gate.admits(probe.line) == (probe.line, answer.line, probe.line)


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


def test_only_whole_packets_outside_tunnels_wait() -> None:
    gate = Gate()
    (probe,) = syn(SCANNER, 80)
    pieces = fragments(probe, ip_id=7)[:-1]
    for sent in (ping(SCANNER, HOST), in_tunnel(probe, SCANNER), *pieces):
        assert gate.admits(sent.line) == (sent.line,)
    assert gate.admits(dataclasses.replace(probe, vlan=7).line) == ()


def test_a_datagram_waits_too_unless_it_may_be_an_answer() -> None:
    gate = Gate()
    first, second = udp(SCANNER, 161, 162)
    assert gate.admits(first.line) == ()
    refusal = icmp_unreachable(first)
    assert gate.admits(refusal.line) == ()
    assert gate.admits(second.line) == (first.line, refusal.line, second.line)
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
    waiting = [line for line in reversed(crowd) if len(gate.admits(line)) > 1]
    assert 0 < len(waiting) <= LIMITS.max_held
    assert crowd[2] not in waiting


@given(st.text(), st.lists(st.text()))
def test_any_text_is_admitted_or_held(text: str, some: list[str]) -> None:
    for line in (text, "\t".join(some)):
        gate = Gate()
        assert gate.admits(line) in ((line,), ())


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


# A distributed scan is one packet from each source of a network, and so is a flood.
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"distributed_scan", "scan_in_a_flood"}))
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
    for first, second in (syn(SCANNER, 1, 2), udp(SCANNER, 161, 162)):
        gate = Gate()
        assert gate.admits(printed(first.line)) == ()
        assert gate.admits(printed(second.line)) == (printed(first.line), printed(second.line))
    gate, (probe,) = Gate(), syn(SCANNER, 80)
    for sent in (ping(SCANNER, HOST), *fragments(probe, ip_id=7)[:-1]):
        assert gate.admits(printed(sent.line)) == (printed(sent.line),)
