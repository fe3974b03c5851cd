"""Scores the sensor over labelled captures: `python -m tests.accuracy DIRECTORY`."""
