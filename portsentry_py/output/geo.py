"""Country and AS number of a source, from databases of this host: MMDB files, or that of libloc."""

import logging
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from portsentry_py.events.model import Event, EvidenceEvent

_MAX_BYTES = 1 << 29
_LIBLOC_MAGIC = b"LOCDBXX"
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_ASN = re.compile(r"(?:AS)?([1-9]\d{0,9})", re.ASCII)
_MAX_ASN = 2**32 - 1
_diagnostics = logging.getLogger(__name__)


class GeoTags:
    """The look-up. A file that cannot be used is reported once; lines then lack its tags and nothing else.

    Args:
        paths: databases; the first one that knows the country or the number of an address has the say.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._readers = {path: reader for path in paths if (reader := _opened(path)) is not None}
        self._of = lru_cache(maxsize=8192)(self._look_up)

    def tagged(self, event: Event) -> Event:
        """The event with what the files know of its source."""
        if not self._readers or not isinstance(event, EvidenceEvent):
            return event
        country, asn = self._of(event.src_ip)
        return replace(event, src_country=country, src_asn=asn) if country or asn else event

    def _look_up(self, address: str) -> tuple[str | None, int | None]:
        country: str | None = None
        asn: int | None = None
        for path, reader in list(self._readers.items()):
            try:
                record = reader.get(address)
            except Exception as error:  # noqa: BLE001 - a damaged file raises many kinds
                _report(path, error)
                del self._readers[path]
                continue
            if not isinstance(record, dict):
                continue
            country = country or _country(record)
            asn = asn or _asn(record)
        return country, asn


def _opened(path: str) -> Any:
    """The reader of a file; None if it cannot be used."""
    try:
        # A copy, because a mapped file that somebody truncates ends the process.
        copy = os.memfd_create("geo")
        with os.fdopen(copy, "wb") as file:
            content = _content(Path(path))
            file.write(content)
            file.flush()
            name = f"/proc/self/fd/{copy}"
            if content.startswith(_LIBLOC_MAGIC):
                import location  # noqa: PLC0415 - a package of Debian's

                return _Libloc(location.Database(name))
            import maxminddb  # noqa: PLC0415 - an extra

            return maxminddb.open_database(name)
    except ImportError as error:
        _diagnostics.error(
            "%s: geo.databases needs the Python package %s; install python3-%s.", path, error.name, error.name
        )
    except Exception as error:  # noqa: BLE001 - a damaged file raises many kinds
        _report(path, error)
    return None


class _Libloc:
    """The database of the IPFire project, which Debian packages as libloc-database."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def get(self, address: str) -> dict[str, Any]:
        """What it knows of an address, as an MMDB record; empty for an unknown one."""
        found = self._database.lookup(address)
        return {"country": found.country_code, "asn": found.asn} if found else {}


def _content(path: Path) -> bytes:
    # Opening must not wait for the other end of a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise ValueError("it is no file, or too large")
        return file.read(_MAX_BYTES)


def _report(path: str, error: Exception) -> None:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    _diagnostics.error("%s: the database cannot be used (%s); replace it and restart the sensor.", path, reason)


def _country(record: dict[str, Any]) -> str | None:
    """GeoLite2 and DB-IP have a mapping with `iso_code`, IPinfo has a word."""
    for key in ("country", "country_code"):
        found = record.get(key)
        code = found.get("iso_code") if isinstance(found, dict) else found
        if isinstance(code, str) and _COUNTRY.fullmatch(code):
            return code
    return None


def _asn(record: dict[str, Any]) -> int | None:
    """GeoLite2 and DB-IP have a number, IPinfo `AS64500`."""
    for key in ("autonomous_system_number", "asn"):
        found = _ASN.fullmatch(str(record.get(key)))
        if found and int(found[1]) <= _MAX_ASN:
            return int(found[1])
    return None
