"""A hash compares sources and shows none."""

from portsentry_py.fleet.messages import Contact
from portsentry_py.fleet.source_hash import hashed, new_key
from tests.support.fleet import SCANNER


def test_one_key_gives_one_hash_and_another_key_another() -> None:
    key, other = (bytes.fromhex(new_key()) for _ in range(2))
    found = hashed(key, SCANNER)
    assert found == hashed(key, SCANNER)
    assert found != hashed(other, SCANNER)
    assert found != hashed(key, "45.33.32.157")
    assert Contact(found, 22, "syn", False).is_hash
