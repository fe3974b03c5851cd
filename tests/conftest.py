"""The order of the tests: those that wait come first, so that no long one is left at the end."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by the markers `slow` and `wire`; what has neither takes milliseconds and stays in its order."""
    items.sort(key=lambda item: (not item.get_closest_marker("slow"), not item.get_closest_marker("wire")))
