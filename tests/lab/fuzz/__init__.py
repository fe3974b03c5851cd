"""Hostile input, found by coverage: `python -m tests.lab.fuzz`."""
