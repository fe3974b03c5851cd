"""What an import gives: settings of ours, options of the jail, and notes about all that has no equivalent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portsentry_py.config.settings import Network


@dataclass(frozen=True, slots=True)
class Note:
    """An option of the other program that has no equivalent, or one with a difference."""

    option: str
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The part that one format gives.

    `settings` has the keys of the configuration file; a key of a section is written `traps.tcp`.
    `jail` has the options of the jail [portsentry]; `action` can have several lines.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    jail: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


def everybody(option: str, place: str, networks: Iterable[Network]) -> tuple[Note, ...]:
    """The note about an ignore list with the whole internet in it."""
    reason = "this is every address: with it on the ignore list, nobody is ever banned"
    return tuple(Note(option, place, reason) for network in networks if network.prefixlen == 0)


def merged(parts: Iterable[Imported]) -> Imported:
    """All parts together: lists are joined; of two values of one key, the first stays, with a note."""
    settings: dict[str, Any] = {}
    jail: dict[str, str] = {}
    notes: list[Note] = []
    for part in parts:
        notes += part.notes
        for key, value in part.settings.items():
            if isinstance(value, list):
                settings[key] = [*dict.fromkeys([*settings.get(key, []), *value])]
            elif settings.setdefault(key, value) != value:
                notes.append(Note(key, str(value), f"another of the files gives {settings[key]}, which stays"))
        for option, text in part.jail.items():
            if jail.setdefault(option, text) != text:
                notes.append(Note(option, text, f"another of the files gives {jail[option]}, which stays"))
    return Imported(settings, jail, tuple(notes))
