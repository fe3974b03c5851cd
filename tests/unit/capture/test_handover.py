"""When a fresh capture is due: a grown tshark, a stale filter, drops that are not known yet."""

from dataclasses import replace
from itertools import pairwise

import pytest

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.handover import BEHIND, GROWN, MOVED, SERVED, HandoverPolicy

MIB = 1 << 20
STILL = 0
NTP, SIP = frozenset({123}), frozenset({5060})


def serving(ports: frozenset[int], *own: str) -> FilterHost:
    return FilterHost(frozenset(own), ports)


@pytest.fixture
def policy() -> HandoverPolicy:
    """The policy of a capture that has run for a while, with port 123 in its filter."""
    made = HandoverPolicy(128 * MIB)
    made.capture_started(0.0, serving(NTP))
    assert made.due(1.0, STILL) is None
    return made


def served(policy: HandoverPolicy, *ports: frozenset[int]) -> None:
    """These ports have sockets, at one update after the other."""
    for one in ports:
        policy.update_host(serving(one))


def fell_behind(policy: HandoverPolicy, now: float) -> None:
    """Lines come late, and then in time."""
    policy.update_lag(now, 3.0)
    policy.update_lag(now, 0.3)


def test_a_capture_that_runs_well_goes_on(policy: HandoverPolicy) -> None:
    served(policy, NTP, NTP, NTP)
    for now in range(2, 1000):
        policy.update_lag(now, 0.5 if now % 3 else None)
        assert policy.due(now, STILL) is None


