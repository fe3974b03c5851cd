"""A message is strict JSON within bounds; whatever else comes is one of two words."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.fleet.messages import (
    MOST_BANS,
    MOST_CONTACTS,
    BanMessage,
    Message,
    SeenMessage,
    StateMessage,
    encode,
    is_public,
    read,
)
from tests.support.fleet import NOW_US, ban, ban_payload, contact, seen_payload, state_payload

KINDS: tuple[type[Message], ...] = (BanMessage, StateMessage, SeenMessage)
WHOLE = json.loads(ban_payload(ban()))


def changed(**keys: object) -> bytes:
    return json.dumps({**WHOLE, "ban": {**WHOLE["ban"], **keys}}).encode()


def test_a_message_comes_back_as_it_was() -> None:
    message = BanMessage(1, NOW_US, ban("2a00:1450:4001::9"))
    assert read(BanMessage, encode(message)) == message
    assert message.ban.source == "2a00:1450:4001::/64"


def test_the_longest_list_has_room() -> None:
    bans = [ban(f"2a00:1450:4001:{number:x}:ffff:ffff:ffff:ffff") for number in range(0x1000, 0x1000 + MOST_BANS)]
    payload = state_payload(*bans)
    assert len(payload) <= StateMessage.MOST_BYTES
    assert len(read(StateMessage, payload).bans) == MOST_BANS
    with pytest.raises(ValueError, match="malformed"):
        read(StateMessage, state_payload(*bans, ban()))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"{" * 500,
        b"[" * 500,
        json.dumps({**WHOLE, "version": 2}).encode(),
        json.dumps({**WHOLE, "more": 1}).encode(),
        changed(address="0.0.0.0/0"),
        changed(address="10.0.0.0/8", prefix=8),
        changed(address="45.33.32.156", prefix=64),
        changed(address="045.33.32.156"),
        changed(address="2A00::1", prefix=128),
        changed(address="::ffff:45.33.32.156", prefix=128),
        changed(address="fe80::1%eth0", prefix=128),
        changed(address='x","verdict":"ban'),
        changed(address="x" * 46),
        changed(evidence="fleet"),
        changed(evidence="none"),
        changed(scan_type="\n"),
        changed(verified="yes"),
        changed(until_us=-1),
        changed(until_us=1e300),
        changed(until_us=2**62),
        changed(note="text"),
    ],
)
def test_a_hostile_ban_is_malformed(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"^malformed$"):
        read(BanMessage, payload)


def test_contacts_come_back_as_they_were() -> None:
    contacts = contact(), contact("2a00:1450::9", verified=True), contact("0" * 32)
    message = read(SeenMessage, seen_payload(*contacts, left_out=7))
    assert (message.contacts, message.left_out) == (contacts, 7)
    assert [one.source for one in message.contacts] == [contacts[0].address, "2a00:1450::/64", "0" * 32]
    assert [one.is_hash for one in message.contacts] == [False, False, True]


@pytest.mark.parametrize(
    "contacts",
    [
        [["45.33.32.156", 22, "syn", False, "more"]],
        [["45.33.32.156", 22, "syn"]],
        [{"address": "45.33.32.156"}],
        [["45.33.32.156/8", 22, "syn", False]],
        [["2a00:1450::/64", 22, "syn", False]],
        [["fe80::1%eth0", 22, "syn", False]],
        [["::ffff:45.33.32.156", 22, "syn", False]],
        [["0" * 31, 22, "syn", False]],
        [["A" * 32, 22, "syn", False]],
        [["0" * 33, 22, "syn", False]],
        [["45.33.32.156\n", 22, "syn", False]],
        [["45.33.32.156", 65_536, "syn", False]],
        [["45.33.32.156", -1, "syn", False]],
        [["45.33.32.156", 22.5, "syn", False]],
        [["45.33.32.156", 22, "x", False]],
        [["45.33.32.156", 22, "syn", 1]],
        [["45.33.32.156", 22, "syn", False]] * (MOST_CONTACTS + 1),
        "45.33.32.156",
        None,
    ],
)
def test_hostile_contacts_are_malformed(contacts: object) -> None:
    whole = {"version": 1, "issued_us": NOW_US, "left_out": 0, "contacts": contacts}
    with pytest.raises(ValueError, match=r"^malformed$"):
        read(SeenMessage, json.dumps(whole).encode())


def test_a_long_message_is_not_even_decoded() -> None:
    for kind in KINDS:
        with pytest.raises(ValueError, match=r"^too_large$"):
            read(kind, b" " * (kind.MOST_BYTES + 1))


@given(
    st.binary(max_size=400) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(repr).map(str.encode)
)
def test_any_payload_is_a_message_or_a_value_error(payload: bytes) -> None:
    for kind in KINDS:
        with suppress(ValueError):
            read(kind, payload)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("45.33.32.156", True),
        ("2a00:1450:4001::9", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("127.0.0.1", False),
        ("169.254.1.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("fd00::1", False),
        ("64:ff9b::2d21:209c", False),
        ("2002:2d21:209c::1", False),
        ("2001:0:2d21:209c::1", False),
    ],
)
def test_only_global_unicast_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public
