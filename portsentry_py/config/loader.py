"""The configuration file becomes frozen Settings, or one ConfigError that lists every problem.

The only place that knows YAML and pydantic. The shape and the bounds come from settings.py; nothing is
declared twice.
"""

import difflib
import re
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

from portsentry_py.config.settings import Networks, Ports, Settings
from portsentry_py.errors import ConfigError, PermissionDenied
from portsentry_py.text import printable

DEFAULT_PATH = Path("/etc/portsentry-py/portsentry.yaml")
# An ignore list of twenty thousand networks; PyYAML takes some seconds for the worst of such files.
_MAX_BYTES = 1 << 19
# A number of a million digits in base 60 would take it half a minute.
_MAX_SCALAR = 10_000
_MOST_PROBLEMS = 20
_MOST_QUOTED = 60
_MOST_SAID = 200
_MAX_PORT = 65_535
_RANGE = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")

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
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: longer than {_MAX_BYTES} bytes; a configuration is shorter, see -c.")
        text = content.decode("utf-8")
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


class _Loader(yaml.SafeLoader):
    """YAML without endless values, and without aliases: a few stand for more than there is memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse what is too long, and `*name` where a value stands."""
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            problem = f"the alias *{event.anchor} is not understood here, write out what it stands for"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and len(node.value) > _MAX_SCALAR:
            problem = f"a value of more than {_MAX_SCALAR} characters"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node


def parse(text: str, name: str = "configuration") -> Settings:
    """Check the text of a configuration file; `name` stands in front of each problem."""
    try:
        tree, content = _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{name}{line}: broken YAML, {_short(str(error.problem), _MOST_SAID)}; fix that line."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{name}: broken YAML, nested too deeply; fix the file.") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = _short(str(error).partition("\n")[0], _MOST_SAID)
        raise ConfigError(f"{name}: broken YAML, {reason}; fix the file.") from error
    except (LookupError, AttributeError, ArithmeticError) as error:  # PyYAML's own, for `!!int ""` and others
        raise ConfigError(f"{name}: broken YAML, a value is not what its tag says; fix the file.") from error
    if content is None:
        return Settings()
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: the file must hold keys and values such as `ignore: [192.0.2.1]`.")
    lines = dict(_lines(tree))
    problems = list(_duplicates(tree, name))
    try:
        model = _model(Settings).model_validate(_given(content))
    except ValidationError as error:
        problems += [_sentence(dict(item), lines, name) for item in error.errors()[:_MOST_PROBLEMS]]
    if problems:
        raise ConfigError(*problems[:_MOST_PROBLEMS])
    return _build(Settings, model)


def _read(text: str) -> tuple[yaml.Node | None, Any]:
    """The file as nodes, which know their lines, and as values."""
    loader = _Loader(text)
    try:
        tree = loader.get_single_node()
        return tree, None if tree is None else loader.construct_document(tree)
    finally:
        loader.dispose()


def _given(content: dict[Any, Any]) -> dict[str, Any]:
    """Without keys that have no value: a section whose lines are all comments means its defaults."""
    return {
        key if isinstance(key, str) else _quoted(key): _given(value) if isinstance(value, dict) else value
        for key, value in content.items()
        if value is not None
    }


def _ports(value: object) -> frozenset[int]:
    """Ports as numbers and ranges: `[22, "8000-8010"]`."""
    ranges = [_range(item) for item in (value if isinstance(value, list) else [value])]
    ports: set[int] = set()
    free = 0
    # Each port once, however often the list has it.
    for one in sorted(ranges, key=lambda found: found.start):
        ports.update(range(max(free, one.start), one.stop))
        free = max(free, one.stop)
    return frozenset(ports)


def _range(item: object) -> range:
    found = _RANGE.fullmatch(item if isinstance(item, str) else _quoted(item))
    if found is None:
        raise ValueError(f"{_quoted(item)} is neither a port nor a range such as 8000-8010")
    low, high = int(found[1]), int(found[2] or found[1])
    if low > high:
        raise ValueError(f"the port range {low}-{high} is upside down; write {high}-{low}")
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
        raise ValueError(f"{_quoted(value)} is not an IP address or network; put it in quotes if it is one")  # noqa: TRY004 - pydantic wants this one
    return value


def _encodable(value: object) -> object:
    """No file, interface or message holds what YAML can write as an escape: a zero, half of a character."""
    if isinstance(value, str) and ("\0" in value or _SURROGATE.search(value)):
        raise ValueError(f"{_quoted(value)} has a character that no file name and no message may have")
    return value


def _quoted(value: object) -> str:
    """A value as it stands in a sentence: not too long, and no control characters."""
    try:
        return _short(repr(value))
    except ValueError:  # sys.set_int_max_str_digits
        return "a number of thousands of digits"


def _short(text: str, most: int = _MOST_QUOTED) -> str:
    text = printable(text[: most + 1])
    return text if len(text) <= most else f"{text[:most]}…"


_TEXT = Annotated[str, BeforeValidator(_encodable)]
_NETWORK = Annotated[IPvAnyNetwork, BeforeValidator(_text)]
_NETWORKS = Annotated[tuple[_NETWORK, ...], BeforeValidator(_one_or_many)]
_WORDS = Annotated[tuple[_TEXT, ...], BeforeValidator(_one_or_many)]


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
    if hint is str:
        return _TEXT
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
    path = ".".join(_short(str(part)) for part in location if not str(part).startswith(("ipv", "IPv")))
    place = next(
        (lines[location[:end]] for end in range(len(location), 0, -1) if location[:end] in lines), None
    )
    where = f"{name}:{place}" if place else name
    given = _quoted(error.get("input"))
    kind = error["type"]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _keys(location[:-1]), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(_keys(location[:-1]))}."
        return f"{where}: {path}: unknown key; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    if kind.startswith("ip_any"):
        message = f"{given} is not an IP address or network"
        if "/" in given and _is_address(given.strip("'").partition("/")[0]):
            message += " (bits are set behind the prefix, or the prefix is too long)"
    elif "expected" in error.get("ctx", {}):
        message = f"{given} is none of {error['ctx']['expected']}"
    elif kind.endswith("_type") or "parsing" in kind or "equal" in kind:
        message = f"{given}: {message[0].lower()}{message[1:]}"
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
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(child, below)
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
            first = seen[key.value]
            yield f"{name}:{line}: {_short(key.value)}: given twice, first in line {first}; keep one."
        seen.setdefault(str(key.value), key.start_mark.line + 1)
        yield from _duplicates(child, name)
