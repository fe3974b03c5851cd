"""The order of the tests, how hypothesis chooses its examples, and the signals that programs under test get."""

import signal

import hypothesis
import pytest

# The same examples in each run, however slow the machine is. For others: --hypothesis-profile=search.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("repeatable")


# A shell lets its background jobs ignore Ctrl-C, and so would every program that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what waits for other programs: no long test is left at the end of a parallel run."""
    items.sort(key=lambda item: (not item.get_closest_marker("slow"), not item.get_closest_marker("wire")))
