"""psad's auto_dl: the danger level that an address has from the beginning."""

import re

from portsentry_py.config.importers.imported import Imported, Note, everybody
from portsentry_py.config.importers.source import Source

LINE = re.compile(r"([0-9A-Fa-f.:/]+)\s+([0-5])\s*([^;]*?)\s*;.*")
_BY_PROTOCOL = "the ignore list is for all protocols and ports"
_LEVEL = "the sensor judges by what it sees; to ban an address from the start, ask fail2ban (set portsentry banip)"


def read(source: Source) -> Imported:
    """Level 0 is our ignore list.

    Raises:
        InputError: a line has another form.
    """
    ignored: list[str] = []
    notes: list[Note] = []
    for line, text in source.lines():
        found = LINE.fullmatch(text)
        if found is None:
            raise source.wrong(
                line, "not an address, a level from 0 to 5 and a semicolon", "correct or remove the line"
            )
        network, place = source.network(line, found[1]), source.place(line)
        if found[2] == "0" and not found[3]:
            ignored.append(str(network))
            notes += everybody(str(network), place, [network])
        else:
            notes.append(Note(found[1], place, _BY_PROTOCOL if found[2] == "0" else _LEVEL))
    return Imported({"ignore": ignored}, notes=tuple(notes))
