"""portsentry's ignore file becomes the ignore list."""

import pytest

from portsentry_py.config.importers.address_list import read
from portsentry_py.errors import InputError
from tests.support.import_examples import IGNORE, source


def test_every_line_is_a_network() -> None:
    networks = ["127.0.0.1/32", "192.0.2.0/24", "2001:db8:1::/48", "198.51.100.72/29"]
    assert read(source(IGNORE)).settings == {"ignore": networks}


def test_a_network_of_all_addresses_has_a_note() -> None:
    assert [note.place for note in read(source("192.0.2.1\n0.0.0.0/0\n")).notes] == ["file:2"]


def test_a_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"file:2: 'mail.example.org' is not an IP address"):
        read(source("192.0.2.1\nmail.example.org\n"))
