"""Reads this host: interfaces, sockets, addresses that must never be banned."""
