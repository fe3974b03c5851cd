"""The configuration file becomes frozen Settings, or one ConfigError that lists every problem.

The only place that knows YAML and pydantic. The shape and the bounds come from settings.py; nothing is
declared twice.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from dataclasses import Field as DataclassField
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    ValidationError,
    create_model,
)

from portsentry_py.errors import ConfigError, PermissionDenied
from portsentry_py.settings import Networks, Ports, Settings

DEFAULT_PATH = Path("/etc/portsentry-py/portsentry.yaml")
_MAX_PORT = 65_535

T = TypeVar("T")


def load(path: Path | None) -> Settings:
    """Read the configuration.

    Args:
        path: the file; None means the default place, where no file at all is a sensible default.

    Raises:
        ConfigError: it cannot be read or is wrong; the text has one line for each problem.
        PermissionDenied: the user may not read it.
    """
    required, path = path is not None, path or DEFAULT_PATH
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not required:
            return Settings()
        raise ConfigError(f"{path}: there is no such configuration file; name one with -c.") from error
    except PermissionError as error:
        raise PermissionDenied(
            f"{path}: you may not read the configuration; run as root or fix its mode."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the configuration ({error.strerror}); name a file with -c."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    return parse(text, str(path))


def parse(text: str, name: str = "configuration") -> Settings:
    """Check the text of a configuration file; `name` stands in front of each problem."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: broken YAML, {error.problem}; fix that line.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{name}: broken YAML, {reason}; fix the file.") from error
    if content is None:
        return Settings()
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: the file must hold keys and values such as `ignore: [192.0.2.1]`.")
    lines = dict(_lines(tree))
    problems = list(_duplicates(tree, name))
    try:
        model = _model(Settings).model_validate(_given(content))
    except ValidationError as error:
        problems += [_sentence(dict(item), lines, name) for item in error.errors()]
    if problems:
        raise ConfigError("\n".join(problems))
    return _build(Settings, model)


def _given(content: dict[Any, Any]) -> dict[str, Any]:
    """Without keys that have no value: a section whose lines are all comments means its defaults."""
    return {
        str(key): _given(value) if isinstance(value, dict) else value
        for key, value in content.items()
        if value is not None
    }


def _ports(value: object) -> frozenset[int]:
    """Ports as numbers and ranges: `[22, "8000-8010"]`."""
    items = value if isinstance(value, list) else [value]
    return frozenset(port for item in items for port in _range(item))


def _range(item: object) -> range:
    first, dash, last = str(item).partition("-")
    if isinstance(item, bool) or not first.strip().isdecimal() or (dash and not last.strip().isdecimal()):
        raise ValueError(f"{item!r} is neither a port nor a range such as 8000-8010")
    low, high = int(first), int(last or first)
    if low > high:
        raise ValueError(f"the port range {item} is upside down; write {high}-{low}")
    if high > _MAX_PORT:
        raise ValueError(f"port {high} is too large; ports end at {_MAX_PORT}")
    return range(low, high + 1)


def _off(value: object) -> object:
    """YAML reads off as false."""
    return "off" if value is False else value


def _file_or_off(value: object) -> object:
    if isinstance(value, str) and (not Path(value).name or "\0" in value):
        raise ValueError(f"{value!r} is not the path of a file; name one, or say off")
    return _off(value)


def _one_or_many(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _text(value: object) -> object:
    """YAML reads 2001:20 as a number in base 60, and 5 would be the address 0.0.0.5."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an IP address or network; put it in quotes if it is one")  # noqa: TRY004 - pydantic wants this one
    return value


_NETWORK = Annotated[IPvAnyNetwork, BeforeValidator(_text)]
_NETWORKS = Annotated[tuple[_NETWORK, ...], BeforeValidator(_one_or_many)]
_WORDS = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


@cache
def _model(section: type) -> type[BaseModel]:
    """The pydantic model of a settings dataclass."""
    hints = get_type_hints(section)
    shapes: dict[str, Any] = {
        item.name: (_shape(item, hints[item.name]), _default(item)) for item in fields(section)
    }
    model: type[BaseModel] = create_model(section.__name__, __config__=ConfigDict(extra="forbid"), **shapes)
    return model


def _shape(item: "DataclassField[Any]", hint: Any) -> Any:
    meta = item.metadata
    if "words" in meta:
        return Annotated[Literal[meta["words"]], BeforeValidator(_off)]
    if "file_or_off" in meta:
        return Annotated[hint, BeforeValidator(_file_or_off)]
    if "low" in meta:
        return Annotated[hint, Field(ge=meta["low"], le=meta["high"], strict=True)]
    if hint == Ports:
        return Annotated[frozenset[int], BeforeValidator(_ports)]
    if hint == Networks:
        return _NETWORKS
    if hint == tuple[str, ...]:
        return _WORDS
    return _model(hint) if isinstance(hint, type) and is_dataclass(hint) else hint


def _default(item: "DataclassField[Any]") -> Any:
    if is_dataclass(item.default) and not isinstance(item.default, type):
        return _model(type(item.default))()
    return ... if item.default is MISSING else item.default


def _build(section: type[T], model: BaseModel) -> T:
    """The frozen dataclass that a valid model stands for."""
    hints = get_type_hints(section)
    values = {name: getattr(model, name) for name in hints}
    for name, hint in hints.items():
        if is_dataclass(hint) and isinstance(hint, type):
            values[name] = _build(hint, values[name])
    return section(**values)


def _sentence(error: dict[str, Any], lines: dict[tuple[Any, ...], int], name: str) -> str:
    """One problem as pydantic tells it, in a sentence with its place in the file."""
    location = tuple(error["loc"])
    path = ".".join(str(part) for part in location if not str(part).startswith(("ipv", "IPv")))
    place = next(
        (lines[location[:end]] for end in range(len(location), 0, -1) if location[:end] in lines), None
    )
    where = f"{name}:{place}" if place else name
    given = error.get("input")
    kind = error["type"]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _keys(location[:-1]), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(_keys(location[:-1]))}."
        return f"{where}: {path}: unknown key; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    if kind.startswith("ip_any"):
        message = f"{given!r} is not an IP address or network"
        if "/" in str(given) and _is_address(str(given).partition("/")[0]):
            message += " (bits are set behind the prefix, or the prefix is too long)"
    elif "expected" in error.get("ctx", {}):
        message = f"{given!r} is none of {error['ctx']['expected']}"
    elif kind.endswith("_type") or "parsing" in kind or "equal" in kind:
        message = f"{given!r}: {message[0].lower()}{message[1:]}"
    return f"{where}: {path}: {message}."


def _is_address(text: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415 - used for one hint only

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _keys(location: Sequence[Any]) -> list[str]:
    """The keys that the section at a path has."""
    section: Any = Settings
    for part in location:
        section = get_type_hints(section).get(str(part), Settings)
    return [item.name for item in fields(section)]


def _lines(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    """The line of each key and list item, by path."""
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield (*path, key.value), key.start_mark.line + 1
            yield from _lines(child, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield (*path, index), child.start_mark.line + 1


def _duplicates(node: Any, name: str) -> Iterator[str]:
    """YAML silently keeps the last of two equal keys: an ignore list must not vanish that way."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, child in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            line = key.start_mark.line + 1
            yield f"{name}:{line}: {key.value}: given twice, first in line {seen[key.value]}; keep one."
        seen.setdefault(str(key.value), key.start_mark.line + 1)
        yield from _duplicates(child, name)
