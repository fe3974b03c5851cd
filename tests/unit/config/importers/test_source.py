"""A file is read whole, and each wrong line is one sentence."""

from pathlib import Path

import pytest

from portsentry_py.config.importers.source import read_source
from portsentry_py.errors import InputError
from tests.support.import_examples import source


def test_lines_are_numbered_without_comments_and_blanks() -> None:
    assert list(source("# one\n\n  two \r\nthree\n").lines()) == [(3, "two"), (4, "three")]


def test_bits_behind_the_prefix_are_no_error() -> None:
    assert str(source("").network(1, "192.0.2.9/24")) == "192.0.2.0/24"
    assert str(source("").network(1, "192.0.2.0/255.255.255.0")) == "192.0.2.0/24"


def test_a_wrong_address_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"^/etc/file:3: '192.0.2.999' is not an IP address or network; correct"):
        source("").network(3, "192.0.2.999")


def test_a_comment_may_be_in_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"# B\xfcro\n192.0.2.1\n")
    assert read_source(path).text == "# Büro\n192.0.2.1\n"


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot read the file \(.+\); name another\.$"):
        read_source(tmp_path / name)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(InputError, match="longer than"):
        read_source(Path("/dev/zero"))
