"""psad.conf."""

import re
from collections.abc import Sequence
from pathlib import Path

from portsentry_py.config.importers.imported import Imported, Note
from portsentry_py.config.importers.option import Option, options_of
from portsentry_py.config.importers.ports import as_yaml, port_range
from portsentry_py.config.importers.psad_jail import jail_options
from portsentry_py.config.importers.psad_reasons import reason_for
from portsentry_py.config.importers.source import Source
from portsentry_py.config.values import quoted

LINE = re.compile(r"([A-Za-z_]\w*)\s+([^;]*?)\s*;.*", re.ASCII)
# psad bans at danger level 5, ten thousand packets; the profile has that level alone.
_HIGHEST_LEVEL = "5"
_LOW_LEVEL = "the sensor's own rules count ports that nobody serves, where psad's levels count packets"
_AUTO_DL = "the import reads no file by itself; name this one too"


def read(sources: Sequence[Source], level_files: Sequence[Path]) -> Imported:
    """The profile, the networks, the served ports and the jail.

    Args:
        sources: every file of this format.
        level_files: the auto_dl files that are imported with them.

    Raises:
        InputError: a line is wrong.
    """
    options = options_of(sources, LINE, "NAME VALUE;")
    texts = {name: option.text for name, option in options.items()}
    jail, used = jail_options(texts)
    settings: dict[str, object] = {}
    notes: list[Note] = []
    level = options.get("AUTO_IDS_DANGER_LEVEL")
    if texts.get("ENABLE_AUTO_IDS") != "Y" or level is None or level.text == _HIGHEST_LEVEL:
        settings["profile"] = "psad"
    else:
        notes.append(Note("AUTO_IDS_DANGER_LEVEL", level.source.place(level.line), _LOW_LEVEL))
    if home := _home(options.get("HOME_NET")):
        settings["home"] = home
    settings |= _served(options.get("IGNORE_PORTS"))
    read_too = {path.name for path in level_files}
    for name, option in options.items():
        if name == "AUTO_DL_FILE":
            reason = "" if Path(option.text).name in read_too else _AUTO_DL
        else:
            reason = reason_for(name, option.text)
        if reason and name not in used:
            notes.append(Note(name, option.source.place(option.line), reason))
    return Imported(settings, jail, tuple(notes))


def _home(option: Option | None) -> list[str]:
    if option is None or option.text in {"any", "NOT_USED", "_CHANGEME_", "NONE"}:
        return []
    words = option.text.strip("[]").replace(",", " ").split()
    return [str(option.source.network(option.line, word)) for word in words]


def _served(option: Option | None) -> dict[str, object]:
    """The ports that psad ignores are those where an attempt is no evidence here."""
    ports: dict[str, set[int]] = {}
    if option is None or option.text == "NONE":
        return {}
    for word in option.text.replace(",", " ").split():
        proto, slash, text = word.partition("/")
        if proto not in {"tcp", "udp"} or not slash:
            raise option.source.wrong(
                option.line, f"{quoted(word)} is no protocol and port", "write tcp/22 or udp/53-60"
            )
        ports.setdefault(f"served.{proto}", set()).update(port_range(option.source, option.line, text))
    return {key: as_yaml(found) for key, found in ports.items()}
