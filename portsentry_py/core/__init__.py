"""Packets to events: pure, no clock, no I/O, no logging."""
