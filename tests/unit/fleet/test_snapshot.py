"""What is known comes back from the file."""

from pathlib import Path

import pytest

from portsentry_py.config.settings import Fleet
from portsentry_py.errors import InputError
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.snapshot import Report, Swept, read, snapshot, write
from tests.support.fleet import MINUTE_US, NOW_US, SCANNER, ban, ban_payload, contact, receiver, seen_payload


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
    web1, web2 = found.peers["web1"], found.peers["web2"]
    assert (web1.accepted, web1.most, web1.new) == (1, 500, 199)
    assert (web2.accepted, web2.new) == (0, 199)
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


def test_sweeps_and_what_no_single_host_is_to_blame_for_come_back(tmp_path: Path) -> None:
    known = receiver(Fleet(sweep_hosts=3), Protection([("45.9.9.9", "ssh_session")]))
    known.take("seen", "stranger", b"x", NOW_US)
    for host in ("web1", "web2", "web3"):
        proof = contact("45.1.1.1", verified=True)
        known.take("seen", host, seen_payload(contact(), proof, contact("45.9.9.9"), left_out=4), NOW_US)
    write(tmp_path / "state.json", snapshot(known, "db1", "", "ban", NOW_US))
    found = read(tmp_path / "state.json")
    hosts = ("web1", "web2", "web3")
    until_us = NOW_US + 10 * MINUTE_US
    assert found.sweeps == {
        SCANNER: Swept(NOW_US + 60 * MINUTE_US, False, True, 22, hosts),
        "45.1.1.1": Swept(until_us, True, False, 22, hosts),
    }
    assert found.refused == {"?": {"unknown_host": 1}, "*": {"ssh_session": 1}}
    assert (found.counted, found.peers["web1"].left_out) == (3, 4)
    assert found.banned(NOW_US) == ["45.1.1.1"]
    assert found.banned(until_us) == []
