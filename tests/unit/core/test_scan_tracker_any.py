"""Whatever is observed, lines are few and bans are of the present."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.policy import Judgement
from portsentry_py.core.scan_tracker import Report
from tests.support.build import FRIEND, SCANNER, SECOND_US, no_deadline
from tests.support.judgements import judged, source_of, tracker

observed = st.builds(
    judged,
    st.integers(1, 2000),
    at=st.integers(0, 400),
    source=st.sampled_from([SCANNER, FRIEND, "203.0.113.10", "10.0.0.1"]),
    scan_type=st.sampled_from(["syn", "fin"]),
    verdict=st.sampled_from(["ban", "watch", "ignore"]),
    technique=st.sampled_from(["port_scan", "slow", "trap"]),
)


@no_deadline
@given(st.lists(observed, max_size=60), st.booleans())
def test_whatever_is_observed_lines_are_few_and_bans_are_of_the_present(
    judgements: list[Judgement], is_answered: bool
) -> None:
    scans = tracker(max_scans=3)
    lines: dict[tuple[str, bool], list[Report]] = {}
    for one in sorted(judgements, key=lambda one: one.finding.sighting.time_us):
        now_us = one.finding.sighting.time_us
        ends = list(scans.advance(now_us))
        assert all(end.state == "ended" and not end.judgement.bans for end in ends)
        found = list(scans.observe(one))
        assert len(found) <= 1
        for report in found:
            assert report.judgement.finding is one.finding
            assert one.bans or not report.judgement.bans
            lines.setdefault((source_of(report), one.finding.technique == "trap"), []).append(report)
        if is_answered:
            scans.answer(SCANNER, now_us)
        assert len(scans._fast) <= 3
        assert len(scans._slow) <= 3
    for reports in lines.values():
        for before, after in pairwise(reports):
            apart_us = after.time_us - before.time_us
            assert after.state in {"new", "changed"} or apart_us >= (5 if is_answered else 60) * SECOND_US