def test_a_tshark_that_grows_is_replaced_before_it_has_grown_by_so_much(policy: HandoverPolicy) -> None:
    grown = STILL
    while policy.due(3 + (grown - STILL) // MIB, grown) is None:
        grown += MIB
    assert 124 * MIB < grown < 128 * MIB, "a MiB a second, and a takeover takes more than two seconds"


def test_the_faster_it_grows_the_earlier_it_is_replaced(policy: HandoverPolicy) -> None:
    assert policy.due(2, 0) is None
    assert policy.due(3, 30 * MIB) is None, "little growth is no reason, however fast it came"
    assert policy.due(4, 70 * MIB) == GROWN


@pytest.mark.parametrize(("lag", "reason"), [(None, None), (0.3, None), (1.2, GROWN), (3600.0, GROWN), (-3600.0, None)])
def test_a_tshark_that_is_behind_is_replaced_earlier(
    policy: HandoverPolicy, lag: float | None, reason: str | None
) -> None:
    """It goes on until it has delivered what came before the fresh one."""
    assert policy.due(3, 60 * MIB) is None
    policy.update_lag(4, lag)
    assert policy.due(4, 78 * MIB) == reason


def test_a_clock_that_is_wrong_replaces_no_tshark_that_hardly_grows(policy: HandoverPolicy) -> None:
    assert policy.due(3, 60 * MIB) is None
    policy.update_lag(4, 3600.0)
    assert policy.due(4, 66 * MIB) is None


def test_growth_by_more_than_that_is_a_reason_at_any_pace(policy: HandoverPolicy) -> None:
    assert policy.due(2, 0) is None
    assert policy.due(1002, 127 * MIB) is None
    assert policy.due(2002, 129 * MIB) == GROWN


def test_a_fresh_tshark_is_not_replaced_at_once() -> None:
    late = HandoverPolicy(16 * MIB)
    late.capture_started(10, serving(NTP))
    late.decoding_started(11)
    assert late.due(12, 100 * MIB) is None
    assert late.due(13, 100 * MIB) == GROWN


def test_a_clock_that_stands_still_tells_no_pace(policy: HandoverPolicy) -> None:
    assert [policy.due(5, size * MIB) for size in (70, 120, 100)] == [None, None, None]


def test_growth_is_a_reason_once_until_tshark_has_grown_again(policy: HandoverPolicy) -> None:
    grown = 129 * MIB
    reasons = [policy.due(now, grown) for now in range(3, 10)]
    assert reasons == [GROWN, *[None] * 6]
    assert policy.due(10, grown + 129 * MIB) == GROWN


def test_a_port_that_is_served_twice_in_a_row_makes_the_filter_stale(policy: HandoverPolicy) -> None:
    served(policy, NTP | SIP)
    assert policy.due(3, STILL) is None
    served(policy, NTP | SIP)
    assert policy.due(13, STILL) == SERVED
    policy.capture_started(14, serving(NTP | SIP))
    served(policy, NTP | SIP, NTP | SIP)
    assert policy.due(1000, STILL) is None


def test_a_port_that_is_served_no_more_does_not_make_the_filter_stale(policy: HandoverPolicy) -> None:
    served(policy, frozenset(), frozenset(), NTP | SIP, NTP | SIP, NTP)
    assert policy.due(3, STILL) is None


def test_ports_of_clients_do_not_make_the_filter_stale(policy: HandoverPolicy) -> None:
    for port in range(40_000, 40_100):
        served(policy, NTP | {port})
        assert policy.due(port, STILL) is None


def test_a_tcp_port_that_is_not_served_twice_in_a_row_makes_the_filter_stale(policy: HandoverPolicy) -> None:
    """First segments to it would stay in the kernel, and where a firewall drops them, nothing refuses them."""
    before, after = (
        FilterHost(frozenset({"192.0.2.1"}), NTP, served_tcp=frozenset(ports)) for ports in ((22, 80), (22,))
    )
    policy.capture_started(3, before)
    for host in (after, before, after):
        policy.update_host(host)
        assert policy.due(4, STILL) is None, "a service that starts again"
    policy.update_host(after)
    assert policy.due(5, STILL) == SERVED
    policy.capture_started(6, after)
    for _ in range(3):
        policy.update_host(after)
    assert policy.due(1000, STILL) is None


def test_where_first_segments_pass_a_tcp_port_that_is_closed_causes_no_handover(policy: HandoverPolicy) -> None:
    before = FilterHost(frozenset({"192.0.2.1"}), NTP, served_tcp=frozenset({22, 80}), wants_visits=True)
    policy.capture_started(3, before)
    for _ in range(3):
        policy.update_host(replace(before, served_tcp=frozenset()))
    assert policy.due(1000, STILL) is None


def test_tcp_ports_that_come_cause_no_handover(policy: HandoverPolicy) -> None:
    """An old list lets more through; every user can open ports."""
    for port in range(1024, 1124):
        policy.update_host(FilterHost(served_udp=NTP, served_tcp=frozenset({22, port // 10})))
        assert policy.due(port, STILL) is None


def test_another_address_of_the_host_makes_the_filter_stale_at_once(policy: HandoverPolicy) -> None:
    policy.update_host(serving(NTP, "192.0.2.1"))
    assert policy.due(3, STILL) == MOVED
    policy.capture_started(4, serving(NTP, "192.0.2.1"))
    policy.update_host(serving(NTP))
    assert policy.due(5, STILL) is None, "an address that comes and goes costs no more than a port"
    assert policy.due(63, STILL) == MOVED
    policy.capture_started(64, serving(NTP))
    policy.update_host(serving(NTP))
    assert policy.due(1000, STILL) is None


def test_a_network_of_ours_that_moved_makes_the_filter_stale(policy: HandoverPolicy) -> None:
    policy.update_host(FilterHost(served_udp=NTP, elsewhere=frozenset({("eth0", "10.0.0.0/8")})))
    assert policy.due(3, STILL) == MOVED


def test_a_link_local_address_alone_causes_no_handover(policy: HandoverPolicy) -> None:
    """Each container that starts adds one."""
    policy.update_host(serving(NTP, "fe80::1", "127.0.0.2"))
    assert policy.due(1000, STILL) is None


def test_ports_for_which_the_filter_has_no_room_do_not_make_it_stale(policy: HandoverPolicy) -> None:
    many = frozenset(range(124, 224, 2))
    policy.capture_started(3, serving(NTP | many))
    served(policy, NTP | many | SIP, NTP | many | SIP)
    assert policy.due(1000, STILL) is None


def test_ports_that_come_and_go_cause_fewer_and_fewer_handovers(policy: HandoverPolicy) -> None:
    when = []
    for now in range(10, 7210, 10):
        served(policy, NTP | {now // 20}, NTP | {now // 20})
        if policy.due(now, STILL):
            when.append(now)
            policy.capture_started(now, serving(NTP))
    pauses = [after - before for before, after in pairwise(when)]
    assert pauses[:5] == [60, 120, 240, 480, 600]
    assert set(pauses[5:]) == {600}


def test_after_a_quiet_time_a_new_service_causes_a_handover_at_once(policy: HandoverPolicy) -> None:
    served(policy, SIP, SIP)
    when = [now for now in range(3, 1000) if policy.due(now, STILL)]
    assert when[:2] == [3, 63], "a fresh capture that does not start is tried again"
    served(policy, NTP)
    assert policy.due(3000, STILL) is None
    served(policy, SIP, SIP)
    assert policy.due(3001, STILL) == SERVED
    assert policy.due(3061, STILL) == SERVED


def test_ports_that_the_operator_names_cause_a_handover_at_once(policy: HandoverPolicy) -> None:
    served(policy, SIP, SIP)
    assert policy.due(3, STILL) == SERVED
    policy.capture_started(4, serving(NTP | SIP))
    policy.served_ports_changed()
    assert policy.due(5, STILL) == SERVED
    assert policy.due(6, STILL) is None, "if it does not start, it is not tried at once again"
    assert policy.due(65, STILL) == SERVED
    policy.capture_started(66, serving(NTP))
    assert policy.due(1000, STILL) is None


def test_a_handover_is_due_when_the_sensor_has_caught_up(policy: HandoverPolicy) -> None:
    policy.update_lag(10, 1.1)
    assert policy.due(10, STILL) is None, "a fresh one would be as late"
    policy.update_lag(12, 0.9)
    assert policy.due(12, STILL) == BEHIND
    policy.capture_started(13, serving(NTP))
    policy.update_lag(20, 0.9)
    assert policy.due(1000, STILL) is None


def test_a_sensor_that_is_behind_again_has_not_caught_up(policy: HandoverPolicy) -> None:
    fell_behind(policy, 10)
    policy.update_lag(11, 2.0)
    assert policy.due(11, STILL) is None


def test_a_long_silence_means_that_the_sensor_has_caught_up(policy: HandoverPolicy) -> None:
    policy.update_lag(10, 5.0)
    policy.update_lag(19, None)
    assert policy.due(19, STILL) is None, "tshark may hang"
    policy.update_lag(20, None)
    assert policy.due(20, STILL) == BEHIND


def test_a_capture_that_takes_over_may_be_behind_at_first(policy: HandoverPolicy) -> None:
    policy.update_lag(5, 2.0)
    policy.update_lag(6, 0.1)
    assert policy.due(6, STILL) is None


def test_a_sensor_that_is_often_behind_causes_one_handover_a_minute_at_most(policy: HandoverPolicy) -> None:
    when = []
    for now in range(10, 3000):
        fell_behind(policy, now)
        if policy.due(now, STILL):
            when.append(now)
            policy.capture_started(now, serving(NTP))
    assert when[:3] == [10, 70, 190]
    assert len(when) < 10


@pytest.mark.parametrize(("step_seconds", "reasons"), [(3600.0, [BEHIND]), (-3600.0, [])])
def test_a_clock_that_is_set_causes_one_handover_at_most(
    policy: HandoverPolicy, step_seconds: float, reasons: list[str]
) -> None:
    policy.update_lag(10, 0.3 + step_seconds)
    found = []
    for now in range(11, 3000):
        policy.update_lag(now, 0.3)
        if reason := policy.due(now, STILL):
            found.append(reason)
            policy.capture_started(now, serving(NTP))
    assert found == reasons


def test_a_clock_that_is_always_wrong_causes_few_handovers(policy: HandoverPolicy) -> None:
    found = 0
    for now in range(11, 7200):
        policy.update_lag(now, 3600.0 if now % 30 < 15 else None)
        if policy.due(now, STILL):
            found += 1
            policy.capture_started(now, serving(NTP))
    assert 1 <= found <= 15
