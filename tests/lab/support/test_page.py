"""Each part of a page has its place, and no other part is touched."""

from pathlib import Path

import pytest

from tests.lab.bench import __main__ as bench
from tests.lab.support import page
from tests.support.paths import MEASUREMENTS

PARTS = {
    "performance.md": [f"bench {name}" for name in ("machine", *bench.PARTS)],
    "reliability.md": ["faults", "soak simulated", "soak live"],
    "fuzzing.md": ["fuzz"],
    "fail2ban.md": ["matrix", "ban time"],
}


@pytest.mark.parametrize("name", PARTS)
def test_the_page_has_a_place_for_every_part(name: str) -> None:
    for part in PARTS[name]:
        page.part(MEASUREMENTS / name, part)


def test_a_part_is_put_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nb\n")

    page.put(path, "x", "new\n")

    assert path.read_text() == "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    assert page.part(path, "x") == "\nnew\n\n"


def test_a_page_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("a\n")
    with pytest.raises(AssertionError, match="no place for the part 'x'"):
        page.put(path, "x", "new\n")
    assert path.read_text() == "a\n"
