"""The reference of the configuration, as Markdown: every key with its default, values and meaning."""

import json
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin, get_type_hints

from portsentry_py.config.settings import Settings
from portsentry_py.config.values import Read

_HEAD = "| key | default | values | meaning |\n| --- | --- | --- | --- |\n"


def reference() -> str:
    """One table for the keys at the top, then one for each section."""
    return "\n".join(_sections(Settings(), ""))


def _sections(section: Any, path: str) -> Iterator[str]:
    hints = get_type_hints(type(section), include_extras=True)
    below = [item for item in fields(section) if is_dataclass(hints[item.name])]
    rows = [_row(item, hints[item.name]) for item in fields(section) if item not in below]
    if rows:
        yield _HEAD + "".join(rows)
    for item in below:
        name = f"{path}{item.name}"
        yield f"## `{name}`\n\n{_sentence(item)}\n"
        yield from _sections(item.default, f"{name}.")


def _row(item: "Field[Any]", hint: Any) -> str:
    return f"| `{item.name}` | `{_yaml(item.default)}` | {_values(item, hint)} | {_sentence(item)} |\n"


def _sentence(item: "Field[Any]") -> str:
    doc, note = item.metadata["doc"], " A change needs a restart." if item.metadata.get("restart") else ""
    return f"{doc[0].upper()}{doc[1:]}.{note}"


def _values(item: "Field[Any]", hint: Any) -> str:
    if "ge" in item.metadata:
        # YAML does not read 1e-06 as a number.
        return " to ".join(f"{Decimal(str(item.metadata[end])):f}" for end in ("ge", "le"))
    if hint is bool:
        return "`true`, `false`"
    base, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    if get_origin(base) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(base))
    return next(note.form for note in notes if isinstance(note, Read))


def _yaml(value: object) -> str:
    """A default as the file would hold it."""
    if isinstance(value, frozenset | tuple):
        return json.dumps(sorted(value))
    return json.dumps(value) if isinstance(value, bool) or value == "" else str(value)
