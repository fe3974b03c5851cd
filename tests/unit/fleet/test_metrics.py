"""The metrics of the fleet are whole from the start, and name no host and no address."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from portsentry_py.config.settings import Fleet
from portsentry_py.errors import OutputError
from portsentry_py.fleet.metrics import families, write_textfile
from portsentry_py.fleet.snapshot import Snapshot, snapshot
from tests.support.fleet import MINUTE_US, NOW_US, ban, ban_payload, contact, receiver, seen_payload


def values(path: Path) -> dict[str, float]:
    """Every series of a file, with its labels in its name."""
    return {
        " ".join([sample.name.removeprefix("portsentry_fleet_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def busy() -> Snapshot:
    known = receiver(Fleet(sweep_hosts=3))
    known.take("ban", "web1", ban_payload(ban()), NOW_US)
    known.take("ban", "web2", ban_payload(ban("45.1.1.1", verified=False), NOW_US - 2_000_000), NOW_US)
    known.take("ban", "web3", b"junk", NOW_US)
    known.take_own(contact("45.2.2.2"), NOW_US)
    for host in ("web1", "web2"):
        known.take("seen", host, seen_payload(contact("45.2.2.2"), left_out=2), NOW_US)
    return snapshot(known, "db1", "tls://x", "ban", NOW_US)


def test_the_file_has_what_the_host_knows(tmp_path: Path) -> None:
    path = tmp_path / "fleet.prom"
    write_textfile(path, busy())
    found = values(path)
    expected = {
        "connected": 1,
        "peers heard": 2,
        "peers silent": 1,
        "bans_active": 1,
        "sources_reported": 2,
        "sweeps_active ban": 0,
        "sweeps_active watch": 1,
        "sources_counted": 1,
        "contacts_left_out_total": 4,
        "refused_total malformed": 1,
        "refused_total flood": 0,
        "clock_offset_seconds lowest": 0,
        "clock_offset_seconds median": 0,
        "clock_offset_seconds highest": 0,
        "lag_seconds": 0,
    }
    assert {name: found[name] for name in expected} == expected
    text = path.read_text()
    assert not any(word in text for word in ("web1", "45.", "tls://"))


def test_a_host_that_was_not_heard_for_a_quarter_of_an_hour_is_silent(tmp_path: Path) -> None:
    known = receiver()
    known.take("ban", "web1", ban_payload(ban()), NOW_US)
    path = tmp_path / "fleet.prom"
    for minutes, heard in ((15, 1), (16, 0)):
        write_textfile(path, snapshot(known, "db1", "", "watch", NOW_US + minutes * MINUTE_US))
        assert values(path)["peers heard"] == heard


def test_every_name_is_there_before_anything_happens() -> None:
    nothing = Snapshot("db1", NOW_US, "", "watch", {}, {})
    assert {one.name for one in families(nothing)} == {one.name for one in families(busy())}
    assert all(sample.value == 0 for one in families(nothing) for sample in one.samples)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_textfile(tmp_path / "missing" / "fleet.prom", busy())
