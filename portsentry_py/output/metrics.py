"""The metrics: an output that counts events, and the sensor's own counts, for Prometheus."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import fields
from threading import Lock
from typing import get_args

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from portsentry_py.events.model import (
    EVENT_CLASSES,
    Event,
    EvidenceEvent,
    Reason,
    SourceEvent,
    StatusEvent,
    Technique,
    Verdict,
    time_us,
)
from portsentry_py.output.sink import Reading, Sink

_PREFIX = "portsentry_"
# The sensor reads each second; after this time it hangs, or restarts its capture in vain.
_FRESH_SECONDS = 10.0
_DELAY_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FATES = ("decoded", "ignored", "malformed", "dropped", "missed")
# Key of the status line: name of its counter, where the key is not the name.
_COUNTERS = {
    "packets_seen": "packets_seen",
    "probes_unjudged": "probes_unjudged",
    "lines_suppressed": "lines_suppressed",
    "sources_evicted": "sources_evicted",
    "flows_evicted": "flows_evicted",
    "restarts": "capture_restarts",
    "renewals": "capture_handovers",
    "packets_forged": "packets_forged",
}
_GAUGES = ("packets_pending", "packets_held")
_DOCS = {item.name: item.metadata.get("doc", "") for item in fields(StatusEvent)}


class Metrics(Collector):
    """Counts events as an output, keeps the latest reading, and gives both to a registry of Prometheus.

    No label holds an address: a scanner could make as many time series as it has addresses.

    Args:
        ban_budget: the size of the budget of bans.
        monotonic: seconds of a clock that only goes forward.
    """

    def __init__(self, ban_budget: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ban_budget = ban_budget
        self._monotonic = monotonic
        self._lock = Lock()
        # All words from the start: a rate needs the zero before the first event.
        self._events: Counter[tuple[str, ...]] = Counter(
            {(event.event_type, verdict): 0 for event in EVENT_CLASSES for verdict in _verdicts(event)}
        )
        self._reasons: Counter[tuple[str, ...]] = Counter({(reason,): 0 for reason in get_args(Reason)})
        self._scans: Counter[tuple[str, ...]] = Counter({(technique,): 0 for technique in get_args(Technique)})
        self._delays = [0] * (len(_DELAY_BUCKETS) + 1)
        self._delay_sum = 0.0
        self._reading: Reading | None = None
        self._read_at = 0.0
        self._highest: Counter[tuple[str, str]] = Counter()
        self.closing = ExitStack()
        """Closed with the metrics: those that publish them."""
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(namespace=_PREFIX.rstrip("_"), registry=self.registry)

    def write(self, event: Event) -> None:
        """Count one event."""
        with self._lock:
            self._events[event.event_type, event.verdict if isinstance(event, SourceEvent) else "none"] += 1
            if isinstance(event, EvidenceEvent):
                self._reasons[event.reason,] += 1
                self._scans[event.technique,] += event.state == "new"

    def close(self) -> None:
        """End what publishes them."""
        self.closing.close()

    def observe(self, reading: Reading) -> None:
        """Keep the latest reading."""
        self._reading, self._read_at = reading, self._monotonic()

    def count_delay(self, seconds: float) -> None:
        """Count how long after its packet a line with the verdict `ban` was in the log."""
        with self._lock:
            self._delays[bisect_left(_DELAY_BUCKETS, seconds)] += 1
            self._delay_sum += max(0.0, seconds)

    @property
    def hears(self) -> bool:
        """Whether the sensor works, and its capture hears what passes."""
        reading = self._reading
        return reading is not None and reading.hears and self._monotonic() - self._read_at <= _FRESH_SECONDS

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        hears = gauge("capture_hears", "1 while the capture runs and packets arrive or none pass, else 0")
        hears.add_metric((), self.hears)
        yield hears
        with self._lock:
            events, reasons, scans = dict(self._events), dict(self._reasons), dict(self._scans)
            delays, delay_sum = list(self._delays), self._delay_sum
        yield counter("events", "lines, by type and verdict", ("event_type", "verdict"), events)
        yield counter("evidence", "scan and trap lines, by the rule of their verdict", ("reason",), reasons)
        yield counter("scans", "scans that began, by the detector that found them", ("technique",), scans)
        yield _histogram(delays, delay_sum)
        if self._reading is not None:
            yield from self._of_reading(self._reading)

    def _of_reading(self, reading: Reading) -> Iterator[Metric]:
        status = reading.status
        build = gauge("build_info", "always 1; the versions are labels", ("version", "tshark_version"))
        build.add_metric((status.version, reading.tshark_version), 1)
        yield build
        fates = {fate: getattr(status, f"packets_{fate}") for fate in _FATES}
        yield self._rising("packets", "packets, by what became of them", "fate", fates)
        for key, name in _COUNTERS.items():
            yield self._rising(name, _DOCS[key], "", {"": getattr(status, key)})
        written, lost = ({name: counts[which] for name, counts in reading.lines.items()} for which in (0, 1))
        yield self._rising("lines_written", "lines, by the output that wrote them", "output", written)
        yield self._rising("lines_lost", "lines, by the output that could not write them", "output", lost)
        for key in _GAUGES:
            yield value(key, _DOCS[key], getattr(status, key))
        yield value("sources", "sources in the source table", reading.sources)
        yield value("capture_lag_seconds", "how far the capture is behind", reading.lag_seconds)
        yield value("tshark_resident_memory_bytes", "memory of all tsharks", reading.tshark_bytes)
        yield value("ban_budget_remaining", "unverified sources that may be banned now", reading.ban_budget)
        yield value("ban_budget_size", "the same when nobody was banned for ten minutes", self._ban_budget)

    def _rising(self, name: str, doc: str, label: str, values: Mapping[str, int]) -> Metric:
        """A counter. A loss that turns out to be none does not lower it: Prometheus would see a restart."""
        with self._lock:
            for word, count in values.items():
                self._highest[name, word] = max(self._highest[name, word], count)
            highest: dict[tuple[str, ...], int] = {
                (word,) if label else (): self._highest[name, word] for word in values
            }
        return counter(name, doc, (label,) if label else (), highest)


class TimedSink:
    """The event log; the delay of each line with the verdict `ban` is counted once it is written."""

    def __init__(self, sink: Sink, metrics: Metrics, now: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._metrics = metrics
        self._now = now
        self.close = sink.close

    def write(self, event: Event) -> None:
        """Write one line."""
        self._sink.write(event)
        if isinstance(event, EvidenceEvent) and event.verdict == "ban":
            self._metrics.count_delay(self._now() - time_us(event.timestamp) / 1_000_000)


def _verdicts(event: type[Event]) -> tuple[str, ...]:
    return get_args(Verdict) if issubclass(event, EvidenceEvent) else ("none",)


def _sentence(doc: str) -> str:
    return f"{doc[0].upper()}{doc[1:]}."


def counter(name: str, doc: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], int]) -> Metric:
    """A counter of the project with one series for each tuple of label values."""
    family = CounterMetricFamily(_PREFIX + name, _sentence(doc), labels=labels)
    for label, count in values.items():
        family.add_metric(label, count)
    return family


def gauge(name: str, doc: str, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    """A gauge of the project, without a series."""
    return GaugeMetricFamily(_PREFIX + name, _sentence(doc), labels=labels)


def value(name: str, doc: str, number: float) -> Metric:
    """A gauge of the project with one series."""
    family = gauge(name, doc)
    family.add_metric((), number)
    return family


def _histogram(delays: list[int], total: float) -> Metric:
    bounds = [*map(str, _DELAY_BUCKETS), "+Inf"]
    reached = [sum(delays[: place + 1]) for place in range(len(delays))]
    family = HistogramMetricFamily(
        f"{_PREFIX}ban_line_delay_seconds", "Time from the packet to its line with the verdict `ban` in the log."
    )
    family.add_metric((), list(zip(bounds, reached, strict=True)), total)
    return family
