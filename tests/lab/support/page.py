"""A page of docs/measurements, of which programs write the parts between marks."""

from pathlib import Path


def part(page: Path, name: str) -> str:
    """What stands between the marks of a part.

    Raises:
        AssertionError: the page has no such part, or two.
    """
    return _split(page, name)[1]


def put(page: Path, name: str, text: str) -> None:
    """Write a part again; the rest stays."""
    before, _, after = _split(page, name)
    page.write_text(f"{before}\n{text}\n{after}", encoding="utf-8")


def _split(page: Path, name: str) -> tuple[str, str, str]:
    """The page up to the first mark, the part, and the page from the second mark on."""
    content = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    if content.count(begin) != 1 or content.count(end) != 1:
        raise AssertionError(f"{page} has no place for the part {name!r}")
    before, _, rest = content.partition(begin)
    found, _, after = rest.partition(end)
    return before + begin, found, end + after
