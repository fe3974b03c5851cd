"""A signature is right for one key and one text."""

import sys

import pytest

from portsentry_py.errors import LibraryMissing
from portsentry_py.fleet.identity import is_signed, new_seed, public_key, sign

SEED = new_seed("operator")


def test_a_key_says_what_it_is_for() -> None:
    assert [new_seed("host")[:2], SEED[:2]] == ["SU", "SO"]
    assert [public_key(new_seed("host"))[0], public_key(SEED)[0]] == ["U", "O"]


def test_only_the_owner_of_the_key_signs_and_only_this_text() -> None:
    signature = sign(SEED, b"text")
    assert is_signed(public_key(SEED), b"text", signature)
    assert not is_signed(public_key(SEED), b"texts", signature)
    assert not is_signed(public_key(new_seed("operator")), b"text", signature)
    assert not is_signed(public_key(SEED), b"text", b"short")
    assert not is_signed("no key", b"text", signature)
    assert not is_signed("", b"text", signature)


@pytest.mark.parametrize("seed", ["", "SUxx", "x" * 58])
def test_what_is_no_seed_is_refused(seed: str) -> None:
    with pytest.raises(ValueError, match="not a seed"):
        public_key(seed)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    with pytest.raises(LibraryMissing, match=r"portsentry-py\[fleet\]"):
        new_seed("host")
