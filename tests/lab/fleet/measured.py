"""What a part of the page says, and whether it is what was promised."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Measured:
    """The text of a part of the page, and whether everything holds."""

    text: str
    holds: bool


def quantile(seconds: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def spread(seconds: Sequence[float], digits: int = 3) -> str:
    """Median, 99 of 100 and the longest of some times, in a clause."""
    found = (median(seconds), quantile(seconds, 0.99), max(seconds))
    words = ("median", "99 of 100 within", "longest")
    return ", ".join(f"{word} {one:.{digits}f} s" for word, one in zip(words, found, strict=True))
