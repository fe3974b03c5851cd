"""The configuration file becomes frozen Settings, or one ConfigError that lists every problem.

The shape and the bounds stand in settings.py; pydantic checks them.
"""

import difflib
import os
import stat
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from portsentry_py.config.document import Place, read
from portsentry_py.config.settings import Settings
from portsentry_py.config.values import quoted, shortened
from portsentry_py.errors import ConfigError, PermissionDenied

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
        _refuse_shared_folders(path)
    except FileNotFoundError as error:
        if not required:
            return Settings()
        raise ConfigError(f"{path}: there is no such configuration file; name one with -c.") from error
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read the configuration; run as root or fix its mode.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration ({error.strerror}); name a file with -c.") from error
    return parse(text, str(path))


def read_own(path: Path, max_bytes: int, fix: str) -> str:
    """The text of a file that nobody but the operator may write.

    Args:
        path: the file.
        max_bytes: its greatest size.
        fix: what to do about a larger one.

    Raises:
        ConfigError: others may write the file, it is too large, or it is not UTF-8.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        _refuse_foreign(path, os.fstat(file.fileno()))
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ConfigError(f"{path}: longer than {max_bytes} bytes; {fix}.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8.") from error


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    """Refuse a file that others may write: it can switch the sensor off, or have anybody banned."""
    # sudo(8) names the caller in SUDO_UID, who may become root anyway.
    caller = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    if status.st_uid not in {0, os.geteuid()} and str(status.st_uid) != caller:
        raise ConfigError(f"{path}: the configuration belongs to user {status.st_uid}; run: chown root {path}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path}: others may write the configuration; run: chmod go-w {path}")


def _refuse_shared_folders(path: Path) -> None:
    """Refuse a file whose name others may give to a file of theirs: in its folder, or in that of what it links to."""
    for folder in {path.absolute().parent, path.resolve().parent}:
        mode = folder.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            raise ConfigError(f"{path}: others may replace the configuration; run: chmod go-w {folder}")


def parse(text: str, name: str = "configuration") -> Settings:
    """Check the text of a configuration file; `name` begins each problem."""
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
    return TypeAdapter(Settings)


def _sentence(error: dict[str, Any], lines: dict[Place, int], name: str) -> str:
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
