"""A line has to meet every condition."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.report.line_filter import ANY_SCANNER, LineFilter
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import SCANNER, US, connection_events, micros, refused, scans, strict, syn, watch

(SCAN,) = scans(watch(strict(), refused(syn(SCANNER, 20, 21, 22, 24))))[:1]
KNOWN = replace(SCAN, src_known="censys", verdict="watch")
ATTEMPT = connection_events(1)[0]
STATUS = status_event(Pipeline(strict(), US), micros(0), "started", "none")
ALL = (SCAN, KNOWN, ATTEMPT, STATUS)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (LineFilter(), ALL),
        (LineFilter(verdicts=frozenset({"ban"})), (SCAN,)),
        (LineFilter(verdicts=frozenset({"ban", "watch"})), (SCAN, KNOWN)),
        (LineFilter(types=frozenset({"status"})), (STATUS,)),
        (LineFilter(techniques=frozenset({"port_scan"})), (SCAN, KNOWN)),
        (LineFilter(known=frozenset({"censys"})), (KNOWN,)),
        (LineFilter(known=frozenset({ANY_SCANNER})), (KNOWN,)),
        (LineFilter(known=frozenset({"shodan"})), ()),
        (LineFilter(networks=(ip_network(SCANNER),)), (SCAN, KNOWN, ATTEMPT)),
        (LineFilter(networks=(ip_network("2001:db8::/32"),)), ()),
        (LineFilter(types=frozenset({"scan"}), verdicts=frozenset({"none"})), ()),
    ],
)
def test_the_conditions_hold_together(wanted: LineFilter, taken: tuple[object, ...]) -> None:
    assert tuple(event for event in ALL if wanted.takes(event)) == taken
