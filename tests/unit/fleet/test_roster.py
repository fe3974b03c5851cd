"""A roster comes back as it was signed, and a wrong one is refused."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from portsentry_py.fleet.roster import MOST_BYTES, read, write
from tests.support.fleet import ROSTER

TEXT = write(ROSTER)


def test_a_roster_comes_back_as_it_was() -> None:
    assert read(TEXT) == ROSTER


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        TEXT + b"}",
        TEXT.replace(b'"web1"', b'"web.1"'),
        TEXT.replace(b'"web1"', b'"web1\\n"'),
        TEXT.replace(b"198.51.100.1", b"198.51.100.0/24"),
        TEXT.replace(b"198.51.100.1", b"example"),
        TEXT.replace(b"9.9.9.0/24", b"everybody"),
        TEXT.replace(b'"version":1', b'"version":2'),
        b" " * (MOST_BYTES + 1) + TEXT,
    ],
)
def test_a_wrong_roster_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any word
        read(text)


def test_hosts_of_one_network_have_the_same_network() -> None:
    assert ROSTER.network_of("web2") == ROSTER.network_of("web3") == ip_network("203.0.113.0/24")
    six = replace(ROSTER, hosts={"a": ip_network("2001:db8:1:2::1")})
    assert six.network_of("a") == ip_network("2001:db8:1::/48")
