"""An unsafe broker is named with the reason."""

import pytest

from portsentry_py.fleet.versions import weakness


@pytest.mark.parametrize(
    ("version", "word"),
    [
        ("2.9.10", "CVE-2025-30215"),
        ("2.10.26", "CVE-2025-30215"),
        ("2.11.0", "CVE-2025-30215"),
        ("2.10.27", "fixes of 2026"),
        ("2.10.29", "fixes of 2026"),
        ("2.11.1", "fixes of 2026"),
        ("2.12.7", "fixes of 2026"),
        ("", "unknown"),
        ("x\n", "unknown"),
    ],
)
def test_a_weak_version_is_named(version: str, word: str) -> None:
    assert word in weakness(version)


@pytest.mark.parametrize("version", ["2.12.8", "2.14.6", "2.15.1", "v3.0.0"])
def test_a_safe_version_has_no_weakness(version: str) -> None:
    assert weakness(version) == ""
