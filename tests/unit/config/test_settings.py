"""Every setting has a meaning, and the shipped file shows every default."""

from collections.abc import Iterator

import yaml

from portsentry_py.config import loader
from portsentry_py.config.settings import Settings
from tests.support.paths import ROOT
from tests.support.setting_keys import keys


def written(content: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, below in content.items() if isinstance(content, dict) else ():
        yield (*path, key)
        yield from written(below, (*path, key))


def test_the_shipped_file_has_every_key_in_order_with_its_default() -> None:
    text = (ROOT / "config" / "portsentry.yaml").read_text(encoding="utf-8")
    assert list(written(yaml.safe_load(text))) == [path for path, _ in keys(Settings)]
    assert loader.parse(text) == Settings()


def test_every_key_has_a_meaning() -> None:
    assert not [path for path, item in keys(Settings) if not item.metadata["doc"]]


def test_a_default_is_within_its_bounds() -> None:
    bounded = [item for _, item in keys(Settings) if "ge" in item.metadata]
    assert len(bounded) > 20
    assert not [one for one in bounded if not one.metadata["ge"] <= one.default <= one.metadata["le"]]
