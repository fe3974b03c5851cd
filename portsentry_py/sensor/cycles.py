"""When Python looks for reference cycles: the core forms none, and its tables are what it would walk."""

import gc

_NEW_OBJECTS = 1_000_000
_WALKS = (20, 100)


def look_rarely() -> None:
    """Let a process that feeds the core look for cycles after a million new objects.

    They are new entries of the tables, which live long: to walk them every 100,000 takes time in a flood and finds
    nothing. Cycles of what else the process does may take some hundred megabytes, and no more.
    """
    gc.set_threshold(_NEW_OBJECTS, *_WALKS)
