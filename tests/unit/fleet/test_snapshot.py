"""What is known comes back from the file."""

from pathlib import Path

import pytest

from portsentry_py.errors import InputError
from portsentry_py.fleet.snapshot import Report, read, snapshot, write
from tests.support.fleet import NOW_US, SCANNER, ban, ban_payload, receiver


def test_peers_and_sources_come_back(tmp_path: Path) -> None:
    known = receiver()
    known.take("ban", "web1", ban_payload(ban()), NOW_US)
    known.take("ban", "web2", ban_payload(ban("45.1.1.1", verified=False)), NOW_US)
    known.take("ban", "web2", b"junk", NOW_US)
    write(tmp_path / "state.json", snapshot(known, "db1", "tls://x", "ban", NOW_US))
    found = read(tmp_path / "state.json")
    assert sorted(found.peers) == ["web1", "web2", "web3"]
    assert (found.peers["web2"].active, found.peers["web2"].refused) == (1, {"malformed": 1})
    assert found.peers["web3"].heard_us == 0
    assert found.sources[SCANNER].until_us == ban().until_us
    assert found.sources["45.1.1.1"].until_us == 0
    assert found.sources["45.1.1.1"].reports == (Report("web2", False, "port_scan", ban().until_us),)


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_a_file_that_is_missing_or_damaged_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "state.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match="state of the fleet"):
        read(path)
