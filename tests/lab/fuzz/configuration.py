"""Target `configuration`: any file gives settings within their bounds, or a few sentences about it."""

import tempfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args, get_origin, get_type_hints

from portsentry_py.config import loader
from portsentry_py.config.settings import Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import ConfigError
from tests.lab.fuzz.oracle import check_sentences
from tests.lab.fuzz.trial import CONTROLS, Raw
from tests.support.build import US
from tests.support.paths import ROOT

_LAST_PORT = 65_535


def check(data: bytes) -> None:
    """Fail if this file is neither read nor refused as it must be."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        path = Path(folder, "c.yaml")
        path.write_bytes(data)
        try:
            settings = loader.load(path)
        except ConfigError as error:
            check_sentences(str(error))
        else:
            check_settings(settings)
            Pipeline(settings, US)


def check_settings(section: Any) -> None:
    """Fail if a value is not what its field allows."""
    hints = get_type_hints(type(section))
    for item in fields(section):
        content, meta, hint = getattr(section, item.name), item.metadata, hints[item.name]
        if is_dataclass(content):
            check_settings(content)
        elif get_origin(hint) is Literal:
            assert content in get_args(hint), item.name
        elif "ge" in meta:
            assert meta["ge"] <= content <= meta["le"], item.name
        elif isinstance(content, frozenset):
            assert all(type(port) is int and 0 <= port <= _LAST_PORT for port in content), item.name
        elif isinstance(content, (str, tuple)):
            text = "".join(map(str, content))
            assert "\0" not in text, item.name
            text.encode()


_SCALARS = (
    *("", "0", "1", "-1", "8", "70000", "0x50", "0o17", "017"),
    *("0b11", "1_0", "1:30", "1:1:1.5", "1e3", ".nan", "-.inf"),
    *("true", "off", "~", "auto", "first", "2026-11-20", "2026-02-31", "0001-01-01T00:00:00+14:00", "192.0.2.1"),
    *("192.0.2.0/24", "192.0.2.1/24", "2001:db8::/32", "2001:20", "::ffff:1.2.3.4", "fe80::1%eth0", "8000-8010"),
    *("10-1", "0-65535", "eth0", "/a/b", "-", "<<", "=", "*a", "&a x", "!!int ''", "!!float ''", "!!bool x"),
    *("!!timestamp x", "!!binary x", "!!null x", "!!set {a}", "!!omap [a: b]", "!!pairs [a: b]", "!!python/name:os.x"),
    *("!<tag:yaml.org,2002:int> ''", "!!str {=: a}", "[", "{"),
    *("]", "}", "[[]]", "{a: {b: 1}}", "? a", "- a", "|", ">-"),
    *('"\\e[31m"', '"\\ud800"', '"\\0"', '"\\u202e"', '"\\U00110000"'),
    *('"\\x9b"', "'''", "# x", "%YAML 9.9", "---", "..."),
)


def mutated(data: bytes, random: Random, raw: Raw) -> bytes:
    """A line of it with another value, key or place; one in four without regard to what it is."""
    if random.random() < 1 / 4:
        return raw(data)
    lines = data.decode("utf-8", "replace").split("\n")
    at = random.randrange(len(lines))
    kind = random.randrange(6)
    if kind == 0:
        lines[at] = f"{lines[at].partition(':')[0]}: {random.choice(_SCALARS)}"
    elif kind == 1:
        lines[at] = f"{random.choice(_SCALARS + CONTROLS)}{lines[at].strip()}"
    elif kind == 2:
        lines.insert(at, f"{' ' * random.choice((0, 2, 4))}{random.choice(_KEYS)}: {random.choice(_SCALARS)}")
    elif kind == 3:
        lines.insert(at, f"{' ' * random.choice((0, 2, 4))}- {random.choice(_SCALARS)}")
    elif kind == 4:
        lines[at] = lines[at] * random.choice((2, 3, 50))
    else:
        lines.insert(at, f"{random.choice(_KEYS)}: [{', '.join(random.choices(_SCALARS, k=3))}]")
    return "\n".join(lines).encode("utf-8", "replace")


def _keys(section: Any) -> list[str]:
    found = []
    for item in fields(section):
        found.append(item.name)
        if is_dataclass(getattr(section, item.name)):
            found += _keys(getattr(section, item.name))
    return found


_KEYS = tuple(_keys(Settings()))


def seeds() -> list[bytes]:
    """The shipped file, and a line of each kind."""
    shipped = (ROOT / "config" / "portsentry.yaml").read_bytes()
    plain = "\n".join(line for line in shipped.decode().splitlines() if line and not line.strip().startswith("#"))
    pieces = [f"{key}: {value}" for key in ("log", "ignore", "connections", "interfaces") for value in _SCALARS]
    ports = [f"traps:\n  tcp: {value}" for value in _SCALARS]
    return [plain.encode(), *(piece.encode() for piece in [*pieces[::3], *ports[::3]])]
