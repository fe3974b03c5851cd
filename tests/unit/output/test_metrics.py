"""Events and readings become metrics that follow the conventions of Prometheus."""

import re
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from prometheus_client import generate_latest

from portsentry_py.errors import OutputError
from portsentry_py.events.model import Event
from portsentry_py.output.metrics import Metrics, TimedSink
from tests.support.build import SCANNER, connection_events, evidence, scans, strict, syn, watch
from tests.support.needs import require_tool
from tests.support.readings import COUNTS, reading


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(200, clock)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"portsentry_{name}", labels)


def test_events_are_counted_by_type_and_verdict(metrics: Metrics) -> None:
    events = watch(strict(), syn(SCANNER, 1, 2, 3, 4, 5))
    for event in events:
        metrics.write(event)
    bans = [event for event in evidence(events) if event.verdict == "ban"]
    assert value(metrics, "events_total", event_type="scan", verdict="ban") == len(bans) == 1
    assert value(metrics, "events_total", event_type="connection", verdict="none") == 5
    assert value(metrics, "events_total", event_type="trap", verdict="watch") == 0, "a rate needs the zero before it"
    assert value(metrics, "evidence_total", reason="ports_in_window") == len(bans)
    assert value(metrics, "evidence_total", reason="outbound") == 0
    assert value(metrics, "scans_total", technique="port_scan") == 1


def test_every_count_of_a_status_line_is_in_a_metric(metrics: Metrics) -> None:
    metrics.observe(reading())
    shown = {sample.value for family in metrics.collect() for sample in family.samples}
    sums = {"packets", "lines_lost"}  # the sum of three fates; the losses of the log, beside those of other outputs
    assert [name for name, count in COUNTS.items() if count not in shown and name not in sums] == []


def test_a_reading_is_shown_as_it_is(metrics: Metrics) -> None:
    metrics.observe(reading(packets_dropped=7))
    assert value(metrics, "packets_total", fate="dropped") == 7
    assert value(metrics, "lines_written_total", output="log") == 8
    assert value(metrics, "lines_lost_total", output="log") == 1
    assert value(metrics, "sources") == 12
    assert value(metrics, "capture_lag_seconds") == 0.25
    assert (value(metrics, "ban_budget_remaining"), value(metrics, "ban_budget_size")) == (150.5, 200)
    assert value(metrics, "build_info", version="0.1.0", tshark_version="4.0.17") == 1
    assert value(metrics, "process_resident_memory_bytes")


def test_a_loss_that_turned_out_to_be_none_lowers_no_counter(metrics: Metrics) -> None:
    for dropped in (9, 4, 10):
        metrics.observe(reading(packets_dropped=dropped))
        assert value(metrics, "packets_total", fate="dropped") == max(9, dropped)


def test_the_capture_hears_while_fresh_readings_say_so(metrics: Metrics, clock: Clock) -> None:
    assert not metrics.hears, "nothing was read yet"
    metrics.observe(reading())
    assert metrics.hears
    clock.now += 11
    assert not metrics.hears, "the sensor hangs"
    metrics.observe(reading(hears=False))
    assert not metrics.hears
    assert value(metrics, "capture_hears") == 0


class Kept:
    def __init__(self, error: Exception | None = None) -> None:
        self.events: list[Event] = []
        self._error = error

    def write(self, event: Event) -> None:
        if self._error:
            raise self._error
        self.events.append(event)

    def close(self) -> None:
        self.events.clear()


def test_the_delay_of_a_ban_is_the_time_from_its_packet_to_its_line(metrics: Metrics) -> None:
    (ban,) = scans(watch(strict(), syn(SCANNER, 1, 2, 3, 4)))[:1]
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    packet = (datetime.fromisoformat(ban.timestamp.replace("Z", "+00:00")) - epoch) / timedelta(seconds=1)
    log = Kept()
    timed = TimedSink(log, metrics, lambda: packet + 0.2)
    for event in (ban, *connection_events(1)):
        timed.write(event)
    assert len(log.events) == 2
    assert value(metrics, "ban_line_delay_seconds_count") == 1
    assert value(metrics, "ban_line_delay_seconds_sum") == pytest.approx(0.2, abs=1e-3)
    assert value(metrics, "ban_line_delay_seconds_bucket", le="0.1") == 0
    assert value(metrics, "ban_line_delay_seconds_bucket", le="0.25") == 1
    timed.close()
    assert log.events == []


def test_a_line_that_was_not_written_has_no_delay(metrics: Metrics) -> None:
    (ban,) = scans(watch(strict(), syn(SCANNER, 1, 2, 3, 4)))[:1]
    with pytest.raises(OutputError):
        TimedSink(Kept(OutputError("no room")), metrics).write(ban)
    assert value(metrics, "ban_line_delay_seconds_count") == 0


def test_no_label_holds_an_address(metrics: Metrics) -> None:
    metrics.observe(reading())
    for event in watch(strict(), syn(SCANNER, *range(1, 30))):
        metrics.write(event)
    labels = {
        word for family in metrics.registry.collect() for sample in family.samples for word in sample.labels.values()
    }
    assert not [word for word in labels if SCANNER in word]
    assert not [word for word in labels if re.search(r"\d+\.\d+\.\d+\.\d+", word)]


def test_promtool_finds_no_fault_in_the_names(metrics: Metrics) -> None:
    metrics.observe(reading())
    text = generate_latest(metrics.registry)
    words = [require_tool("promtool"), "check", "metrics"]
    done = subprocess.run(words, input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
