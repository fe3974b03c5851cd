"""The pipeline and addresses: which of them are one source, and which are ours."""

import pytest

from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import SCANNER6, US, refused, scans, strict, syn, watch


def test_a_scan_from_several_addresses_of_an_ipv6_network_is_one_scan() -> None:
    scan = [one for nth in range(8) for one in syn(f"2001:db8:bad::{nth + 1:x}", 1000 + nth, at=nth / 10)]
    (event,) = [one for one in scans(watch(strict(), refused(scan))) if one.state == "new"]
    assert (event.src_ip, event.src_net, event.verdict) == ("2001:db8:bad::4", "2001:db8:bad::/64", "ban")
    assert (event.ports, event.closed) == (4, 3)


def test_in_a_network_of_our_own_each_ipv6_address_is_a_source() -> None:
    scan = [one for nth in range(1, 9) for one in syn(f"2001:db8:1::{nth:x}", 1000 + nth, at=nth / 10)]
    assert scans(watch(strict(), scan)) == []


@pytest.mark.parametrize("cell", ["02:00:00:00:00:01", "fe80::1%eth0", "2001:db8::x", ""])
def test_a_cell_that_is_no_address_is_a_source_by_itself_and_none_of_ours(cell: str) -> None:
    pipeline = Pipeline(strict(), US)
    assert pipeline._source_of(cell) == cell
    assert not pipeline._is_home(cell)


def test_a_cell_is_read_in_any_spelling_and_again_when_the_host_changes() -> None:
    pipeline = Pipeline(strict(), US)
    assert pipeline._source_of("2001:DB8:BAD:0::9") == "2001:db8:bad::/64"
    assert pipeline._is_home("2001:DB8:1:0::10")
    pipeline.set_host(HostState(own=frozenset({SCANNER6})))
    assert pipeline._source_of("2001:DB8:BAD:0::9") == SCANNER6
    assert not pipeline._is_home("2001:DB8:1:0::10")
