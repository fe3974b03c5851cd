"""A whole Debian with our unit, booted by systemd and scanned: what no single process can show."""
