"""The probes of a source that was just reported are counted, and none is lost."""

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portsentry_py.config.settings import TRAP_TCP, Limits, Settings, Traps
from portsentry_py.core.columns import head_of
from portsentry_py.core.fast_path import MAX_SOURCES, NEVER_US, ProbeCounts, SuppressedSources
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import EvidenceEvent
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    US,
    evidence,
    fin,
    fin_ack,
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
    watch,
    with_cells,
)
from tests.support.printing import coloned, worded

SERVED_PORT = 80
SCANNER6_NETWORK = "2001:db8:bad::/64"


def source_of(address: str) -> str:
    """For addresses of the scanner's network, the network; else the address."""
    return SCANNER6_NETWORK if address.startswith("2001:db8:bad:") else address


class Counter:
    """Counts the probes of a source, and holds what it records."""

    def __init__(self, *, until: float = 30, limits: Limits | None = None, source: str = SCANNER) -> None:
        self.recorded: list[ProbeCounts] = []
        self.sources = SuppressedSources(
            limits or Limits(),
            source_of=source_of,
            is_queried=lambda address: address == FRIEND,
            is_unserved=lambda target, _proto, port: target in {HOST, HOST6} and port != SERVED_PORT,
            record=self.recorded.append,
        )
        self.sources.suppress(source, micros(until))

    def counts(self, line: str) -> bool:
        """Whether the line is counted."""
        return self.sources.count(line, head_of(line))


def test_a_suppressed_source_is_counted_by_port() -> None:
    counter = Counter()
    probes = [*syn(SCANNER, 22, 23, 22, at=1), *fin(SCANNER, 24)]
    assert all(counter.counts(sent.line) for sent in refused(probes))
    assert counter.sources.next_due_us == micros(30)
    assert counter.recorded == []
    counter.sources.flush_due()
    assert counter.sources.next_due_us == NEVER_US
    (counts,) = counter.recorded
    assert counts.times == {("02", "0016", HOST): 2, ("02", "0017", HOST): 1, ("01", "0018", HOST): 1}
    assert counts.refused == set(counts.times)
    assert not counter.counts(probes[0].line)


def test_all_addresses_of_a_suppressed_network_are_counted() -> None:
    counter = Counter(source=SCANNER6_NETWORK)
    assert all(counter.counts(sent.line) for sent in refused(syn(SCANNER6, 22, at=1), syn("2001:db8:bad::77", 23)))
    assert not counter.counts(syn(SCANNER, 24)[0].line)
    counter.sources.flush_due()
    (counts,) = counter.recorded
    assert counts.times == {("02", "0016", HOST6): 1, ("02", "0017", HOST6): 1}
    assert counts.refused == set(counts.times)


@pytest.mark.parametrize("address", [SCANNER6, "2001:db8:bad::77"])
def test_what_was_counted_is_recorded_before_a_packet_of_any_address_of_the_network(address: str) -> None:
    counter = Counter(source=SCANNER6_NETWORK)
    assert counter.counts(syn(SCANNER6, 22)[0].line)
    counter.sources.flush(syn(SCANNER, 22)[0].packet)
    assert counter.recorded == []
    counter.sources.flush(syn_ack(syn(address, SERVED_PORT)[0]).packet)
    assert [len(counts.times) for counts in counter.recorded] == [1]
    counter.sources.flush(syn(address, SERVED_PORT)[0].packet)
    assert len(counter.recorded) == 1, "nothing was counted since"
    assert counter.counts(syn(SCANNER6, 24, at=1)[0].line), "the suppression goes on"


def test_a_refusal_of_a_datagram_is_inspected() -> None:
    """The same number over TCP was not probed."""
    counter = Counter()
    assert counter.counts(udp(SCANNER, 161)[0].line)
    assert not counter.counts(rst(syn(SCANNER, 161)[0]).line)


def test_counts_over_all_sources_are_bounded() -> None:
    counter = Counter(limits=Limits(max_held=64))
    counter.sources.suppress(FRIEND, micros(30))
    probes = [*syn(SCANNER, *range(1, 21)), *syn(FRIEND, *range(1, 21))]
    assert all(counter.counts(sent.line) for sent in probes[:32])
    assert [len(counts.times) for counts in counter.recorded] == [12]
    assert not counter.counts(probes[32].line), "the source with the last probe is no longer suppressed"


def test_suppressed_sources_are_bounded_and_keep_their_first_end() -> None:
    counter = Counter()
    for nth in range(2 * MAX_SOURCES):
        counter.sources.suppress(f"198.18.{nth // 250}.{nth % 250}", micros(40))
    counter.sources.suppress(SCANNER, micros(50))
    assert len(counter.sources.sources) == MAX_SOURCES
    assert counter.sources.next_due_us == micros(30)
    counter.sources.flush_due()
    assert counter.sources.next_due_us == micros(40)
    assert counter.recorded == [], "nothing was counted"


