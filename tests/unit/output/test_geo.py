"""Country and AS number come from any MMDB file; one that cannot be used changes nothing but the tags."""

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portsentry_py.events.model import EvidenceEvent
from portsentry_py.output import geo
from portsentry_py.output.geo import GeoTags
from tests.support.build import SCANNER, SCANNER6, connection_events, evidence, log_lines, refused, strict, syn, watch
from tests.support.schema import validate

maxminddb = pytest.importorskip("maxminddb", reason="./quickstart test installs it")
mmdb_writer = pytest.importorskip("mmdb_writer", reason="./quickstart test installs it")
netaddr = pytest.importorskip("netaddr", reason="./quickstart test installs it")
PROBES = (syn(source, 20, 21, 22, 24) for source in (SCANNER, SCANNER6))
SCAN, SCAN6 = evidence(watch(strict(), refused(*PROBES)))[:2]
GEOLITE = {"country": {"iso_code": "NL", "names": {"en": "Netherlands"}}}
GEOLITE_ASN = {"autonomous_system_number": 64500, "autonomous_system_organization": "\x1b[2J"}
LIBLOC = b"LOCDBXX\1 and its networks"
IPINFO = {"country": "DE", "asn": "AS64501", "as_name": "Example"}


def database(path: Path, record: Any, network: str = "203.0.113.0/24") -> str:
    writer = mmdb_writer.MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test")
    writer.insert_network(netaddr.IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


def tags(event: EvidenceEvent, *paths: str) -> tuple[str | None, int | None]:
    tagged = GeoTags(paths).tagged(event)
    assert isinstance(tagged, EvidenceEvent)
    return tagged.src_country, tagged.src_asn


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (GEOLITE, ("NL", None)),
        (GEOLITE_ASN, (None, 64500)),
        (IPINFO, ("DE", 64501)),
        ({"country_code": "FR"}, ("FR", None)),
        ({"country": "Netherlands", "asn": "64500\n"}, (None, None)),
        ({"country": {"iso_code": 7}, "asn": "AS4294967296"}, (None, None)),
        ("a word", (None, None)),
    ],
)
def test_records_of_every_maker_are_read(tmp_path: Path, record: object, found: tuple[str | None, int | None]) -> None:
    assert tags(SCAN, database(tmp_path / "x.mmdb", record)) == found


def test_several_files_add_up_and_the_first_has_the_say(tmp_path: Path) -> None:
    first, second = database(tmp_path / "a", GEOLITE), database(tmp_path / "b", IPINFO)
    assert tags(SCAN, first, second) == ("NL", 64501)
    assert tags(SCAN6, first, second) == (None, None)
    assert tags(SCAN6, database(tmp_path / "c", GEOLITE, f"{SCANNER6}/64")) == ("NL", None)


def test_a_tagged_line_keeps_the_schema(tmp_path: Path) -> None:
    (line,) = log_lines([GeoTags([database(tmp_path / "x", IPINFO)]).tagged(SCAN)])
    assert line.index(b'"src_country":"DE","src_asn":64501,"event_id"') > 0
    validate(line)


def test_only_lines_with_evidence_are_tagged(tmp_path: Path) -> None:
    (event,) = connection_events(1)
    assert GeoTags([database(tmp_path / "x", GEOLITE)]).tagged(event) is event
    assert GeoTags([]).tagged(SCAN) is SCAN


def damaged(path: Path) -> None:
    database(path, GEOLITE)
    path.write_bytes(path.read_bytes()[:200])


def none(_path: Path) -> None:
    """There is no file."""


@pytest.mark.parametrize("make", [none, damaged, Path.mkdir, os.mkfifo, Path.touch])
def test_a_file_that_cannot_be_used_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: object
) -> None:
    assert callable(make)
    make(tmp_path / "bad")
    found = GeoTags([str(tmp_path / "bad"), database(tmp_path / "good", GEOLITE)])
    for _ in range(3):
        tagged = found.tagged(SCAN)
        assert isinstance(tagged, EvidenceEvent)
        assert tagged.src_country == "NL"
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1


def test_a_file_that_fails_at_a_look_up_is_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def get(self, _address: str) -> object:
            raise maxminddb.InvalidDatabaseError("bad data")

    monkeypatch.setattr(geo, "_opened", lambda _path: Broken())
    found = GeoTags(["x.mmdb"])
    assert found.tagged(SCAN) is SCAN
    assert found.tagged(SCAN6) is SCAN6
    assert len(caplog.records) == 1


def test_a_truncated_file_does_not_hurt_a_running_sensor(tmp_path: Path) -> None:
    path = database(tmp_path / "x", GEOLITE)
    found = GeoTags([path])
    os.truncate(path, 0)
    tagged = found.tagged(SCAN)
    assert isinstance(tagged, EvidenceEvent)
    assert tagged.src_country == "NL"


class Location:
    """Stands in for python3-location, which is for Debian's own Python alone."""

    class Database:
        """The reader of one file."""

        def __init__(self, path: str) -> None:
            assert Path(path).read_bytes() == LIBLOC

        def lookup(self, address: str) -> SimpleNamespace | None:
            return SimpleNamespace(country_code="NZ", asn=64502) if address == SCANNER else None


def test_the_database_of_libloc_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "location", Location)
    path = tmp_path / "database.db"
    path.write_bytes(LIBLOC)
    assert tags(SCAN, str(path)) == ("NZ", 64502)
    assert tags(SCAN6, str(path)) == (None, None)


def test_without_libloc_there_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "location", None)
    path = tmp_path / "database.db"
    path.write_bytes(LIBLOC)
    assert GeoTags([str(path)]).tagged(SCAN) is SCAN
    (record,) = caplog.records
    assert "install python3-location" in record.getMessage()


def test_without_the_package_there_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database(tmp_path / "x.mmdb", GEOLITE)
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    assert GeoTags([path]).tagged(SCAN) is SCAN
    (record,) = caplog.records
    assert "python3-maxminddb" in record.getMessage()
