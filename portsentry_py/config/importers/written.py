"""The text of the import: our configuration file, and the file of the jail."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from portsentry_py.config.document import write
from portsentry_py.config.importers.imported import Imported, Note
from portsentry_py.config.loader import parse
from portsentry_py.errors import ConfigError, InputError
from portsentry_py.text import printable

JAIL_FILE = "/etc/fail2ban/jail.d/portsentry-py.local"
_WIDTH = 110
_PROFILE = (
    "The profile keeps the rules of the other program. Without it, the sensor has its own rules, which find more scans "
    "and ban fewer innocent sources."
)
_NO_EQUIVALENT = "Options without an equivalent, or with a difference:"


def configuration(imported: Imported, names: Sequence[str], *, with_jail: bool) -> str:
    """The configuration file; with the jail's options as comments at its end, if asked.

    Raises:
        InputError: a value of the other program is one that ours refuses.
    """
    parts = [_head(names)]
    if imported.notes:
        parts.append("\n".join(_noted(imported.notes)))
    if "profile" in imported.settings:
        parts.append("\n".join(_comment(_PROFILE)))
    if imported.settings:
        parts.append(write(_nested(imported.settings)).rstrip("\n"))
    if with_jail and imported.jail:
        text = f"Options of the jail, for {JAIL_FILE}:\n\n{_options(imported)}"
        parts.append("\n".join(f"# {line}".rstrip() for line in text.splitlines()))
    made = "\n\n".join(parts) + "\n"
    try:
        parse(made, "the new configuration")
    except ConfigError as error:
        raise InputError(str(error).partition("\n")[0]) from error
    return made


def jail(imported: Imported, names: Sequence[str]) -> str:
    """The file for fail2ban's jail.d."""
    return f"{_head(names)}\n\n{_options(imported)}\n"


def _options(imported: Imported) -> str:
    rows = ("\n".join([f"{name} = ", *text.split("\n")]) for name, text in imported.jail.items())
    return "\n".join(["[portsentry]", *(_joined(row) for row in rows)])


def _joined(row: str) -> str:
    name, first, *more = row.split("\n")
    return "\n".join([f"{name}{first}", *(" " * len(name) + line for line in more)])


def _head(names: Sequence[str]) -> str:
    return "\n".join(_comment(f"Made by portsentry-py import from {', '.join(names)}."))


def _nested(settings: Any) -> dict[str, Any]:
    """`traps.tcp` as a key of a section, in the order in which they come."""
    content: dict[str, Any] = {}
    for key, value in settings.items():
        section, dot, name = key.partition(".")
        if dot:
            content.setdefault(section, {})[name] = value
        else:
            content[key] = value
    return content


def _noted(notes: Iterable[Note]) -> Iterator[str]:
    """One paragraph for each reason."""
    reasons: dict[str, list[str]] = {}
    for note in notes:
        reasons.setdefault(note.reason, []).append(f"{note.option} ({note.place})" if note.option else note.place)
    yield from _comment(_NO_EQUIVALENT)
    for reason, options in reasons.items():
        yield from _comment(f"- {', '.join(options)}: {reason}.", indent="  ")


def _comment(text: str, indent: str = "") -> list[str]:
    lines = textwrap.wrap(printable(text), _WIDTH, subsequent_indent=indent, break_long_words=False)
    return [f"# {line}" for line in lines]
