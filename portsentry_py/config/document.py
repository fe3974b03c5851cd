"""The YAML of a configuration file: its values, the line of each key, and the keys that are given twice."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from portsentry_py.config.values import quoted, shortened
from portsentry_py.errors import ConfigError

# PyYAML takes half a minute for a number of a million digits in base 60.
_MAX_SCALAR = 10_000
_MAX_REASON = 200

Place = tuple[str | int, ...]
"""The path of a key or a list item: ("traps", "tcp", 0)."""


class Document(NamedTuple):
    """The mapping of the file, {} for an empty one.

    Keys that have no value are left out: a section whose lines are all comments means its defaults.
    """

    content: dict[str, Any]
    lines: dict[Place, int]
    duplicates: list[str]
    """A sentence for each; YAML itself keeps the last of two equal keys without a word."""


class _Loader(yaml.SafeLoader):
    """YAML without endless values, and without aliases: a few lines of these can fill the memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse a value that is too long, and `*name` in the place of a value."""
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call] # of PyYAML
            problem = f"the alias *{event.anchor} is not supported here, write out what it stands for"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and len(node.value) > _MAX_SCALAR:
            problem = f"a value of more than {_MAX_SCALAR} characters"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node


class _Dumper(yaml.SafeDumper):
    """One line for each key: lists are in brackets."""


def _in_brackets(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


_Dumper.add_representer(list, _in_brackets)


def read(text: str, name: str) -> Document:
    """Read the text of the file that is called `name`.

    Raises:
        ConfigError: it is not YAML, or not a mapping.
    """
    try:
        tree, content = _values(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        reason = shortened(str(error.problem), _MAX_REASON)
        raise ConfigError(f"{name}{line}: broken YAML, {reason}; fix that line.") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: broken YAML, nested too deeply; fix the file.") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = shortened(str(error).partition("\n")[0], _MAX_REASON)
        raise ConfigError(f"{name}: broken YAML, {reason}; fix the file.") from error
    except (LookupError, AttributeError, ArithmeticError) as error:  # PyYAML's own, for `!!int ""` and others
        raise ConfigError(f"{name}: broken YAML, a value does not fit its tag; fix the file.") from error
    if content is None:
        return Document({}, {}, [])
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: the file must hold keys and values such as `ignore: [192.0.2.1]`.")
    return Document(_given(content), dict(_lines(tree)), list(_duplicates(tree, name)))


def write(content: dict[str, Any]) -> str:
    """The text of a file with this content."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def _values(text: str) -> tuple[yaml.Node | None, Any]:
    """The file as nodes, which know their lines, and as values."""
    loader = _Loader(text)
    try:
        tree = loader.get_single_node()
        return tree, None if tree is None else loader.construct_document(tree)
    finally:
        loader.dispose()


def _given(content: dict[Any, Any]) -> dict[str, Any]:
    return {
        key if isinstance(key, str) else quoted(key): _given(value) if isinstance(value, dict) else value
        for key, value in content.items()
        if value is not None
    }


def _lines(node: Any, place: Place = ()) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            below = (*place, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(child, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield (*place, index), child.start_mark.line + 1


def _duplicates(node: Any, name: str) -> Iterator[str]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            first = seen[key.value]
            yield f"{name}:{line}: {shortened(key.value)}: given twice, first in line {first}; keep one."
        seen.setdefault(str(key.value), line)
        yield from _duplicates(child, name)
