"""The measurement of the scanner, over few ports."""

from collections.abc import Iterator

import pytest

from tests.lab import scan_speed
from tests.lab.scan_speed import Case
from tests.support.namespaces import Lab, opened
from tests.support.needs import require_wire


@pytest.fixture
def lab() -> Iterator[Lab]:
    require_wire("nmap", "nft")
    with opened() as made:
        yield made


@pytest.mark.slow
@pytest.mark.wire
def test_both_scanners_find_the_same_states(lab: Lab) -> None:
    cases = (Case("syn", "-sS", "closed", range(81, 181)), Case("connect", "-sT", "filtered", range(81, 84)))
    text = scan_speed.measured(lab, 1, cases)
    assert "| `syn` | 100 closed |" in text
    assert "| `connect` | 3 filtered |" in text


@pytest.mark.wire
def test_another_state_is_an_error(lab: Lab) -> None:
    with pytest.raises(AssertionError, match="0 ports out of 1"):
        scan_speed.scanned_by_us(lab, "connect", "80", "closed")
