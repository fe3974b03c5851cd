"""A finding is well unless it says otherwise."""

from portsentry_py.checks.result import Result, broken, warning


def test_a_finding_has_a_level() -> None:
    assert [one.level for one in (Result("log", "x"), warning("log", "x"), broken("log", "x"))] == [
        "ok",
        "warning",
        "broken",
    ]
