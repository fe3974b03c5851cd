"""The reference page has a row for every key."""

from dataclasses import is_dataclass

import pytest

from portsentry_py.config.settings import Settings
from tests.support.setting_keys import keys
from tests.support.settings_reference import reference

PAGE = reference()


def test_every_key_is_on_the_page_in_order() -> None:
    position = 0
    for path, item in keys(Settings):
        heading = f"\n## `{'.'.join(path)}`\n"
        position = PAGE.index(heading if is_dataclass(item.default) else f"\n| `{path[-1]}` | ", position)


@pytest.mark.parametrize(
    "text",
    [
        "| `ignore` | `[]` | a list of addresses and networks | Sources that must never be banned. |",
        "| `connections` | `unserved` | `unserved`, `all`, `off` | ",
        "| `state` | `/var/lib/portsentry-py/state` | a path or `off` | ",
        "| `alpha` | `0.001` | 0.000001 to 0.1 | ",
        '| `banner` | `""` | text | ',
        "| `listen` | `false` | `true`, `false` | ",
        "| `workers` | `auto` | `auto`, `1`, `2`, `4`, `8` | ",
        "## `capture`\n\nHow packets come from the kernel. A change needs a restart.\n\n| key |",
    ],
)
def test_a_row_shows_default_values_and_meaning(text: str) -> None:
    assert text in PAGE
