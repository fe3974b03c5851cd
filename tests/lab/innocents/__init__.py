"""Thousands of ordinary host-days in simulated time, to see who is banned: `python -m tests.lab.innocents`."""
