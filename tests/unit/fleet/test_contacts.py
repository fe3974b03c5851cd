"""The others hear of first contacts, within bounds and by a fair sample."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.events.model import ConnectionEvent, Event, ScanEvent, utc
from portsentry_py.fleet.contacts import HOUR_US, Contacts, contact_of, contacts_per_minute
from portsentry_py.fleet.messages import MOST_CONTACTS, Contact, SeenMessage, encode, read
from portsentry_py.fleet.source_hash import hashed
from portsentry_py.report.log_reader import read_event
from tests.support.any_event import events_of
from tests.support.fleet import MINUTE_US, NOW_US, SCANNER, contact
from tests.support.log_lines import line

SECOND_US = 1_000_000
KEY = bytes(32)


def connection(**keys: object) -> Event:
    values = {"event_type": "connection", "verdict": "none", "technique": "none", "outcome": "refused", "src_port": 4}
    return read_event(line(**{"timestamp": utc(NOW_US), "src_ip": SCANNER, **values, **keys}))


def nobody_knows(_: Contact) -> int:
    return 0


def everybody_knows(_: Contact) -> None:
    return None


def drawing(seed: int) -> Callable[[int], int]:
    return random.Random(seed).randrange


def contacts(key: bytes = b"", draw: Callable[[int], int] | None = None) -> Contacts:
    return Contacts(key, draw or drawing(7))


def sent(found: Contacts, now_us: int, hosts: int = 3) -> list[str]:
    message = found.batch(now_us, hosts, nobody_knows)
    return [one.address for one in message.contacts] if message else []


@pytest.mark.parametrize("outcome", ["refused", "unanswered"])
def test_a_connection_in_vain_is_a_contact(outcome: str) -> None:
    assert contact_of(connection(outcome=outcome), NOW_US) == Contact(SCANNER, 23, "syn", False)


@pytest.mark.parametrize(
    "keys",
    [
        {"outcome": "served"},
        {"outcome": "answered"},
        {"direction": "outbound"},
        {"src_ip": "::ffff:45.1.1.1"},
        {"scan_type": "word_of_a_newer_sensor"},
        {"dest_port": 70_000},
        {"timestamp": utc(NOW_US - 3 * MINUTE_US)},
        {"timestamp": utc(NOW_US + 3 * MINUTE_US)},
        {"event_type": "fleet", "technique": "fleet", "evidence": "sweep"},
        {"event_type": "scan", "verdict": "watch", "technique": "sweep"},
    ],
)
def test_served_ports_other_times_and_verdicts_with_a_doubt_are_no_contact(keys: dict[str, object]) -> None:
    assert contact_of(connection(**keys), NOW_US) is None


def test_a_ban_of_the_sensor_is_a_contact_with_its_proof() -> None:
    found = contact_of(
        connection(event_type="scan", verdict="ban", technique="port_scan", source_verified=True), NOW_US
    )
    assert found == Contact(SCANNER, 23, "syn", True)


@given(st.one_of(events_of(ConnectionEvent), events_of(ScanEvent)), st.integers(0, 253_402_300_799_999_999))
def test_the_contact_of_any_line_can_be_sent(event: Event, now_us: int) -> None:
    found = contact_of(event, now_us)
    if found is not None:
        message = SeenMessage(1, now_us, 0, (found,))
        assert read(SeenMessage, encode(message)) == message


def test_a_source_is_sent_once_an_hour() -> None:
    found = contacts()
    found.take(contact(), NOW_US)
    assert sent(found, NOW_US) == [SCANNER]
    for later in (10 * SECOND_US, 20 * SECOND_US):
        found.take(contact(port=80), NOW_US + later)
        assert sent(found, NOW_US + later) == []
    found.take(contact(), NOW_US + HOUR_US)
    assert sent(found, NOW_US + HOUR_US) == [SCANNER]


def test_a_proof_is_news_and_goes_first() -> None:
    found = contacts()
    found.take(contact(), NOW_US)
    found.take(contact("45.1.1.1"), NOW_US)
    found.take(contact(verified=True), NOW_US)
    message = found.batch(NOW_US, 3, nobody_knows)
    assert message is not None
    assert message.contacts[0] == contact(verified=True)
    assert len(message.contacts) == 3


def test_batches_have_a_pause_that_grows_with_the_fleet() -> None:
    found = contacts()
    for number, (hosts, pause) in enumerate(((3, 5), (100, 5), (1000, 40), (10_000, 400))):
        now_us = NOW_US + number * HOUR_US
        found.take(contact(), now_us)
        assert sent(found, now_us, hosts)
        found.take(contact("45.1.1.1"), now_us)
        assert sent(found, now_us + pause * SECOND_US - 1, hosts) == []
        assert sent(found, now_us + pause * SECOND_US, hosts)


def test_a_clock_that_was_set_back_stops_nothing_and_messages_stay_in_order() -> None:
    found = contacts()
    times = []
    for number, now_us in enumerate((NOW_US, NOW_US - 2 * HOUR_US)):
        found.take(contact(f"45.1.1.{number}"), now_us)
        message = found.batch(now_us, 3, nobody_knows)
        assert message is not None
        times.append(message.issued_us)
    assert times == sorted(set(times))


def test_a_host_of_a_large_fleet_has_a_smaller_share() -> None:
    assert [contacts_per_minute(hosts) for hosts in (0, 3, 100, 1000, 10_000)] == [60, 60, 30, 3, 0.3]


def test_what_enough_hosts_reported_is_not_sent() -> None:
    found = contacts()
    found.take(contact(), NOW_US)
    assert found.batch(NOW_US, 3, lambda one: None if one.address == SCANNER else 0) is None
    found.take(contact("45.1.1.1"), NOW_US)
    assert sent(found, NOW_US) == ["45.1.1.1"]


def test_what_other_hosts_reported_goes_before_what_nobody_did() -> None:
    found = contacts()
    for number in range(100):
        found.take(contact(f"45.1.1.{number}"), NOW_US)
    assert len(sent(found, NOW_US, 10_000)) == 3, "ten minutes' worth"
    found.take(contact(), NOW_US)
    message = found.batch(NOW_US + 400 * SECOND_US, 10_000, lambda one: int(one.address == SCANNER))
    assert message is not None
    assert message.contacts[0].address == SCANNER
    assert len(message.contacts) == 2


def test_a_hash_hides_the_address() -> None:
    found = contacts(KEY)
    found.take(contact(), NOW_US)
    found.take(contact("2a00:1450::9"), NOW_US)
    assert sorted(sent(found, NOW_US)) == sorted([hashed(KEY, SCANNER), hashed(KEY, "2a00:1450::/64")])


def test_a_forged_flood_is_sampled_fairly_and_counted() -> None:
    """Of 1000 sources in five seconds, each has the same chance, whenever it came."""
    chosen: Counter[int] = Counter()
    for seed in range(400):
        found = contacts(draw=drawing(seed))
        for number in range(1000):
            found.take(contact(f"45.1.{number // 250}.{number % 250}"), NOW_US)
        message = found.batch(NOW_US, 3, nobody_knows)
        assert message is not None
        assert (len(message.contacts), message.left_out) == (MOST_CONTACTS, 900)
        for one in message.contacts:
            _, _, high, low = map(int, one.address.split("."))
            chosen[high] += 1
            assert low < 250
    assert all(8000 < count < 12_000 for count in chosen.values())


def test_a_flood_never_pushes_out_a_proof() -> None:
    found = contacts()
    found.take(contact(verified=True), NOW_US)
    for number in range(30_000):
        found.take(contact(f"45.{number // 62_500}.{number // 250 % 250}.{number % 250}"), NOW_US)
    message = found.batch(NOW_US, 3, nobody_knows)
    assert message is not None
    assert message.contacts[0].verified
    assert message.left_out == 30_000 - MOST_CONTACTS


def test_no_minute_has_more_than_the_share() -> None:
    found, count, start_us = contacts(), 0, NOW_US // HOUR_US * HOUR_US
    for second in range(3600):
        for number in range(30):
            found.take(contact(f"45.{second // 250}.{second % 250}.{number}"), start_us + second * SECOND_US)
        count += len(sent(found, start_us + second * SECOND_US))
    assert 60 * 60 <= count <= 60 * 60 + 600


steps = st.tuples(
    st.integers(0, 40), st.booleans(), st.integers(0, 10 * MINUTE_US), st.integers(0, 2000), st.booleans()
)


@given(st.lists(steps, max_size=60), st.sampled_from([b"", KEY]))
def test_no_sequence_breaks_a_bound(sequence: list[tuple[int, bool, int, int, bool]], key: bytes) -> None:
    found, now_us, issued_us = contacts(key), NOW_US, 0
    for number, verified, pause, hosts, is_known in sequence:
        now_us += pause
        found.take(contact(f"45.1.1.{number}", verified=verified), now_us)
        message = found.batch(now_us, hosts, everybody_knows if is_known else nobody_knows)
        if message is None:
            continue
        assert not is_known
        assert issued_us < message.issued_us
        issued_us = message.issued_us
        payload = encode(message)
        assert len(payload) <= SeenMessage.MOST_BYTES
        assert read(SeenMessage, payload) == message
        assert all(one.is_hash == bool(key) for one in message.contacts)


def test_the_longest_message_is_within_the_bound() -> None:
    longest = Contact("2a00:1450:1111:1111:1111:1111:1111:1111", 65_535, "sctp_cookie", False)
    assert len(encode(SeenMessage(1, NOW_US, 1 << 31, (longest,) * MOST_CONTACTS))) < SeenMessage.MOST_BYTES
