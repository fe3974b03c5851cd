"""Lists of ports are read strictly and written shortly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.importers.ports import as_yaml, port_list
from portsentry_py.config.loader import parse
from portsentry_py.errors import InputError
from tests.support.import_examples import source


@given(st.sets(st.integers(0, 65_535), max_size=40))
def test_what_is_written_is_read_as_the_same_ports(ports: set[int]) -> None:
    assert parse(f"traps:\n  tcp: {as_yaml(ports)}\n").traps.tcp == ports


def test_three_in_a_row_are_a_range() -> None:
    assert as_yaml({1, 2, 5, 6, 7, 9}) == [1, 2, "5-7", 9]


@pytest.mark.parametrize("text", ["x", "1-", "-1", "65536", "70000-70001", "9-7", "1,,b", "٣", "1" * 5000])
def test_what_is_no_port_is_named(text: str) -> None:
    with pytest.raises(InputError, match=r"^/etc/file:4: .+; write .+\.$"):
        port_list(source(""), 4, text)


def test_blanks_and_an_empty_end_are_no_error() -> None:
    assert port_list(source(""), 1, "1, 5 - 7,") == {1, 5, 6, 7}
