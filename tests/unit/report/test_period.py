"""Moments that an operator names."""

import pytest

from portsentry_py.errors import UsageError
from portsentry_py.report.period import moment_us

NOW = 1_800_000_000_000_000


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("30s", NOW - 30_000_000),
        ("5min", NOW - 300_000_000),
        ("2 h", NOW - 7_200_000_000),
        ("7d", NOW - 604_800_000_000),
        ("1w", NOW - 604_800_000_000),
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T00:01", 60_000_000),
        ("1970-01-01T00:00:01.000002Z", 1_000_002),
        ("1970-01-01T01:00+01:00", 0),
    ],
)
def test_a_moment_is_a_date_a_time_or_an_age(text: str, us: int) -> None:
    assert moment_us(text, NOW, "--since") == us


@pytest.mark.parametrize("text", ["", "yesterday", "7", "d", "2026-02-30", "-1d", "9999999d", "٣d"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        moment_us(text, NOW, "--since")
