"""Installs the service on a system and removes it."""
