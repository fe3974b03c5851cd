"""A whitelist of CrowdSec's parsers: addresses and networks."""

from portsentry_py.config.document import Document, Place
from portsentry_py.config.document import read as read_document
from portsentry_py.config.importers.imported import Imported, Note, everybody
from portsentry_py.config.importers.source import Source
from portsentry_py.errors import ConfigError, InputError

_EXPRESSION = "the ignore list holds addresses and networks alone"


def read(source: Source) -> Imported:
    """The addresses and networks of the whitelist; an expression has no equivalent.

    Raises:
        InputError: it is not YAML, or one of them is no address.
    """
    try:
        document = read_document(source.text, str(source.path))
    except ConfigError as error:
        raise InputError(str(error)) from error
    whitelist = document.content.get("whitelist")
    if not isinstance(whitelist, dict):
        raise source.wrong(_line(document, ("whitelist",)), "the whitelist has no keys", "give it ip: or cidr:")
    ignored: list[str] = []
    notes: list[Note] = []
    for key, values in whitelist.items():
        place = ("whitelist", str(key))
        if key == "expression":
            notes.append(Note("expression", source.place(_line(document, place)), _EXPRESSION))
        elif key in {"ip", "cidr"}:
            for number, value in enumerate(values if isinstance(values, list) else [values]):
                line = _line(document, (*place, number))
                network = source.network(line, str(value))
                ignored.append(str(network))
                notes += everybody(str(network), source.place(line), [network])
    return Imported({"ignore": ignored}, notes=tuple(notes))


def _line(document: Document, place: Place) -> int:
    """The line of a place, or of what it lies in."""
    return next((document.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in document.lines), 1)
