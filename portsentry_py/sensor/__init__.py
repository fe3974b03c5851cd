"""The running sensor, and replay of capture files."""
