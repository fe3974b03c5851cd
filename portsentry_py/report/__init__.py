"""The log, read back and shown."""
