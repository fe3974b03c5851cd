"""Compares the sensor with its peers, live on one wire: `python -m tests.lab.compare`."""
