"""The bans of this host follow the lines of its log."""

import json
from typing import Any

from portsentry_py.events.model import Event, time_us
from portsentry_py.fleet.messages import MOST_BANS
from portsentry_py.fleet.own_bans import OwnBans
from portsentry_py.fleet.protection import Protection
from portsentry_py.report.log_reader import read_event
from tests.support.fleet import MINUTE_US
from tests.support.log_lines import GOOD, line

NOW_US = time_us("2026-11-20T08:41:57.408980Z")


def event(**keys: Any) -> Event:
    return read_event(line(**keys))


def addresses(bans: OwnBans) -> list[str]:
    return [ban.address for ban in bans.state(NOW_US).bans]


def test_a_ban_is_sent_at_once_and_listed() -> None:
    bans = OwnBans(600)
    message = bans.take(event(src_ip="45.33.32.156"), NOW_US)
    assert message is not None
    assert (message.ban.source, message.ban.until_us) == ("45.33.32.156", NOW_US + 10 * MINUTE_US)
    assert bans.has_changed
    assert bans.state(NOW_US).bans == (message.ban,)
    assert not bans.has_changed
    assert len(bans) == 1


def test_the_latest_bans_are_sent_again_some_times_each_with_a_new_time() -> None:
    bans = OwnBans(600)
    first = bans.take(event(src_ip="45.33.32.156"), NOW_US)
    assert first is not None
    rounds = [bans.repeated(NOW_US) for _ in range(4)]
    assert [[message.ban for message in one] for one in rounds] == [[first.ban]] * 3 + [[]]
    times = [message.issued_us for one in rounds for message in one]
    assert first.issued_us < times[0] < times[1] < times[2]


def test_what_is_lifted_or_over_is_not_sent_again() -> None:
    bans = OwnBans(600)
    bans.take(event(src_ip="45.33.32.156"), NOW_US)
    assert bans.repeated(NOW_US + 10 * MINUTE_US) == []
    bans.take(event(src_ip="45.33.32.156", verdict="watch", reason="withdrawn"), NOW_US)
    assert bans.repeated(NOW_US) == []


def test_of_many_bans_the_latest_are_sent_again() -> None:
    bans = OwnBans(600)
    for number in range(150):
        bans.take(event(src_ip=f"45.33.32.{number}"), NOW_US)
    assert [message.ban.address for message in bans.repeated(NOW_US)] == [f"45.33.32.{n}" for n in range(50, 150)]


def test_an_ipv6_source_is_a_network_unless_it_is_a_neighbour() -> None:
    bans = OwnBans(600)
    for network, prefix in (("2a00:1450::/64", 64), ("2a00:1450::9/128", 128)):
        message = bans.take(event(src_ip="2a00:1450::9", src_net=network), NOW_US)
        assert message is not None
        assert message.ban.prefix == prefix


def test_what_bans_nobody_is_not_sent() -> None:
    bans = OwnBans(600)
    for keys in (
        {"verdict": "watch"},
        {"direction": "outbound", "technique": "outbound"},
        {"technique": "none", "event_type": "connection"},
        {"timestamp": "2026-11-20T08:31:57.408980Z"},
        {"src_ip": "::ffff:45.33.32.156"},
    ):
        assert bans.take(event(**keys), NOW_US) is None
    assert len(bans) == 0


def test_what_others_ban_is_never_sent_again() -> None:
    fleet = {
        **{key: GOOD[key] for key in ("timestamp", "verdict", "src_ip", "source_verified", "scan_type", "src_net")},
        "event_type": "fleet",
        "technique": "fleet",
        "state": "reported",
        "reporters": ["web1"],
        "evidence": "port_scan",
        "until": GOOD["timestamp"],
    }
    bans = OwnBans(600)
    assert bans.take(read_event(json.dumps(fleet, separators=(",", ":")).encode()), NOW_US) is None
    assert bans.take(event(technique="fleet"), NOW_US) is None


def test_a_scan_that_goes_on_is_sent_once_in_half_a_ban() -> None:
    bans = OwnBans(600)
    sent = [
        bans.take(event(timestamp=f"2026-11-20T08:{41 + minute}:57.408980Z"), NOW_US + minute * MINUTE_US) is not None
        for minute in range(12)
    ]
    assert sent == [minute in {0, 5, 10} for minute in range(12)]


def test_a_proof_is_sent_at_once() -> None:
    bans = OwnBans(600)
    assert bans.take(event(), NOW_US)
    assert bans.take(event(source_verified=True), NOW_US)


def test_withdrawn_evidence_and_the_allowlist_lift_a_ban() -> None:
    bans = OwnBans(600)
    for address in ("45.1.1.1", "45.1.1.2", "45.1.1.3"):
        bans.take(event(src_ip=address), NOW_US)
    bans.state(NOW_US)
    bans.take(event(src_ip="45.1.1.1", verdict="watch", reason="withdrawn"), NOW_US)
    assert bans.has_changed
    bans.state(NOW_US)
    bans.drop(Protection([("45.1.1.2", "ignore_list")]))
    assert bans.has_changed
    assert addresses(bans) == ["45.1.1.3"]


def test_the_list_is_bounded_and_keeps_the_latest() -> None:
    bans = OwnBans(600)
    for number in range(MOST_BANS + 10):
        bans.take(event(src_ip=f"45.1.{number // 250}.{number % 250}"), NOW_US)
    assert len(bans) == MOST_BANS
    assert "45.1.0.9" not in addresses(bans)
    assert bans.state(NOW_US + 10 * MINUTE_US).bans == ()


def test_each_message_is_later_than_the_one_before_whatever_the_clock_does() -> None:
    bans = OwnBans(600)
    assert [bans.state(NOW_US - second).issued_us for second in range(3)] == [NOW_US, NOW_US + 1, NOW_US + 2]
