"""Every event is one printable line that says who, what and why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import EVENT_CLASSES, Event
from portsentry_py.events.readable import readable
from portsentry_py.sensor.status_reporter import status_event
from tests.support.any_event import events_of
from tests.support.build import SCANNER, US, micros, refused, scans, strict, syn, watch


def shown(event: Event) -> str:
    return "".join(text for text, _ in readable(event, "22:13:20"))


@pytest.mark.parametrize("kind", EVENT_CLASSES)
def test_every_event_is_one_line(kind: type[Event]) -> None:
    @given(st.data())
    def printable(data: st.DataObject) -> None:
        assert shown(data.draw(events_of(kind))).isprintable()

    printable()


def test_a_reader_sees_who_what_and_why() -> None:
    events = watch(strict(), refused(syn(SCANNER, 20, 21, 22, 23)))
    lines = [shown(event) for event in [*events, status_event(Pipeline(strict(), US), micros(0), "started", "none")]]
    (scan,) = [line for line in lines if " port_scan " in line]
    (trap,) = [line for line in lines if " trap " in line]
    assert all(word in scan for word in ("22:13:20", "ban", SCANNER, "syn", "4 ports", "ports_in_window"))
    assert all(word in trap for word in ("watch", SCANNER, "23/tcp", "decoy_port"))
    assert any(f"{SCANNER}:40000" in line and "20/tcp refused" in line for line in lines)
    assert "sensor started" in lines[-1]


def test_a_sweep_shows_its_hosts() -> None:
    (scan,) = scans(watch(strict(), refused(syn(SCANNER, 20, 21, 22, 24))))[:1]
    assert "4 ports of 8 hosts, last " in shown(replace(scan, hosts=8))


def test_a_line_of_a_newer_version_is_no_error() -> None:
    assert "newer version" in shown(Event(timestamp="2026-11-20T08:41:57.408980Z"))
