"""Port lists and service names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.checks.scan.ports import port_list, ranges_of, service_name, shuffled
from portsentry_py.errors import UsageError


@pytest.mark.parametrize(
    ("text", "ports"), [("22", (22,)), ("80,22", (22, 80)), ("8000-8002,22, 8001", (22, 8000, 8001, 8002))]
)
def test_a_list(text: str, ports: tuple[int, ...]) -> None:
    assert port_list(text) == ports


def test_a_dash_is_every_port() -> None:
    assert port_list("-") == tuple(range(1, 65_536))


@pytest.mark.parametrize("text", ["", "0", "ssh", "22,,80", "1-", "65536", "9-8", "٢٢"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--ports: "):
        port_list(text)


@given(st.sets(st.integers(1, 65_535), min_size=1, max_size=50))
def test_ranges_are_read_back(ports: set[int]) -> None:
    assert port_list(ranges_of(sorted(ports))) == tuple(sorted(ports))


def test_neighbours_are_one_range() -> None:
    assert ranges_of([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10"


def test_the_order_holds_every_port_once() -> None:
    ports = shuffled(range(1, 1000))
    assert sorted(ports) == [*range(1, 1000)]
    assert list(ports) != sorted(ports)


def test_a_port_without_a_service_has_no_name() -> None:
    assert service_name(1, "sctp") == ""