def test_datagrams_of_a_suppressed_source_are_counted_too() -> None:
    counter = Counter()
    probes = [*udp(SCANNER, 161, 162, 161, at=1), *syn(SCANNER, 161, at=1)]
    assert all(counter.counts(sent.line) for sent in probes)
    counter.sources.flush_due()
    assert counter.recorded[0].times == {("udp", "00a1", HOST): 2, ("udp", "00a2", HOST): 1, ("02", "00a1", HOST): 1}


@pytest.mark.parametrize(
    ("source", "port", "src_port"), [(SCANNER, 40_000, 40_000), (SCANNER, 161, 53), (FRIEND, 161, 40_000)]
)
def test_a_datagram_that_may_be_an_answer_is_inspected(source: str, port: int, src_port: int) -> None:
    counter = Counter()
    counter.sources.suppress(FRIEND, micros(30))
    (answer,) = udp(source, port, src_port=src_port)
    assert not counter.counts(answer.line)


@pytest.mark.parametrize("printed", [coloned, worded])
def test_every_version_of_tshark_is_read(printed: Callable[[str], str]) -> None:
    counter = Counter()
    assert all(counter.counts(printed(sent.line)) for sent in refused(syn(SCANNER, 22, 23, at=1)))
    counter.sources.flush_due()
    (counts,) = counter.recorded
    assert counts.times == {("02", "0016", HOST): 1, ("02", "0017", HOST): 1}
    assert counts.refused == set(counts.times)


def test_what_could_change_the_verdict_is_inspected() -> None:
    counter = Counter()
    (served,) = syn(SCANNER, SERVED_PORT)
    (probe,) = syn(SCANNER, 22)
    (early,) = syn(SCANNER, 23)
    assert counter.counts(early.line)
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
    assert not any(counter.counts(sent.line) for sent in others)


@given(st.text("0123456789abcdef:,…g ", max_size=40), st.sampled_from(["6", "17"]))
@example("ffff", "17")
def test_any_bytes_of_a_suppressed_source_are_counted_or_inspected(data: str, proto: str) -> None:
    assert Counter().counts(with_cells(syn(SCANNER, 22, at=1)[0].line, data=data, proto=proto)) in {True, False}


def test_counts_are_recorded_early_when_there_are_many_ports() -> None:
    counter = Counter()
    for sent in syn(SCANNER, *range(1, 5000), every=0.001):
        counter.counts(sent.line)
    assert [len(counts.times) for counts in counter.recorded] == [4096]
    counter.sources.suppress(SCANNER, micros(30))
    assert counter.counts(syn(SCANNER, 6000)[0].line)
    counter.sources.flush_due()
    assert len(counter.recorded[1].times) == 1
    assert counter.sources.ports == 0


def test_an_inspected_source_has_all_its_counts_in_the_record() -> None:
    pipeline = Pipeline(strict(traps=Traps(tcp=frozenset({9}), udp=frozenset())), US)
    scan = refused([*syn(SCANNER, *range(100, 300), every=0.01), *fin(SCANNER, *range(300, 320), at=3)])
    (line,) = traps(watch(pipeline, scan, refused(syn(SCANNER, 9, at=5))))
    assert (line.ports, line.attempts, line.closed) == (221, 221, 221)
    assert line.scan_type == "syn"


def test_probes_of_another_type_are_counted_as_what_they_are() -> None:
    scan = [*syn(SCANNER, *range(100, 120), every=0.01), *fin(SCANNER, *range(400, 600), at=30)]
    events = watch(strict(), scan, syn(SCANNER, 120, at=65))
    assert [(event.state, event.ports, event.scan_type) for event in evidence(events)] == [
        ("new", 4, "syn"),
        ("changed", 221, "fin"),
    ]


def last_line(seconds: float, *, suppressed: bool) -> EvidenceEvent:
    """The line about the end of a long scan, with or without the fast path."""
    pipeline = Pipeline(Settings(), US)
    if not suppressed:
        pipeline._suppressed.suppress = lambda *_: None  # type: ignore[method-assign] # nobody is suppressed
    ports = [port for port in range(100, 3000) if port not in TRAP_TCP]
    scan = refused(syn(SCANNER, *ports, every=seconds / len(ports)))
    events = [*watch(pipeline, scan), *pipeline.advance(micros(seconds + 200))]
    (last,) = [event for event in evidence(events) if event.state == "ended"]
    return last


def test_a_scan_of_udp_ports_that_was_counted_is_reported_with_all_of_them() -> None:
    pipeline = Pipeline(Settings(), US)
    events = watch(pipeline, udp(SCANNER, *range(1000, 1500), every=0.01))
    events += pipeline.advance(micros(100))
    (last,) = [event for event in evidence(events) if event.state == "ended"]
    assert (last.ports, last.attempts, last.proto, last.scan_type) == (500, 500, "udp", "udp")


@pytest.mark.interpreted
@pytest.mark.parametrize("seconds", [1, 20, 200])
def test_a_scan_that_was_counted_ends_with_the_same_numbers(seconds: float) -> None:
    counted, inspected = (dataclasses.asdict(last_line(seconds, suppressed=suppressed)) for suppressed in (True, False))
    assert counted == inspected
