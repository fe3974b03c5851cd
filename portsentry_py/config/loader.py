"""The configuration file becomes frozen Settings, or one ConfigError that lists every problem.

The shape and the bounds stand in settings.py; pydantic checks them.
"""

import difflib
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from portsentry_py.config.own_file import read_own
from portsentry_py.config.settings import Settings
from portsentry_py.config.values import quoted, shortened
from portsentry_py.errors import ConfigError, PermissionDenied

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from portsentry_py.config.document import Place

DEFAULT_PATH = Path("/etc/portsentry-py/portsentry.yaml")
# Room for an ignore list of twenty thousand networks; PyYAML takes seconds for the worst file of this size.
_MAX_BYTES = 1 << 19
_MAX_PROBLEMS = 20


def load(path: Path | None) -> Settings:
    """Read the file, or the one at the default place, where a missing file means the defaults.

    Raises:
        ConfigError: the file cannot be read, is wrong, or others may write it; the text has one line for each problem.
        PermissionDenied: the user may not read it.
    """
    required, path = path is not None, path or DEFAULT_PATH
    try:
        text = read_own(path, _MAX_BYTES, "name the right file with -c")
    except FileNotFoundError as error:
        if not required:
            return Settings()
        raise ConfigError(f"{path}: there is no such configuration file; name one with -c.") from error
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read the configuration; run as root or fix its mode.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration ({error.strerror}); name a file with -c.") from error
    return parse(text, str(path))


def parse(text: str, name: str = "configuration") -> Settings:
    """Check the text of a configuration file; `name` begins each problem."""
    from pydantic import ValidationError  # noqa: PLC0415 - slow to import, and needed for a file alone

    from portsentry_py.config.document import read  # noqa: PLC0415 - same

    document = read(text, name)
    problems = document.duplicates
    try:
        settings = _adapter().validate_python(document.content)
    except ValidationError as error:
        problems += [_sentence(dict(item), document.lines, name) for item in error.errors()[:_MAX_PROBLEMS]]
    if problems:
        raise ConfigError(*problems[:_MAX_PROBLEMS])
    return settings


@cache
def _adapter() -> "TypeAdapter[Settings]":
    from pydantic import TypeAdapter  # noqa: PLC0415 - same

    return TypeAdapter(Settings)


def _sentence(error: dict[str, Any], lines: "dict[Place, int]", name: str) -> str:
    """One problem of pydantic as a sentence with its place in the file."""
    place: Place = error["loc"]
    path = ".".join(shortened(str(part)) for part in place)
    line = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), None)
    return f"{name}:{line}: {path}: {_problem(error)}" if line else f"{name}: {path}: {_problem(error)}"


def _problem(error: dict[str, Any]) -> str:
    given, kind, words = quoted(error["input"]), error["type"], error["msg"]
    if kind == "unexpected_keyword_argument":
        *section, key = error["loc"]
        known = _keys(section)
        near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.4)
        return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(known)}."
    if kind == "value_error":  # one of values.py
        return f"{error['ctx']['error']}."
    if kind == "literal_error":
        return f"{given} is none of {error['ctx']['expected']}."
    if kind == "dataclass_type":
        return f"{given} is not a section; write its keys below it, each with a value."
    return f"{given}: {words[0].lower()}{words[1:]}."


def _keys(place: Sequence[str | int]) -> list[str]:
    """The keys of the section at a place."""
    section: Any = Settings
    for part in place:
        section = get_type_hints(section)[str(part)]
    return [item.name for item in fields(section)]
