"""One address or network a line: the ignore files of portsentry."""

from portsentry_py.config.importers.imported import Imported, everybody
from portsentry_py.config.importers.source import Source


def read(source: Source) -> Imported:
    """The ignore list.

    Raises:
        InputError: a line is no address and no network.
    """
    found = [(line, source.network(line, text.partition("#")[0].strip())) for line, text in source.lines()]
    notes = [note for line, network in found for note in everybody(str(network), source.place(line), [network])]
    return Imported({"ignore": [str(network) for _, network in found]}, notes=tuple(notes))
