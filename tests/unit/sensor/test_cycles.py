"""When Python looks for reference cycles."""

import gc

from portsentry_py.sensor.cycles import look_rarely


def test_new_entries_of_the_tables_are_walked_after_a_million() -> None:
    before = gc.get_threshold()
    try:
        look_rarely()
        assert gc.get_threshold()[0] == 1_000_000
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
