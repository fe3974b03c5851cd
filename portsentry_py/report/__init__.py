"""Reads the log back and shows it."""
