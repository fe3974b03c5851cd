"""Scans that try not to be seen, live and in simulated time: `python -m tests.lab.evasion`."""
