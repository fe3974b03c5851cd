"""Hostile input, found by coverage: `python -m tests.fuzz`."""
