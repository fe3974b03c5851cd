"""What a pipeline knows outlives a restart, and a change of the settings or of the host."""

from ipaddress import ip_network

from portsentry_py.config.settings import Limits
from portsentry_py.core.host_state import HostState
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    FRIEND,
    SCANNER,
    SECOND_US,
    US,
    evidence,
    micros,
    refused,
    scans,
    strict,
    syn,
    visit,
    watch,
)


def test_other_settings_keep_what_is_known() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, syn(SCANNER, 1, 2, 3))
    ignoring = strict(ignore=(ip_network(f"{SCANNER}/32"),))
    pipeline.set_settings(ignoring)
    (scan,) = scans(watch(pipeline, syn(SCANNER, 4, at=1)))
    assert (scan.verdict, scan.reason, scan.ports) == ("ignore", "ignore_list", 4)


def test_another_table_of_known_scanners_counts_with_the_settings_that_come_next() -> None:
    pipeline = Pipeline(strict(), US)
    pipeline.set_known_scanners(KnownScanners([(ip_network(f"{SCANNER}/32"), "shodan")]))
    pipeline.set_settings(strict(known_scanners="watch"))
    (scan,) = scans(watch(pipeline, syn(SCANNER, 1, 2, 3, 4)))
    assert (scan.verdict, scan.reason, scan.src_known) == ("watch", "known_scanner", "shodan")


def test_other_addresses_of_ours_count_at_once() -> None:
    pipeline = Pipeline(strict(), HostState())
    assert evidence(watch(pipeline, syn(SCANNER, 1, 2, 3, 4))) == []
    pipeline.set_host(US)
    assert scans(watch(pipeline, syn(SCANNER, 5, 6, 7, 8, at=1)))


def test_the_host_outlives_a_change_of_settings() -> None:
    pipeline = Pipeline(strict(), HostState(own=US.own, listening_tcp=frozenset(range(1, 100))))
    pipeline.set_settings(strict(connections="all"))
    assert evidence(watch(pipeline, syn(SCANNER, *range(1, 30)))) == []


def test_what_a_pipeline_knows_outlives_a_restart() -> None:
    before, after = Pipeline(strict(), US), Pipeline(strict(), US)
    watch(before, refused(syn(SCANNER, 1, 2, 3, 4)), visit(FRIEND, 80, at=1))
    assert before.settled_us == before.last_us - SECOND_US
    after.load(before.state(), before.last_us)
    assert after.state().learned == before.state().learned != []
    assert after.state().standing == before.state().standing
    assert [scan.last.finding.record.source for scan in after.state().scans] == [SCANNER]
    assert [event.state for event in scans(after.advance(micros(100)))] == ["ended"]


def test_what_is_older_than_the_memory_does_not_outlive_a_restart() -> None:
    before, after = Pipeline(strict(), US), Pipeline(strict(), US)
    watch(before, refused(syn(SCANNER, 1, 2, 3, 4)), visit(FRIEND, 80, at=1))
    after.load(before.state(), before.last_us + (Limits().memory_hours + 1) * 3600 * SECOND_US)
    state = after.state()
    assert (state.learned, state.scans) == ([], [])
    assert not any(record.unserved for record in (*state.known, *state.newcomers))
