"""Which format a file has, by its content, and what all files together become."""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from portsentry_py.config.importers import address_list, auto_dl, crowdsec, portsentry, psad, scanlogd
from portsentry_py.config.importers.imported import Imported, Note, merged
from portsentry_py.config.importers.source import Source

_SCANLOGD = re.compile(r"^\s*#\s*(define|undef)\s+(SCANLOGD|SCAN|PORT_WEIGHT)_", re.MULTILINE)
_CROWDSEC = re.compile(r"^whitelist\s*:", re.MULTILINE)
_PORTSENTRY = re.compile(r"[A-Z_]+\s*=")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:/]+\s*(#.*)?")
_EMPTY = "the file has nothing but comments"
_KNOWN = "give a file of portsentry, psad or scanlogd, or a whitelist of CrowdSec"


class Format(Enum):
    """The formats that can be imported."""

    PORTSENTRY = "portsentry.conf"
    ADDRESSES = "portsentry.ignore"
    PSAD = "psad.conf"
    LEVELS = "auto_dl"
    SCANLOGD = "params.h"
    CROWDSEC = "whitelist"
    EMPTY = ""


def format_of(source: Source) -> Format:
    """The format of a file.

    Raises:
        InputError: it has none of them.
    """
    if _SCANLOGD.search(source.text):
        return Format.SCANLOGD
    if _CROWDSEC.search(source.text):
        return Format.CROWDSEC
    line, first = next(iter(source.lines()), (0, ""))
    if not first:
        return Format.EMPTY
    for kind, pattern in (
        (Format.PORTSENTRY, _PORTSENTRY),
        (Format.LEVELS, auto_dl.LINE),
        (Format.PSAD, psad.LINE),
        (Format.ADDRESSES, _ADDRESS),
    ):
        if pattern.match(first) if kind is Format.PORTSENTRY else pattern.fullmatch(first):
            return kind
    raise source.wrong(line, "this is no format that can be imported", _KNOWN)


def import_all(sources: Sequence[Source]) -> Imported:
    """What the files become together.

    Raises:
        InputError: a file has no known format, or a line of it is wrong.
    """
    kinds = [(format_of(source), source) for source in sources]

    def of(kind: Format) -> list[Source]:
        return [source for found, source in kinds if found is kind]

    return merged(_parts(of))


def _parts(of: Callable[[Format], list[Source]]) -> Iterable[Imported]:
    yield Imported(notes=tuple(Note("", source.path.name, _EMPTY) for source in of(Format.EMPTY)))
    lists, levels = of(Format.ADDRESSES), of(Format.LEVELS)
    if files := of(Format.PORTSENTRY):
        yield portsentry.read(files, [source.path for source in (*lists, *of(Format.EMPTY))])
    if files := of(Format.PSAD):
        yield psad.read(files, [source.path for source in (*levels, *of(Format.EMPTY))])
    yield from map(scanlogd.read, of(Format.SCANLOGD))
    yield from map(address_list.read, lists)
    yield from map(auto_dl.read, levels)
    yield from map(crowdsec.read, of(Format.CROWDSEC))
