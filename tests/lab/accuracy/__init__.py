"""Scores the sensor over labelled captures: `python -m tests.lab.accuracy DIRECTORY`."""
