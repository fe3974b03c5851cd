"""The test packet of `check --live` is recognized, counted, and evidence of nothing."""

import pytest

from portsentry_py.core.packet import ICMP, UDP, Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.self_test import ADDRESS, ICMP_TYPE, is_self_test
from tests.support.build import US, cells, lines, ping, strict, with_cells

MARKED = Packet(0, ADDRESS, ADDRESS, ICMP, src_port=ICMP_TYPE)


def test_the_test_packet_is_recognized() -> None:
    assert is_self_test(MARKED)


@pytest.mark.parametrize(
    "other",
    [
        MARKED._replace(src="127.0.0.2"),
        MARKED._replace(dst="127.0.0.2"),
        MARKED._replace(src="127.0.0.2", dst="127.0.0.2"),
        MARKED._replace(proto=UDP),
        MARKED._replace(src_port=8),
    ],
)
def test_no_other_packet_is_the_test_packet(other: Packet) -> None:
    assert not is_self_test(other)


def test_the_test_packet_is_counted_and_makes_no_line() -> None:
    pipeline = Pipeline(strict(connections="all"), US)
    (ordinary,) = lines(ping(ADDRESS, dst=ADDRESS))
    marked = with_cells(ordinary, data=f"{ICMP_TYPE:02x}{cells(ordinary)['data'][2:]}")
    assert list(pipeline.feed([marked] * 20)) == []
    assert list(pipeline.finish()) == []
    assert pipeline.self_tests == 20
    assert pipeline.counts()["packets_decoded"] == 20
